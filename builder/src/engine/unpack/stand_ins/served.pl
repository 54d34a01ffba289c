# served.pl NAME PROGRAM MODULE…: runs a program in Perl for each request, in a process that has its modules already.
# A request is the process id of who asks, whose arguments, environment, directory and files the program gets.
use strict;
use warnings;

my ($name, $program, @modules) = @ARGV;
for my $module (@modules) {
    # what is missing is not needed, or the program says so itself
    eval "require $module";
}

sub slurp {
    my ($path) = @_;
    local $/;
    open(my $file, '<', $path) or die "$path: $!";
    return <$file> // '';
}

{
    my $text = slurp($program);
    # documentation within
    $text =~ s/^=[a-z].*?^=cut$//msg;
    # its functions use its variables: right for the first call, and no process makes a second
    local $SIG{__WARN__} = sub { };
    eval "sub program {\n$text\n}\n1" or die $@;
}

sub become {
    my ($caller) = @_;
    %ENV = map { split(/=/, $_, 2) } grep { /=/ } split(/\0/, slurp("/proc/$caller/environ"));
    # the shell and its script
    (undef, undef, @ARGV) = split(/\0/, slurp("/proc/$caller/cmdline"), -1);
    pop(@ARGV);
    chdir("/proc/$caller/cwd") or die "chdir: $!";
    open(STDIN, '<', "/proc/$caller/fd/0") or die "stdin: $!";
    open(STDOUT, '>', "/proc/$caller/fd/1") or die "stdout: $!";
    open(STDERR, '>', "/proc/$caller/fd/2") or die "stderr: $!";
    $0 = $program;
}

while (1) {
    my $code = 0;
    chomp(my $caller = slurp("/run/smbgw/$name.request"));
    # nobody is asking, but whether there is an answer
    if ($caller != 0) {
        my $child = fork() // die "fork: $!";
        if ($child == 0) {
            become($caller);
            # what a program takes from its arguments, a function takes from its own
            *_ = \@ARGV;
            &program;
            exit(0);
        }
        waitpid($child, 0);
        $code = $? & 127 ? 1 : $? >> 8;
    }
    open(my $reply, '>', "/run/smbgw/$name.reply") or die "reply: $!";
    print $reply "$code\n";
    close($reply);
}
