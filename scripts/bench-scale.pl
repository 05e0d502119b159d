#!/usr/bin/env perl
# SPDX-License-Identifier: MIT
#
# bench-scale.pl RESULTS SVG - prints the table of scripts/bench-scale.sh and draws it: both axes logarithmic.
use strict;
use warnings;
use JSON::PP;

my ($results, $svg) = @ARGV;
my @order = qw(lookup lookup-dependent iterate gap-random churn);
my (%median, %areas);

for my $file (glob "$results/*.json") {
    open my $in, '<', $file or die "$file: $!\n";
    my %samples;
    for my $row (@{ decode_json(do { local $/; <$in> })->{benchmarks} }) {
        push @{ $samples{ $row->{name} =~ s{/iterations.*}{}r } }, $row->{real_time} if $row->{run_type} eq 'iteration';
    }
    for my $name (keys %samples) {
        my ($operation, $n) = split m{/}, $name;
        my @sorted = sort { $a <=> $b } @{ $samples{$name} };
        $median{$operation}{$n} = $sorted[$#sorted / 2];
        $areas{$n} = 1;
    }
}
my @areas = sort { $a <=> $b } keys %areas;
die "bench-scale.pl: no results in $results\n" if !@areas;

printf '%12s' . ' %16s' x @order . "\n", 'areas', @order;
for my $n (@areas) {
    printf '%12d' . ' %16s' x @order . "\n", $n,
        map { defined $median{$_}{$n} ? sprintf '%.1f', $median{$_}{$n} : '-' } @order;
}

my ($left, $top, $width, $height) = (60, 40, 560, 360);
my @colour = ('#4c78a8', '#f58518', '#54a24b', '#b279a2', '#e45756');
my ($most_areas, $least, $most) = (log($areas[-1]) / log(10), 1, 10000);
$most_areas = 2 if $most_areas < 2;
sub x_of { return $left + $width * (log($_[0]) / log(10) - 1) / ($most_areas - 1); }
sub y_of { return $top + $height - $height * log($_[0] / $least) / log($most / $least); }

open my $out, '>', $svg or die "$svg: $!\n";
printf $out qq{<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">\n},
    $left + $width + 150, $top + $height + 50;
print $out qq{<rect width="100%" height="100%" fill="#ffffff"/>\n};
print $out qq{<text x="$left" y="20" font-size="14">nanoseconds an operation by the number of areas</text>\n};
for (my $ns = $least; $ns <= $most; $ns *= 10) {
    printf $out qq{<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%d</text>\n},
        $left, y_of($ns), $left + $width, y_of($ns), $left - 6, y_of($ns) + 4, $ns;
}
for my $power (1 .. int $most_areas) {
    printf $out qq{<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#dddddd"/>}, x_of(10**$power), $top, x_of(10**$power),
        $top + $height;
    printf $out qq{<text x="%.1f" y="%d" text-anchor="middle">10<tspan font-size="8" dy="-4">%d</tspan></text>\n},
        x_of(10**$power), $top + $height + 16, $power;
}
for my $i (0 .. $#order) {
    my @points = map { sprintf '%.1f,%.1f', x_of($_), y_of($median{ $order[$i] }{$_}) }
        grep { defined $median{ $order[$i] }{$_} } @areas;
    printf $out qq{<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>\n}, join(' ', @points), $colour[$i];
    printf $out qq{<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>\n},
        $left + $width + 20, $top + 16 * $i, $colour[$i], $left + $width + 34, $top + 16 * $i + 9, $order[$i];
}
print $out "</svg>\n";
close $out or die "$svg: $!\n";
