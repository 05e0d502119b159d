#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-lesson.sh - each row of the tables in docs/lesson.md names a function and a test that exist, and the test ran
# and passed in the last `ctest` of the release build (its log: $BUILD/Testing/Temporary/LastTest.log, or LOG).
#
# A row: | `name in the lesson` | `vmk_function` ... | ... | `test_file/test_function` ... |
#   the last cell holds the tests: `test_vma/split_keeps_pgoff` is the function split_keeps_pgoff of tests/unit/test_vma.c
#   (or of tests/tool/), `example/lesson`, `tool/NAME`, `oracle/NAME` are whole tests of ctest;
#   the cells before it hold at least one `vmk_name` (a function, macro, type or constant of include/vmakit).
# A row whose only word is "--" or that begins with a colon (the table's rule) is layout.
. "$(dirname "$0")/lib.sh"
lesson=docs/lesson.md
log=${LOG:-$BUILD/Testing/Temporary/LastTest.log}
[ -f $lesson ] || fail "$lesson is missing"
[ -f "$log" ] || fail "no log of a test run ($log); run ctest --test-dir $BUILD first"

cat include/vmakit/*.h | perl -e '
use strict;
my ($lesson, $log) = @ARGV;
my $headers = join "", <STDIN>;
my %known = map { $_ => 1 } $headers =~ /\b(vmk_\w+|VMK_\w+)\b/g;
# Names that macros paste together: the verbs.
if ($headers =~ /#define VMK_VERBS\(X\)((?:.*\\\n)*.*)/) {
    for ($1 =~ /X\((\w+)\)/g) { $known{"vmk_$_"} = $known{"vmk_${_}_prepare"} = $known{"vmk_${_}_request"} = 1; }
}

my (%passed, %exists, $test);
open my $in, "<", $log or die "$log: $!\n";
while (<$in>) {
    $test = $1, $exists{$1} = 1 if m{^\d+/\d+ Testing: (\S+)};
    next unless defined $test;
    (my $program = $test) =~ s{.*/}{};
    $passed{"$program/$1"} = 1 if /\[\s+OK \] (?:\S+: )?(\w+)/;
    $passed{$test} = 1 if /^Test Passed\./;
}
my (%source);
for my $file (glob("tests/unit/*.c tests/tool/*.c")) {
    open my $f, "<", $file or next;
    (my $base = $file) =~ s{.*/|\.c$}{}g;
    local $/;
    my $text = <$f>;
    $source{"$base/$1"} = 1 while $text =~ /^static void (\w+)\(void \*\*/mg;
}

close $in;
my ($rows, $bad) = (0, 0);
sub refuse { print "$lesson:$.: @_\n"; $bad++; }
open $in, "<", $lesson or die;
my $table = 0;
while (<$in>) {
    if (!/^\|/) { $table = 0; next; }
    next if $table++ < 2; # the head and the rule under it
    my @cells = map { s/^\s+|\s+$//gr } split /(?<!\\)\|/, $_;
    shift @cells if @cells && $cells[0] eq "";
    pop @cells if @cells && $cells[-1] eq "";
    $rows++;
    if (@cells < 3) { refuse("a row needs three cells: the name, the function, the test"); next; }
    my $tests = pop @cells;
    my @names = map { /^(vmk_\w+|VMK_\w+)/ ? $1 : () } map { /`([^`]+)`/g } @cells;
    refuse("no vmk_ name in the row of $cells[0]") unless @names;
    for (@names) { refuse("$_ is in no public header") unless $known{$_}; }
    my @tests = $tests =~ /`([^`]+)`/g;
    refuse("no test in the row of $cells[0]") unless @tests;
    for my $t (@tests) {
        next if $passed{$t};
        refuse($source{$t} || $exists{$t} ? "$t exists, but did not run and pass" : "no test $t");
    }
}
refuse("no rows") unless $rows;
print "$rows rows, each with a function and a test that ran\n" unless $bad;
exit($bad ? 1 : 0);
' $lesson "$log"
