#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# stack.pl NAME LIMIT CALLS FILE.ci... - reads gcc's call graphs (-fcallgraph-info=su) and bounds the stack use of every
# vmk_ function; see check-stack.sh.
use strict;
use warnings;

my ($name, $limit, $calls_file, @files) = @ARGV;
my (%frame, %calls, @bad, %bare);

# In the graphs a static function is "path/file.c:function", a global one "function".
for my $file (@files) {
    open my $in, '<', $file or die "$file: $!\n";
    while (<$in>) {
        if (/^node: \{ title: "([^"]+)" label: "([^"]*)"/) {
            my ($title, $label) = ($1, $2);
            next unless $label =~ /\\n(\d+) bytes \((\S+?)\)/;
            my ($bytes, $kind) = ($1, $2);
            $frame{$title} = $bytes + 8; # and the return address
            push @bad, "$title: a stack frame whose size is not constant ($kind)" if $kind !~ /^(?:static|dynamic,bounded)$/;
            (my $short = $title) =~ s/.*://;
            push @{$bare{$short}}, $title;
        } elsif (/^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"/) {
            $calls{$1}{$2} = 1;
        }
    }
}
if (open my $in, '<', $calls_file) {
    while (<$in>) {
        s/#.*//;
        my ($from, $to) = split;
        next unless defined $to;
        for my $end ($from, $to) {
            push @bad, "$calls_file:$.: no function $end" unless $bare{$end};
        }
        for my $f (@{$bare{$from} || []}) {
            $calls{$f}{$_} = 1 for @{$bare{$to} || []};
        }
    }
}

# Deepest path from each function: depth first, without recursion of its own so that any graph can be read.
my (%total, %next, %state);
for my $root (sort keys %frame) {
    my @stack = ($root);
    while (@stack) {
        my $f = $stack[-1];
        if (!$state{$f}) {
            $state{$f} = 1;
            for my $callee (sort keys %{$calls{$f} || {}}) {
                next unless exists $frame{$callee};
                if (($state{$callee} || 0) == 1) {
                    my @cycle = @stack;
                    shift @cycle while @cycle && $cycle[0] ne $callee;
                    push @bad, 'recursion: ' . join(' -> ', @cycle, $callee);
                    next;
                }
                push @stack, $callee unless $state{$callee};
            }
            next if $stack[-1] ne $f;
        }
        pop @stack;
        next if $state{$f} == 2;
        $state{$f} = 2;
        my ($deepest, $by) = (0, undef);
        for my $callee (sort keys %{$calls{$f} || {}}) {
            my $t = $total{$callee} or next;
            ($deepest, $by) = ($t, $callee) if $t > $deepest;
        }
        $total{$f} = $frame{$f} + $deepest;
        $next{$f} = $by;
    }
}

sub path {
    my ($f, @path) = @_;
    for (; defined $f; $f = $next{$f}) {
        (my $short = $f) =~ s/.*://;
        push @path, "$short($frame{$f})";
    }
    return join ' > ', @path;
}

my @entries = sort { $total{$b} <=> $total{$a} || $a cmp $b } grep { /^vmk_\w+$/ } keys %total;
for my $f (@entries) {
    push @bad, "$f: $total{$f} bytes, more than $limit: " . path($f) if $total{$f} > $limit;
}
if (@bad) {
    print "$name: $_\n" for @bad;
    exit 1;
}
my $worst = @entries ? "deepest $total{$entries[0]}: " . path($entries[0]) : 'no entry point yet';
print "$name: ", scalar(@entries), " entry points within $limit bytes, no recursion; $worst\n";
