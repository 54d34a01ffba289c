# Runs deb-systemd-helper for each request, in a process of its own that has it compiled already.
use strict;
use warnings;

my $program = '/usr/bin/deb-systemd-helper';
my $directory = '/run/smbgw';
local $/;
open(my $file, '<', $program) or die "$program: $!";
my $text = <$file>;
close($file);
{
    # documentation within
    $text =~ s/^=[a-z].*?^=cut$//msg;
    # its functions use its variables: right for the first call, and no process makes a second
    local $SIG{__WARN__} = sub { };
    eval "sub deb_systemd_helper {\n$text\n}\n1" or die $@;
}
while (1) {
    open(my $request, '<', "$directory/request") or die "request: $!";
    my ($package, @words) = split(/\0/, <$request> // '', -1);
    close($request);
    pop(@words);
    my $child = fork() // die "fork: $!";
    if ($child == 0) {
        $/ = "\n";
        $0 = 'deb-systemd-helper';
        $ENV{DPKG_MAINTSCRIPT_PACKAGE} = $package;
        @ARGV = @words;
        # what a program takes from its arguments, a function takes from its own
        *_ = \@ARGV;
        &deb_systemd_helper;
        exit(0);
    }
    waitpid($child, 0);
    my $code = $? & 127 ? 1 : $? >> 8;
    open(my $reply, '>', "$directory/reply") or die "reply: $!";
    print $reply "$code\n";
    close($reply);
}
