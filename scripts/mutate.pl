#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# mutate.pl N SEED [--skip REGEX] [--only REGEX] [--ops OPS] [--jobs N] [--list] [--check] [--again] - do the tests notice
# mistakes?
#
# Takes N places in src/**.c at random (the same ones for the same seed and sources), makes one small mistake in each, in
# private copies of the tree, compiles that file, and runs the unit tests, those under the mock port and the examples, first
# those that are likely to notice, `vmakit fuzz --ops OPS` and the count of instructions (scripts/check-callgrind.sh: a short cut
# not taken changes nothing but the cost), up to the first failure. A mutant is killed when one of them fails or takes too long.
# Not counted: what does not compile, what compiles to the very same code, assertions, prefetches, the rules that test builds
# break on purpose, and what no test can notice, which tests/equivalent-mutants.txt lists with the reason (--check: is that list
# of this source?). Prints each survivor; exit status 1 under 90 % killed. --again: only those that survived the last run, after more
# tests were written.
use strict;
use warnings;
use Cwd ();
use IO::Handle ();
use JSON::PP ();
use POSIX ();
use Time::HiRes ();

my ($n, $seed, %option) = (200, 1, skip => '^$', only => '.', ops => 30000, jobs => $ENV{JOBS} || 2);
my @plain;
while (@ARGV) {
    my $arg = shift;
    if ($arg =~ /^--(skip|only|ops|jobs)$/) { $option{$1} = shift; }
    elsif ($arg =~ /^--(list|again|check)$/) { $option{$1} = 1; }
    else { push @plain, $arg; }
}
$n = $plain[0] if defined $plain[0];
$seed = $plain[1] if defined $plain[1];
$| = 1;

sub read_file {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return <$in>;
}
sub write_file {
    my ($path, $text) = @_;
    open my $out, '>', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
}

