#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-includes.sh - refuses an include that points up, or at something that its directory has no business with. The
# table below is the arrows of docs/design.md; a line is a directory and what its files may include besides their own
# directory. The longest directory that fits a file decides.
. "$(dirname "$0")/lib.sh"

# freestanding: C11's freestanding headers. system: any <header>. sync: VMK_SYNC_HEADER, VMK_ATOMIC_HEADER.
# public: include/vmakit/*.h.    port: include/vmakit/port*.h, types.h, flags.h, errno.h.    NAME: src/NAME/
table='
include/vmakit          plain public
include/vmakit/sync     system public
src/base                freestanding public sync
src/tree                freestanding public base
src/frame               freestanding public base
src/system              freestanding public base
src/object              freestanding public base frame system
src/pgtable             freestanding public base frame
src/pgtable/arm64       freestanding public base pgtable
src/pgtable/x86_64      freestanding public base pgtable
src/pgtable/rk_iommu    freestanding public base pgtable
src/mm                  freestanding public base tree object frame pgtable system
src/report              freestanding public base mm tree object system
ports/linux             system port sync
ports/mock              system port sync
ports/arm64             system port sync
boards                  system public ports/arm64
tool                    system public
examples                system public
bench                   system public
tests/unit              system public sync base tree frame system object pgtable pgtable/arm64 pgtable/x86_64 pgtable/rk_iommu mm report tests/support ports/mock
tests/mock              system public base tree mm tests/support ports/mock
tests/support           system public sync base tree frame system object pgtable mm report ports/mock
tests/oracle            system public tests/support
tests/tool              system public tool tests/support
tests/fuzz              system public tool tests/support
tests/bare              system public ports/arm64 boards tests/support
'

# The peers of bench are built against kernel headers, by a script of their own.
source_files '*.c' '*.h' '*.cc' | grep -v '^bench/peers/' | perl -e '
use strict;
my (%may, $bad, $files);
for (split /\n/, shift) { my ($dir, @what) = split; $may{$dir} = { map { $_ => 1 } @what } if defined $dir; }
my %freestanding = map { $_ => 1 } qw(float.h iso646.h limits.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h
    stdint.h stdnoreturn.h);
my %plain = map { $_ => 1 } qw(stdbool.h stddef.h stdint.h);
sub refuse { my ($where, $why) = @_; print "$where: $why\n"; $bad++; }

while (my $file = <STDIN>) {
    chomp $file;
    (my $dir = $file) =~ s{/[^/]*$}{};
    my $rule = $dir;
    $rule =~ s{/?[^/]*$}{} while length $rule && !$may{$rule};
    if (!length $rule) {
        refuse($file, "its directory is not in the table of scripts/check-includes.sh") if $file =~ m{/};
        next;
    }
    my $allow = $may{$rule};
    $files++;
    open my $in, "<", $file or die "$file: $!\n";
    while (<$in>) {
        my $where = "$file:$.";
        refuse($where, "#if 0: delete what is not compiled") if /^\s*#\s*if\s+0\b/;
        refuse($where, "an #if on the architecture; make it data")
            if $file =~ m{^src/(?!base/|pgtable/)} && /^\s*#\s*(?:el)?if.*\b__(?:x86_64|aarch64|riscv|arm|i386)__/;
        next unless /^\s*#\s*include\s+(.*?)\s*(?:\/[\/*].*)?$/;
        my $what = $1;
        if ($what =~ /^VMK_(?:SYNC|ATOMIC)_HEADER$/) {
            refuse($where, "only src/base includes $what") unless $allow->{sync};
            next;
        }
        my ($kind, $name) = $what =~ /^([<"])([^>"]+)[>"]$/ or do { refuse($where, "cannot read: $what"); next; };
        if ($name =~ /\.c$/) { refuse($where, "a .c that includes a .c"); next; }
        if ($name =~ m{^vmakit/}) {
            refuse($where, "no such file: include/$name") unless -e "include/$name";
            my $ok = $allow->{public};
            $ok ||= $name =~ m{^vmakit/(?:port\w*|types|flags|errno)\.h$} if $allow->{port};
            $ok = 0 if $name =~ m{^vmakit/sync/} && $rule =~ /^src/;
            refuse($where, "$rule may not include <$name>") unless $ok;
            next;
        }
        if ($kind eq "<") {
            next if $allow->{system} || ($allow->{freestanding} && $freestanding{$name}) ||
                ($allow->{plain} && $plain{$name});
            refuse($where, "$rule may not include <$name>");
            next;
        }
        if ($name =~ m{(?:^|/)\.\.?/}) { refuse($where, "a path with dots; name it from the top: \"$name\""); next; }
        next if -e "$dir/$name";
        if ($rule =~ m{^include/}) { refuse($where, "a public header includes \"$name\""); next; }
        (my $target = $name) =~ s{/?[^/]*$}{};
        my ($found) = grep { -e "$_/$name" } ("src", ".", $rule, "tests", $rule =~ m{^tests} ? ("tests/support", "tool") : ());
        if (!$found) { refuse($where, "no such file: \"$name\" (paths start at src/ or at the top)"); next; }
        my $path = $found eq "." ? $name : "$found/$name";
        (my $from = $path) =~ s{/[^/]*$}{};
        next if $from eq $rule || index("$from/", "$rule/") == 0;
        (my $layer = $from) =~ s{^src/}{};
        my $ok = 0;
        for (my $l = $layer; length $l; $l =~ s{/?[^/]*$}{}) { $ok = 1 if $allow->{$l}; last if $from =~ m{^src/}; }
        refuse($where, "$rule may not include $from") unless $ok;
    }
}
$files ||= 0;
print "$files files, every include points down\n" unless $bad;
exit($bad ? 1 : 0);
' "$table"
