#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# mutate.pl N SEED [--skip REGEX] [--only REGEX] [--ops OPS] [--list] - do the tests notice mistakes?
#
# Takes N places in src/**.c at random (the same ones for the same seed and sources), makes one small mistake in each, in
# private copies of the tree, builds, and runs the unit tests and then `vmakit fuzz --ops OPS`. A mutant is killed when
# one of them fails or hangs. Not counted: what does not compile, and what compiles to the very same code. Prints each
# survivor; exit status 1 under 90 % killed. Tests see VMAKIT_QUICK=1 and may shorten themselves.
use strict;
use warnings;
use POSIX ();

my ($n, $seed, %option) = (200, 1, skip => '^$', only => '.', ops => 10000, jobs => $ENV{JOBS} || 2);
my @plain;
while (@ARGV) {
    my $arg = shift;
    if ($arg =~ /^--(skip|only|ops|jobs)$/) { $option{$1} = shift; }
    elsif ($arg eq '--list') { $option{list} = 1; }
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
    my $old = substr $text{$file}, $at, $len;
    s/\s+/ /g for $old, $new;
    return "$file:$line: $what: `$old` -> `" . (length $new ? $new : '(nothing)') . '`';
}
if ($option{list}) {
    print describe($_), "\n" for grep { defined } @all[0 .. ($n < @all ? $n : scalar @all) - 1];
    print scalar(@all), " places\n";
    exit 0;
}

# ---- The copies ----

my $work = $ENV{BUILD} || 'build';
$work .= '/mutate';
my @targets;
sub run { # SECONDS LOG COMMAND...: the exit status; 124 when it took too long
    my ($seconds, $log, @command) = @_;
    my $pid = fork;
    die "fork: $!\n" unless defined $pid;
    if (!$pid) {
        setpgrp 0, 0;
        open STDOUT, '>', $log or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT;
        open STDIN, '<', '/dev/null';
        exec @command or POSIX::_exit(127);
    }
    my $status;
    eval {
        local $SIG{ALRM} = sub { die "late\n" };
        alarm $seconds;
        waitpid $pid, 0;
        $status = $?;
        alarm 0;
    };
    if ($@) {
        kill 'KILL', -$pid;
        waitpid $pid, 0;
        return 124;
    }
    return $status & 127 ? 128 + ($status & 127) : $status >> 8;
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
}

sub object_of {
    my ($dir, $file) = @_;
    return "$dir/b/CMakeFiles/vmakit_objects.dir/$file.o";
}

my $seconds = 300; # for the unit tests; set from the baseline
my $each = 60;
sub tests { # DIR: '' or what failed
    my ($dir) = @_;
    my $log = "$dir/test.log";
    local $ENV{VMAKIT_QUICK} = 1;
    my $status = run($seconds, $log, 'ctest', '--test-dir', "$dir/b", '-L', 'unit', '-LE', 'slow', '--timeout', $each,
        '--stop-on-failure', '--no-tests=error');
    if ($status) {
        return 'time' if $status == 124;
        my ($name) = read_file($log) =~ /^\s*\d+ - (\S+) \(/m;
        return $name || "ctest status $status";
    }
    if (-x "$dir/b/vmakit" && $option{ops}) {
        $status = run($seconds, $log, "$dir/b/vmakit", 'fuzz', '--ops', $option{ops}, '--seed', 7);
        return "fuzz (status $status)" if $status;
    }
    return '';
}

my $jobs = $option{jobs};
$jobs = 1 if $jobs < 1;
print "preparing $jobs copies below $work\n";
for my $w (0 .. $jobs - 1) {
    prepare("$work/$w");
}
my $begin = time;
my $failed = tests("$work/0");
die "the tests fail without a mistake ($failed), see $work/0/test.log\n" if $failed;
my $baseline = time - $begin;
$seconds = 30 + 5 * $baseline;
$each = 20 + 3 * $baseline;
printf "%d places in %d files; the tests take %d s unharmed\n", scalar(@all), scalar(keys %text), $baseline;

# ---- The mutants: worker w takes every jobs-th place until its share is full ----

my @pids;
for my $w (0 .. $jobs - 1) {
    my $pid = fork;
    die "fork: $!\n" unless defined $pid;
    if ($pid) {
        push @pids, $pid;
        next;
    }
    my $dir = "$work/$w";
    open my $out, '>', "$work/result-$w" or die;
    my $share = int($n / $jobs) + ($w < $n % $jobs ? 1 : 0);
    my $old_file;
    for (my $i = $w; $share > 0 && $i < @all; $i += $jobs) {
        my ($file, $at, $len, $new) = @{$all[$i]};
        my $mutant = $text{$file};
        my $original = $mutant;
        substr($mutant, $at, $len) = $new;
        # The unharmed object first, to compare with.
        if (defined $old_file) {
            write_file("$dir/$old_file", $text{$old_file});
        }
        my $object = object_of($dir, $file);
        (my $target = $object) =~ s{^\Q$dir\E/b/}{};
        run(300, "$dir/log", 'ninja', '-C', "$dir/b", '-j', 1, $target) == 0 or die "$file: no longer compiles\n";
        my $before = read_file($object);
        write_file("$dir/$file", $mutant);
        $old_file = $file;
        if (run(300, "$dir/log", 'ninja', '-C', "$dir/b", '-j', 1, $target) != 0 || read_file($object) eq $before) {
            next;
        }
        $share--;
        my $why = run(600, "$dir/log", 'ninja', '-C', "$dir/b", '-j', 1) != 0 ? 'the build' : tests($dir);
        print $out $why ? "killed" : "SURVIVED", " ", describe($all[$i]), $why ? " ($why)" : '', "\n";
        $out->flush;
        print $why ? '.' : 'S';
    }
    close $out;
    POSIX::_exit(0);
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
