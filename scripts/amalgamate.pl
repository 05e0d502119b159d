#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# amalgamate.pl OUT - writes OUT/vmakit.h and OUT/vmakit.c: the core (include/vmakit and src/, no port) as two files.
#
# The lock choice is "none" (sync/none.h, written into vmakit.c) unless VMK_SYNC_HEADER is defined when compiling.
# Each file of src/ is a scope of its own before, so names that are static in two files, or macros, tags and enumerators
# of the file, would meet: a static function or table, a tag or a typedef that more than one file defines is written as
# FILE_name; a macro of a .c file is undefined after it.
use strict;
use warnings;

my $out = shift or die "usage: amalgamate.pl OUT\n";
# Hosted, or wanted by name only: not part of vmakit.h.
my $left_out = qr{^include/vmakit/(?:sync/|linux_names\.h|port_\w+\.h)};

sub read_file {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return <$in>;
}

sub files {
    my ($dir, $suffix) = @_;
    my (@found, @todo);
    @todo = ($dir);
    while (defined(my $d = shift @todo)) {
        opendir my $h, $d or next;
        for (sort readdir $h) {
            next if /^\./;
            push @todo, "$d/$_" if -d "$d/$_";
            push @found, "$d/$_" if /\.\Q$suffix\E$/ && -f "$d/$_";
        }
    }
    return sort @found;
}

# Splits C text into [kind, text]: comments and strings are kept apart from code.
sub tokens {
    my ($text) = @_;
    my @tokens;
    while ($text =~ m{\G(?:
            (?<comment>/\*.*?\*/|//[^\n]*) | (?<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*') |
            (?<word>[A-Za-z_]\w*) | (?<number>\.?[0-9](?:[eEpP][+-]|[\w.])*) | (?<space>\s+) |
            (?<mark>->|\.\.\.|.))}gsx) {
        my ($kind) = keys %+;
        push @tokens, [$kind, $+{$kind}];
    }
    return @tokens;
}

# Renames words, but not members (after `.` and `->`), and not in comments and strings.
sub rename_words {
    my ($text, $names) = @_;
    return $text unless %$names;
    my ($result, $before) = ('', '');
    for my $t (tokens($text)) {
        my ($kind, $word) = @$t;
        if ($kind eq 'word' && $names->{$word} && $before ne '.' && $before ne '->') {
            $result .= $names->{$word};
        } else {
            $result .= $word;
        }
        $before = $word unless $kind eq 'space' || $kind eq 'comment';
    }
    return $result;
}

# What a .c file defines at file scope that another could define too.
sub file_names {
    my ($text) = @_;
    my %names;
    $text =~ s{/\*.*?\*/}{}gs;
    $names{$1} = 1 while $text =~ /^static\b[^;={(]*?\b(\w+)\s*(?:\(|\[|=|;)/mg;
    $names{$1} = 1 while $text =~ /^(?:struct|union|enum)\s+(\w+)\s*\{/mg;
    $names{$1} = 1 while $text =~ /^typedef\b[^;{]*?\b(\w+)\s*;/mg;
    while ($text =~ /^enum(?:\s+\w+)?\s*\{([^}]*)\}/mg) {
        my $body = $1;
        $names{$_} = 1 for map { /^\s*(\w+)/ ? $1 : () } split /,/, $body;
    }
    delete @names{qw(inline const void struct)};
    return keys %names;
}

my (%done, $wants_sync);

# A file with the project's own includes written out, each header once; `names` are renamed in the file itself.
sub expand {
    my ($path, $names) = @_;
    return '' if $done{$path}++;
    my ($result, $own) = ("\n/* ---- $path ---- */\n", '');
    my $flush = sub {
        $result .= rename_words($own, $names);
        $own = '';
    };
    (my $dir = $path) =~ s{/[^/]*$}{};
    my $text = read_file($path);
    $text =~ s/^#ifndef VMK_SYNC_HEADER\n#define VMK_SYNC_HEADER [^\n]*\n#endif\n//m; # none.h is written out below
    for my $line (split /^/, $text) {
        if ($line =~ /^\s*#\s*include\s+"([^"]+)"/) {
            my $name = $1;
            my ($found) = grep { -f $_ } ("$dir/$name", "include/$name", "src/$name");
            die "$path: cannot find \"$name\"\n" unless defined $found;
            die "$path: includes $found\n" if $found =~ $left_out;
            next if $found =~ m{^include/} && $path =~ m{^src/}; # vmakit.h has it
            $flush->();
            $result .= expand($found, {});
        } elsif ($line =~ /^\s*#\s*include\s+VMK_SYNC_HEADER/) {
            next if $wants_sync++;
            (my $none = read_file('include/vmakit/sync/none.h')) =~ s/^\s*#\s*include\s+"vmakit\/[^\n]*\n//mg;
            $flush->();
            $result .= "#ifdef VMK_SYNC_HEADER\n#include VMK_SYNC_HEADER\n#else\n$none#endif\n";
        } else {
            $own .= $line unless $line =~ m{^/\* SPDX-License-Identifier: MIT \*/$};
        }
    }
    $flush->();
    return $result;
}

my ($version) = read_file('CMakeLists.txt') =~ /project\(vmakit VERSION ([0-9.]+)/;
(my $licence = read_file('LICENSE')) =~ s/^/ * /mg;
$licence =~ s/ +$//mg;
my $head = "/*\n * vmakit $version, the core in one file; written by `make amalgamation` from the sources of\n" .
    " * vmakit. Compile vmakit.c with any C11 compiler.\n *\n$licence */\n";

mkdir $out;
open my $h, '>', "$out/vmakit.h" or die "$out/vmakit.h: $!\n";
print $h $head, "#ifndef VMAKIT_AMALGAMATION_H\n#define VMAKIT_AMALGAMATION_H\n";
for my $path (files('include/vmakit', 'h')) {
    print $h expand($path, {}) unless $path =~ $left_out;
}
print $h "\n#endif\n";
close $h or die;

my @sources = files('src', 'c');
my (%owners, %text);
for my $path (@sources) {
    $text{$path} = read_file($path);
    push @{$owners{$_}}, $path for file_names($text{$path});
}

open my $c, '>', "$out/vmakit.c" or die "$out/vmakit.c: $!\n";
print $c $head, "#include \"vmakit.h\"\n",
    "#if defined(__GNUC__)\n#pragma GCC diagnostic ignored \"-Wunused-function\" /* inline helpers */\n#endif\n",
    "#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 14 /* it may drop calls of loops over two arrays */\n",
    "#pragma GCC optimize(\"no-delete-null-pointer-checks\")\n#endif\n";
for my $path (@sources) {
    (my $base = $path) =~ s{.*/|\.c$}{}g;
    my %names = map { $_ => "${base}_$_" } grep { @{$owners{$_}} > 1 } file_names($text{$path});
    print $c expand($path, \%names);
    my %macros;
    $macros{$1} = 1 while $text{$path} =~ /^[ \t]*#[ \t]*define[ \t]+(\w+)/mg;
    delete @macros{ $text{$path} =~ /^[ \t]*#[ \t]*undef[ \t]+(\w+)/mg };
    print $c "#undef $_\n" for sort keys %macros;
}
close $c or die;