# The text with comments, strings and preprocessor lines as blanks of the same length.
sub masked {
    my ($text) = @_;
    my $blank = sub { my $t = shift; $t =~ s/[^\n]/ /g; return $t; };
    $text =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}{$blank->($1)}gse;
    $text =~ s{^([ \t]*\#(?:[^\n]*\\\n)*[^\n]*)}{$blank->($1)}gme;
    # Rules that test builds break on purpose (--break): not there in any other build.
    $text =~ s{(^[ \t]*(?:\} else )?(?:if \(VMKI_BROKEN(?![^\n]*\|\|)[^\n]*\n[^\n]*|return VMKI_BROKEN[^;]*;)|VMKI_BROKEN\(\w+\))}{$blank->($1)}gme;
    # What asks for memory before it is needed, and does nothing else: no result and no count of instructions tells.
    $text =~ s{(^static (?:VMKI_\w+ )?void \w*fetch_\w+\([^;]*?\)\n\{\n.*?^\})}{$blank->($1)}gmse;
    $text =~ s{(^[ \t]+(?:__builtin_prefetch|\w*fetch_\w+)\([^;]*;)}{$blank->($1)}gme;
    # Assertions: a weaker one is no mistake that a caller could see.
    $text =~ s{((?:VMKI_(?:ASSERT|CHECK|AUDIT\w*)|_?Static_assert|_Static_assert)\s*\([^;]*;)}{$blank->($1)}ge;
    return $text;
}

my %swap = (
    '<' => '<=', '<=' => '<', '>' => '>=', '>=' => '>', '==' => '!=', '!=' => '==',
    '&&' => '||', '||' => '&&', '+' => '-', '-' => '+', '+=' => '-=', '-=' => '+=', '&' => '|', '|' => '&',
    '|=' => '&=', 'true' => 'false', 'false' => 'true',
);

# All places of a file: [offset, length, new text, what].
sub sites {
    my ($text) = @_;
    my $code = masked($text);
    my @sites;
    # Only inside functions: after a line "{" of its own, before a line "}".
    while ($code =~ /^\{\n(.*?)^\}/gms) {
        my ($start, $body) = ($-[1], $1);
        while ($body =~ /(?<= )(<=?|>=?|==|!=|&&|\|\||\+=?|-=?|\|=?|&)(?= )/g) {
            push @sites, [$start + $-[1], length $1, $swap{$1}, 'operator'] if $swap{$1};
        }
        while ($body =~ /\b(true|false)\b/g) {
            push @sites, [$start + $-[1], length $1, $swap{$1}, 'truth'];
        }
        while ($body =~ /(?<![\w.])(\d+)([uUlL]*)\b(?!\w)/g) {
            push @sites, [$start + $-[1], length $1, $1 + 1, 'constant'];
        }
        while ($body =~ /\b(?:if|while) (\((?:[^()\n]|\((?:[^()\n]|\((?:[^()\n]|\([^()\n]*\))*\))*\))*\))/g) {
            push @sites, [$start + $-[1], length $1, "(!$1)", 'condition'];
        }
        while ($body =~ /(& ~)(?=\w|\()/g) {
            push @sites, [$start + $-[1], 3, '& ', 'mask'];
        }
        # A whole statement on a line: an assignment that declares nothing, or a call.
        while ($body =~ /^[ \t]+((?:\*?[A-Za-z_][\w>.\[\]+-]*(?:->[\w.\[\]>-]+)*\s(?:[+\-|&]?=)\s[^;{}]*|[a-z]\w*\([^;{}]*\)|[\w>.-]+(?:\+\+|--)));$/gm) {
            my ($at, $len, $statement) = ($-[1], length $1, $1);
            next if $statement =~ /^(?:return|goto|break|continue|if|while|for|switch|case)\b/;
            push @sites, [$start + $at, $len, '', 'statement'];
        }
        while ($body =~ /^[ \t]+(break|continue);$/gm) {
            push @sites, [$start + $-[1], length $1, '', 'statement'];
        }
    }
    return @sites;
}

sub files {
    my (@found, @todo);
    @todo = ('src');
    while (defined(my $d = shift @todo)) {
        opendir my $h, $d or next;
        for (sort readdir $h) {
            next if /^\./;
            push @todo, "$d/$_" if -d "$d/$_";
            push @found, "$d/$_" if /\.c$/;
        }
    }
    return sort grep { $_ =~ /$option{only}/ && $_ !~ /$option{skip}/ } @found;
}

my (%text, @all);
for my $file (files()) {
    $text{$file} = read_file($file);
    push @all, map { [$file, @$_] } sites($text{$file});
}
die "no place to make a mistake in\n" unless @all;
srand($seed);
for (my $i = $#all; $i > 0; $i--) { # Fisher and Yates
    my $j = int rand($i + 1);
    @all[$i, $j] = @all[$j, $i];
}
sub describe {
    my ($site) = @_;
    my ($file, $at, $len, $new, $what) = @$site;
    my $line = 1 + (substr($text{$file}, 0, $at) =~ tr/\n//);
    my $column = $at - rindex($text{$file}, "\n", $at);
    my $old = substr $text{$file}, $at, $len;
    s/\s+/ /g for $old, $new;
    return "$file:$line:$column: $what: `$old` -> `" . (length $new ? $new : '(nothing)') . '`';
}

# What no test can notice: the file and the mistake (#2: the second such line of the file), the line, and the reason.
my $known = 'tests/equivalent-mutants.txt';
sub source_line {
    my ($site) = @_;
    my ($file, $at) = @$site;
    my $start = 1 + rindex $text{$file}, "\n", $at;
    (my $line = substr $text{$file}, $start, index($text{$file}, "\n", $at) - $start) =~ s/^\s+|\s+$//g;
    return $line;
}
sub equivalents {
    my (%of, %equivalent);
    for my $stanza (grep { /\S/ && !/^#/ } split /\n\n+/, read_file($known)) {
        my ($head, $line, $why) = split /\n\s*/, $stanza, 3;
        die "$known: not a place, its line and a reason:\n$stanza\n" unless defined $why && $head =~ /^(\S+\.c): \w+: `/;
        die "$known: twice:\n$stanza\n" if $of{"$head\n$line"};
        $of{"$head\n$line"} = $1;
    }
    my %same; # the same mistake in the same line, in order
    for my $site (sort { $a->[0] cmp $b->[0] || $a->[1] <=> $b->[1] } @all) {
        push @{$same{describe($site) =~ s/:\d+:\d+:/:/r}{source_line($site)}}, $site;
    }
    for my $of (sort keys %of) {
        next unless $text{$of{$of}};
        my ($what, $line) = split /\n/, $of;
        my $nth = $what =~ s/ #(\d+)$// ? $1 : 0;
        my @sites = @{$same{$what}{$line} || []};
        die "$known: there are $#sites more, say which (#1 ...):\n$of\n" if !$nth && @sites > 1;
        my $site = $sites[$nth ? $nth - 1 : 0] or die "$known: is not there any more:\n$of\n";
        $equivalent{$site} = 1;
    }
    return \%equivalent;
}
my $equivalent = equivalents();
@all = grep { !$equivalent->{$_} } @all;
if ($option{check}) {
    printf "%d places, and %d that no test can notice\n", scalar(@all), scalar keys %$equivalent;
    exit 0;
}
if ($option{list}) {
    print describe($_), "\n" for grep { defined } @all[0 .. ($n < @all ? $n : scalar @all) - 1];
    print scalar(@all), " places\n";
    exit 0;
}

# ---- The copies ----

my $top = Cwd::abs_path('.');
my $work = "$top/" . ($ENV{BUILD} || 'build') . '/mutate';

# SECONDS of processor time, LOG, COMMAND...: the exit status; 124 when it took too long.
sub run {
    my ($seconds, $log, @command) = @_;
    my $pid = fork;
    die "fork: $!\n" unless defined $pid;
    if (!$pid) {
        setpgrp 0, 0;
        open STDOUT, '>', $log or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        # A mistake may also fill the memory or the disk. The oracle compares limits: it has none but time.
        my $limits = "@command" =~ / fuzz / ? '' : '-v 8000000 -f 400000 -c 0';
        exec 'sh', '-c', "ulimit -t $seconds $limits; exec \"\$@\"", 'sh', @command
            or POSIX::_exit(127);
    }
    my $status;
    eval {
        local $SIG{ALRM} = sub { die "late\n" };
        alarm 30 + 8 * $seconds; # the machine may have other work
        waitpid $pid, 0;
        $status = $?;
        alarm 0;
    };
    my $late = $@;
    kill 'KILL', -$pid;
    if ($late) {
        waitpid $pid, 0;
        return 124;
    }
    my $signal = $status & 127;
    return $signal == POSIX::SIGXCPU() ? 124 : $signal ? 128 + $signal : $status >> 8;
}

sub prepare {
    my ($dir) = @_;
    system("rm -rf '$dir' && mkdir -p '$dir' && tar -cf - --exclude=./build --exclude=./.git . | tar -xf - -C '$dir'") == 0
        or die "cannot copy the tree to $dir\n";
    my $log = "$dir/log";
    run(300, $log, 'cmake', '-G', 'Ninja', '-S', $dir, '-B', "$dir/b", '-DCMAKE_BUILD_TYPE=Debug',
        '-DCMAKE_C_FLAGS_DEBUG=-O1', '-DVMAKIT_WERROR=OFF', '-DVMAKIT_SHARED=OFF', '-DVMAKIT_TEST_BUILD=ON') == 0
        or die "cmake failed, see $log\n";
    run(1200, $log, 'ninja', '-C', "$dir/b", '-j', $option{jobs}) == 0 or die "the build failed, see $log\n";
    system("cp -a '$dir/b/CMakeFiles/vmakit_objects.dir' '$dir/unharmed'") == 0 or die "cannot copy the objects\n";
}

# What makes the object of each source, what links each test (ninja would link all of them), and what runs it.
sub recipes {
    my ($dir) = @_;
    my (%compile, @tests);
    for (@{JSON::PP::decode_json(read_file("$dir/b/compile_commands.json"))}) {
        (my $file = $_->{file}) =~ s{^\Q$dir\E/}{};
        $compile{$file} = $_->{command} if $_->{command} =~ m{ -o CMakeFiles/vmakit_objects\.dir/};
    }
    my $json = `ctest --test-dir '$dir/b' -L 'unit|mock|example' -LE slow --show-only=json-v1`;
    for (@{JSON::PP::decode_json($json)->{tests}}) {
        my ($program) = $_->{command}[0] =~ m{([^/]+)$};
        push @tests, {name => $_->{name}, command => $_->{command}, target => $program};
    }
    push @tests, {name => 'fuzz', target => 'vmakit', command =>
        ["$dir/b/vmakit", 'fuzz', '--ops', $option{ops}, '--seed', 7]} if -x "$dir/b/vmakit" && $option{ops};
    push @tests, {name => 'callgrind', command => ["$dir/scripts/check-callgrind.sh"]};
    for (grep { $_->{target} } @tests) {
        my @lines = split /\n/, `ninja -C '$dir/b' -t commands '$_->{target}'`;
        $_->{link} = $lines[-1];
    }
    return (\%compile, \@tests);
}

sub run_test {
    my ($dir, $test, $seconds) = @_;
    chdir $dir or die "$dir: $!\n";
    my $status = run($seconds, "$dir/test.log", @{$test->{command}});
    chdir $top;
    return $status == 77 ? 0 : $status;
}

# A test is likely to notice when it has noticed mistakes in the file before, or has its name; quick ones first.
sub in_order {
    my ($file, $tests) = @_;
    my (%here, %all);
    if (-e "$work/history") {
        for (split /\n/, read_file("$work/history")) {
            my ($of, $test) = split / /;
            $here{$test}++ if $of eq $file;
            $all{$test}++;
        }
    }
    my @words = grep { length > 2 } split m{[/_.]}, $file =~ s{^src/|\.c$}{}gr;
    my %score;
    for my $test (@$tests) {
        my $named = grep { $test->{name} =~ /$_/ } @words;
        my $points = 1 + 10 * ($here{$test->{name}} || 0) + ($all{$test->{name}} || 0) + 20 * $named;
        $score{$test->{name}} = $points / ($test->{seconds} + 0.1);
    }
    return sort { $score{$b->{name}} <=> $score{$a->{name}} } @$tests;
}

if ($option{again}) {
    my %survived = map { /^SURVIVED (.*)/ ? ($1 => 1) : () } split /\n/, read_file("$work/result");
    @all = grep { $survived{describe($_)} } @all;
    $n = @all;
}
my $jobs = $option{jobs};
$jobs = 1 if $jobs < 1;
print "preparing $jobs copies below $work\n";
for my $w (0 .. $jobs - 1) {
    prepare("$work/$w");
}
$ENV{CCACHE_DISABLE} = 1; # no mutant is ever compiled again
my (undef, $unharmed) = recipes("$work/0");
my (%seconds, $sum);
for (@$unharmed) {
    my ($begin, @before) = (Time::HiRes::time(), times);
    my $status = run_test("$work/0", $_, 300) && run_test("$work/0", $_, 300);
    die "$_->{name} fails without a mistake (status $status), see $work/0/test.log\n" if $status;
    my @after = times;
    $seconds{$_->{name}} = {wall => Time::HiRes::time() - $begin, processor => $after[2] + $after[3] - $before[2] - $before[3]};
    $sum += $seconds{$_->{name}}{wall};
}
printf "%d places in %d files; %d tests, which take %d s unharmed\n", scalar(@all), scalar(keys %text), scalar(@$unharmed), $sum;

# ---- The mutants: worker w takes every jobs-th place until its share is full ----

# '' or the test that failed.
sub notice {
    my ($dir, $file, $tests) = @_;
    my $lib = "$dir/b/libvmakit.a";
    unlink $lib;
    system("cd '$dir/b' && ar qcs libvmakit.a \$(find CMakeFiles/vmakit_objects.dir -name '*.o' | sort)") == 0
        or die "ar failed\n";
    for my $test (in_order($file, $tests)) {
        !$test->{link} || run(60, "$dir/log", 'sh', '-c', "cd '$dir/b' && $test->{link}") == 0
            or die "cannot link $test->{name}, see $dir/log\n";
        my $seconds = 3 + int(5 * $seconds{$test->{name}}{processor});
        my $status = run_test($dir, $test, $seconds);
        # The oracle asks the machine, which others may be changing: a second time must agree.
        $status = run_test($dir, $test, $seconds) if $status && $test->{name} eq 'fuzz';
        next unless $status;
        open my $history, '>>', "$work/history" or die;
        print $history "$file $test->{name}\n";
        close $history;
        return $test->{name} . ($status == 124 ? ', time' : $status > 128 ? ', signal ' . ($status - 128) : '');
    }
    return '';
}

sub mutate {
    my ($w) = @_;
    my $dir = "$work/$w";
    my ($compile, $tests) = recipes($dir);
    $_->{seconds} = $seconds{$_->{name}}{wall} for @$tests;
    open my $out, '>', "$work/result-$w" or die;
    $out->autoflush(1);
    my %again;
    my $share = int($n / $jobs) + ($w < $n % $jobs ? 1 : 0);
    for (my $i = $w; $share > 0 && $i < @all; $i += $jobs) {
        my ($file, $at, $len, $new) = @{$all[$i]};
        my $mutant = $text{$file};
        my $lines = substr($mutant, $at, $len) =~ tr/\n//;
        substr($mutant, $at, $len) = $new . "\n" x $lines;
        my ($object, $saved) = map { "$dir/$_/$file.o" } 'b/CMakeFiles/vmakit_objects.dir', 'unharmed';
        my @compile = (60, "$dir/log", 'sh', '-c', "cd '$dir/b' && $compile->{$file}");
        if (!$again{$file}++) { # by the very same command: a cache may have made it otherwise
            run(@compile) == 0 && system("cp -p '$object' '$saved'") == 0 or die "$file: no longer compiles\n";
        }
        write_file("$dir/$file", $mutant);
        if (run(@compile) == 0 && read_file($object) ne read_file($saved)) {
            $share--;
            my $why = notice($dir, $file, $tests);
            print $out $why ? "killed" : "SURVIVED", " ", describe($all[$i]), $why ? " ($why)" : '', "\n";
            print $why ? '.' : 'S';
        }
        write_file("$dir/$file", $text{$file});
        system("cp -p '$saved' '$object'") == 0 or die "cannot restore $object\n";
    }
    close $out;
}

my @pids;
for my $w (0 .. $jobs - 1) {
    my $pid = fork;
    die "fork: $!\n" unless defined $pid;
    if (!$pid) {
        mutate($w);
        POSIX::_exit(0);
    }
    push @pids, $pid;
}
my $broken = 0;
for (@pids) {
    waitpid $_, 0;
    $broken = 1 if $?;
}
print "\n";
die "a worker stopped early\n" if $broken;
my ($killed, @survivors) = (0);
for my $w (0 .. $jobs - 1) {
    for (split /^/, read_file("$work/result-$w")) {
        $killed++ if /^killed/;
        push @survivors, $_ if /^SURVIVED/;
    }
}
my $total = $killed + @survivors;
print sort @survivors;
system("cat '$work'/result-* | sort >'$work/result'");
system("rm -rf '$work/$_'") for 0 .. $jobs - 1;
die "no mutant could be made\n" unless $total;
printf "%d mutants, %d killed, %d survived: %.1f %% (seed %s; all of them in %s)\n", $total, $killed,
    scalar(@survivors), 100 * $killed / $total, $seed, "$work/result";
exit($killed >= 0.9 * $total ? 0 : 1);
