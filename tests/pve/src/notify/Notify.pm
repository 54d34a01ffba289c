package PVE::Notify;

# Stands for Proxmox VE's module of this name: it takes and refuses what that does, and notes what it was to send.
#
# Sources: pve-cluster, src/PVE/Notify.pm (signatures; the same in 8.4 and 9.2); proxmox-perl-rs, common/src/bindings/notify.rs,
# `send` (types); proxmox-notify, src/lib.rs (severities; `Bus::send`, which tells of no error) and src/renderer/mod.rs (templates).

use strict;
use warnings;

use B;
use JSON::PP;
use POSIX qw(ENOENT strftime);

my @SEVERITIES = qw(info notice warning error unknown);
my @TEMPLATES = ('/etc/pve/notification-templates/default', '/usr/share/pve-manager/templates/default');

sub slurp {
    my ($path) = @_;
    open(my $file, '<:encoding(UTF-8)', $path) or return $! == ENOENT ? undef : die "$!\n";
    local $/;
    my $text = <$file>;
    die "$!\n" if !defined($text);
    return $text;
}

sub read_config {
    # only to see that the cluster file system answers
    return [slurp('/etc/pve/notifications.cfg'), slurp('/etc/pve/priv/notifications.cfg')];
}

sub is_string {
    my ($value) = @_;
    return defined($value) && !ref($value) && (B::svref_2object(\$value)->FLAGS & B::SVf_POK);
}

# stricter than the real one, which takes any JSON value for data: from others no template can be filled in
sub check {
    my ($severity, $template, $data, $fields) = @_;
    my $known = defined($severity) && grep { $_ eq $severity } @SEVERITIES;
    die "unknown variant `" . ($severity // '') . "`, expected one of `" . join('`, `', @SEVERITIES) . "`\n" if !$known;
    die "invalid type: template name is no string\n" if !is_string($template);
    die "invalid type: template data is no hash\n" if defined($data) && ref($data) ne 'HASH';
    die "invalid type: fields are no hash\n" if defined($fields) && ref($fields) ne 'HASH';
    for my $key (sort keys %{ $fields // {} }) {
        die "invalid type: field '$key' is no string\n" if !is_string($fields->{$key});
    }
}

my $HELPERS = {
    timestamp => sub {
        my ($value) = @_;
        return defined($value) && $value =~ /^-?\d+$/ ? strftime('%F %H:%M:%S', localtime($value)) : 'ERROR';
    },
};

# as far as templates use it: values, and one helper
sub render {
    my ($text, $data, $escape) = @_;
    $text =~ s/\{\{\s*([^}]*?)\s*\}\}/expression($1, $data, $escape)/ge;
    return $text;
}

sub expression {
    my ($expression, $data, $escape) = @_;
    my ($helper, $key) = $expression =~ /^(?:([a-z-]+) )?([a-z-]+)$/ or die "`$expression` is not simulated\n";
    if (defined($helper)) {
        my $render = $HELPERS->{$helper} or die "helper `$helper` is not simulated\n";
        return $render->($data->{$key});
    }
    my $value = $data->{$key} // '';
    if ($escape) {
        my %escaped = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#x27;', '`' => '&#x60;', '=' => '&#x3D;');
        $value =~ s/([&<>"'`=])/$escaped{$1}/g;
    }
    return $value;
}

sub template {
    my ($name, $suffix, $data, $escape) = @_;
    for my $directory (@TEMPLATES) {
        my $text = slurp("$directory/$name-$suffix");
        return render($text, $data, $escape) if defined($text);
    }
    return undef;
}

sub record {
    my ($notification) = @_;
    my $node = decode_json(slurp('/etc/pve-sim.json'));
    $notification->{node} = $node->{name};
    open(my $file, '>>', "$node->{world}/control/notifications") or die "$!\n";
    syswrite($file, JSON::PP->new->canonical->utf8->encode($notification) . "\n");
    close($file);
}

sub send_notification {
    my ($severity, $template, $data, $fields, $config) = @_;
    $config = read_config() if !defined($config);
    check($severity, $template, $data, $fields);
    my ($subject, $body, $html) = eval {
        (
            template($template, 'subject.txt.hbs', $data, 0),
            template($template, 'body.txt.hbs', $data, 0),
            template($template, 'body.html.hbs', $data, 1),
        );
    };
    my $error = $@;
    if ($error || !defined($subject) || !defined($body)) {
        # the caller is not told
        chomp($error ||= "could not load template '$template'");
        print STDERR "could not notify via target `mail-to-root`: $error\n";
        return;
    }
    $subject =~ s/\n/ /g;
    record({
        severity => $severity,
        template => $template,
        data => $data // {},
        fields => $fields // {},
        subject => $subject,
        body => $body,
        html => $html,
    });
    return;
}

sub notify { return send_notification(@_); }
sub info { return send_notification('info', @_); }
sub notice { return send_notification('notice', @_); }
sub warning { return send_notification('warning', @_); }
sub error { return send_notification('error', @_); }

sub common_template_data {
    my $node = decode_json(slurp('/etc/pve-sim.json'));
    return { hostname => $node->{name}, fqdn => $node->{name} };
}

1;
