#!/usr/bin/env perl
# SPDX-License-Identifier: MIT
#
# bench-report.pl RESULTS OUT - prints the tables of scripts/bench.sh and writes OUT/ratios.json and OUT/ratios.svg.
#
# RESULTS/linux.tsv: a line a round, peer TAB operation TAB areas TAB median TAB min TAB max; may be missing.
# RESULTS/array.tsv: lookups in a sorted array. A table.
# RESULTS/rbtree.tsv and rbtree-*.json: the same of the peer rbtree, and ours beside it. A second table, and OUT/rbtree.json.
# RESULTS/threads.tsv: bench/threads.cc's; may be missing. Its table comes last, and OUT/threads.json and OUT/threads.svg.
# RESULTS/vmakit-*.json: Google Benchmark's, a sample a repetition, named operation/areas.
use strict;
use warnings;
use JSON::PP;

my ($results, $out) = @ARGV;
my @order = qw(lookup lookup-dependent lookup-next iterate churn map unmap gap-random gap-top gap-deep protect fork
    bytes-per-vma bytes-per-vma-seq bytes-empty bytes-20 create-empty create-20);
sub median {
    my @sorted = sort { $a <=> $b } @_;
    return @sorted % 2 ? $sorted[$#sorted / 2] : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

# By operation and number of areas: [median, least, most] of each round
sub read_peer {
    my ($file) = @_;
    my %of;
    open my $in, '<', $file or return \%of;
    while (<$in>) {
        chomp;
        my ($peer, $operation, $n, @figures) = split /\t/;
        push @{ $of{$operation}{$n} }, \@figures;
    }
    return \%of;
}

# By operation and number of areas: all samples
sub read_ours {
    my %of;
    for my $file (@_) {
        open my $in, '<', $file or die "$file: $!\n";
        my $report = decode_json(do { local $/; <$in> });
        for my $row (@{ $report->{benchmarks} }) {
            next if $row->{run_type} ne 'iteration';
            my ($operation, $n) = split m{/}, $row->{name};
            push @{ $of{$operation}{$n} }, $row->{real_time};
        }
    }
    return \%of;
}

sub figure { my $x = shift; return $x < 100 ? sprintf '%.1f', $x : sprintf '%.0f', $x; }

sub spread { my ($low, $high) = @_; return '(' . figure($low) . '..' . figure($high) . ')'; }

# Prints a table; returns its rows
sub table {
    my ($name, $peer, $ours, $only_both) = @_;
    my @rows;
    printf "%-18s %8s  %24s  %24s  %6s\n", 'operation', 'areas', "$name ns (spread)", 'vmakit ns (spread)', 'ratio';
    for my $operation (@order) {
        for my $n (sort { $a <=> $b } keys %{ $ours->{$operation} || {} }) {
            my @samples = @{ $ours->{$operation}{$n} };
            my $our = median(@samples);
            my ($low, $high) = (sort { $a <=> $b } @samples)[0, -1];
            my $row = { operation => $operation, areas => $n + 0, ours_ns => sprintf('%.2f', $our) + 0,
                        "${name}_ns" => undef, ratio => undef };
            my $shown = '-';
            if (my $rounds = $peer->{$operation}{$n}) {
                my $their = median(map { $_->[0] } @$rounds);
                $row->{"${name}_ns"} = sprintf('%.2f', $their) + 0;
                $row->{ratio} = sprintf('%.3f', $their / $our) + 0;
                $shown = figure($their) . ' ' . spread(median(map { $_->[1] } @$rounds), median(map { $_->[2] } @$rounds));
            }
            next if $only_both && !defined $row->{ratio};
            push @rows, $row;
            printf "%-18s %8s  %24s  %24s  %6s\n", $operation, $n || '-', $shown,
                figure($our) . ' ' . spread($low, $high), defined $row->{ratio} ? sprintf '%.2f', $row->{ratio} : '-';
        }
    }
    return @rows;
}

my $ours = read_ours(glob "$results/vmakit-*.json");
die "bench-report.pl: no results in $results\n" if !%$ours;
my @rows = table('linux', read_peer("$results/linux.tsv"), $ours, 0);
print "bytes-*: bytes. fork: per area, beside the running kernel's fork call. Spread: lowest and highest sample.\n";

my $array = read_peer("$results/array.tsv");
if (%$array) {
    print "\n";
    table('array', $array, { lookup => $ours->{lookup} || {} }, 1);
    print "Beside a branch-free binary search in a sorted array that never changes: the floor.\n";
}

my @few = glob "$results/rbtree-*.json";
if (@few) {
    print "\n";
    my @beside = table('rbtree', read_peer("$results/rbtree.tsv"), read_ours(@few), 1);
    print "Beside the red-black tree that Linux had before 6.1; limits and commit charge off here alone.\n";
    open my $json, '>', "$out/rbtree.json" or die "$out/rbtree.json: $!\n";
    print $json JSON::PP->new->canonical->pretty->encode(\@beside);
    close $json or die "$out/rbtree.json: $!\n";
}

open my $json, '>', "$out/ratios.json" or die "$out/ratios.json: $!\n";
print $json JSON::PP->new->canonical->pretty->encode(\@rows);
close $json or die "$out/ratios.json: $!\n";

# ---- Threads: a table, and a curve for each operation ----

my %thread_rows;
my @operations;
if (open my $in, '<', "$results/threads.tsv") {
    while (<$in>) {
        chomp;
        my ($operation, $threads, $space, $processes, $ratio, $low, $high, $by_processor) = split /\t/;
        push @operations, $operation if !$thread_rows{$operation};
        push @{ $thread_rows{$operation} },
            { operation => $operation, threads => $threads + 0, space_per_us => $space + 0, processes_per_us => $processes + 0,
              ratio => $ratio + 0, low => $low + 0, high => $high + 0, ratio_by_processor => $by_processor + 0 };
    }
}

sub write_thread_chart {
    my ($left, $top, $side) = (60, 40, 420);
    my @colour = ('#4c78a8', '#f58518', '#54a24b', '#b279a2', '#e45756', '#72b7b2');
    my $most = 2;
    for my $rows (values %thread_rows) {
        $_->{threads} > $most and $most = $_->{threads} for @$rows;
    }
    open my $svg, '>', "$out/threads.svg" or die "$out/threads.svg: $!\n";
    printf $svg qq{<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">\n},
        $left + $side + 160, $top + $side + 40;
    print $svg qq{<rect width="100%" height="100%" fill="#ffffff"/>\n};
    print $svg qq{<text x="$left" y="20" font-size="14">threads in one space: ratio to processes, times threads</text>\n};
    for my $n (grep { $_ <= $most } 1, 2, 4, 8, 16, 32, 64) {
        my $at = $side * $n / $most;
        printf $svg qq{<text x="%.1f" y="%d" text-anchor="middle">%d</text><text x="%d" y="%.1f" text-anchor="end">%d</text>\n},
            $left + $at, $top + $side + 16, $n, $left - 6, $top + $side - $at + 4, $n;
    }
    printf $svg qq{<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#dddddd"/>\n}, $left, $top + $side, $left + $side, $top;
    for my $i (0 .. $#operations) {
        my @points = map { my $n = $_->{threads}; my $y = $_->{operation} eq 'beside-writer' ? 0 : $n * $_->{ratio};
            sprintf '%.1f,%.1f', $left + $side * $n / $most, $top + $side - $side * $y / $most } @{ $thread_rows{ $operations[$i] } };
        next if $operations[$i] eq 'beside-writer';
        unshift @points, sprintf '%.1f,%.1f', $left + $side / $most, $top + $side - $side / $most;
        printf $svg qq{<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>\n}, join(' ', @points), $colour[$i];
        printf $svg qq{<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>\n}, $left + $side + 20,
            $top + 16 * $i, $colour[$i], $left + $side + 34, $top + 16 * $i + 9, $operations[$i];
    }
    print $svg "</svg>\n";
    close $svg or die "$out/threads.svg: $!\n";
}

if (@operations) {
    printf "\n%-14s %7s  %13s  %13s  %-20s  %s\n", 'operation', 'threads', 'one space/us', 'processes/us', 'ratio (spread)',
        'by processor time';
    for my $row (map { @{ $thread_rows{$_} } } @operations) {
        printf "%-14s %7d  %13.2f  %13.2f  %-20s  %.2f\n", @$row{qw(operation threads space_per_us processes_per_us)},
            sprintf('%.2f (%.2f..%.2f)', @$row{qw(ratio low high)}), $row->{ratio_by_processor};
    }
    print "Several threads in one space beside as many processes; beside-writer: the reader's rate alone.\n";
    open my $out_json, '>', "$out/threads.json" or die "$out/threads.json: $!\n";
    print $out_json JSON::PP->new->canonical->pretty->encode([map { @{ $thread_rows{$_} } } @operations]);
    close $out_json or die "$out/threads.json: $!\n";
    write_thread_chart();
}

# ---- The chart: a bar for each operation and number of areas, from ratio 1 on a logarithmic axis ----

my @shown = grep { defined $_->{ratio} } @rows;
exit 0 if !@shown;
my @colour = ('#4c78a8', '#f58518', '#54a24b', '#b279a2', '#e45756');
my @sizes = do { my %seen; grep { !$seen{$_}++ } sort { $a <=> $b } map { $_->{areas} } @shown };
my %rank = map { $sizes[$_] => $_ } 0 .. $#sizes;
my ($left, $top, $bar, $width) = (150, 60, 9, 640);
my ($height, $last) = ($top, '');
my @bars;
for my $row (@shown) {
    $height += 10 if $row->{operation} ne $last;
    push @bars, [$row, $height, $row->{operation} ne $last];
    $last = $row->{operation};
    $height += $bar + 1;
}
my ($least, $most) = (0.25, 16);
sub x_of {
    my $ratio = shift;
    $ratio = $least if $ratio < $least;
    $ratio = $most if $ratio > $most;
    return $left + $width * log($ratio / $least) / log($most / $least);
}
open my $svg, '>', "$out/ratios.svg" or die "$out/ratios.svg: $!\n";
printf $svg qq{<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">\n},
    $left + $width + 60, $height + 30;
print $svg qq{<rect width="100%" height="100%" fill="#ffffff"/>\n};
print $svg qq{<text x="$left" y="20" font-size="14">Linux's VMA layer / vmakit (above 1: vmakit is ahead)</text>\n};
for my $i (0 .. $#sizes) {
    my $x = $left + 140 * $i;
    printf $svg qq{<rect x="%d" y="30" width="10" height="10" fill="%s"/><text x="%d" y="39">%s areas</text>\n}, $x,
        $colour[$i % @colour], $x + 14, $sizes[$i];
}
for my $tick (0.25, 0.5, 1, 2, 4, 8, 16) {
    printf $svg qq{<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>\n},
        x_of($tick), $top, x_of($tick), $height + 5, $tick == 1 ? '#000000' : '#dddddd', x_of($tick), $height + 18, $tick;
}
for (@bars) {
    my ($row, $y, $first) = @$_;
    my ($from, $to) = (x_of(1), x_of($row->{ratio}));
    ($from, $to) = ($to, $from) if $to < $from;
    printf $svg qq{<text x="%d" y="%d" text-anchor="end">%s</text>\n}, $left - 8, $y + 9, $row->{operation} if $first;
    printf $svg qq{<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>}, $from, $y, $to - $from, $bar,
        $colour[$rank{ $row->{areas} } % @colour];
    printf $svg qq{<text x="%.1f" y="%d" font-size="8">%.2f</text>\n}, $to + 3, $y + 8, $row->{ratio};
}
print $svg "</svg>\n";
close $svg or die "$out/ratios.svg: $!\n";
