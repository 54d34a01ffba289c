//! A mount point in a running container. Source: PVE::LXC, `mountpoint_hotplug`: a detached mount is moved into the guest.

use std::fs;
use std::process::{Command, Stdio};

use super::life::init;
use super::mount::{Mount, Source};
use crate::config::Config;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::volume;

/// Takes: the guest's first process, source, target, attributes to set, owner of a directory that is made, 1 for the guest's id map.
/// Numbers of system calls are those of x86-64; constants are those of linux/mount.h.
const SCRIPT: &str = r#"
use strict; use Fcntl;
my ($pid, $source, $target, $attributes, $owner, $mapped) = @ARGV;
my ($here, $empty_path, $clone, $cloexec) = (-100, 0x1000, 1, 0x80000);
sub ok { my ($what, $result) = @_; die "$what: $!\n" if $result == -1; return $result; }
my ($path, $nothing) = ($source, "");
my $tree = ok("open_tree", syscall(428, $here, $path, $clone | $cloexec));
sysopen(my $users, "/proc/$pid/ns/user", O_RDONLY) or die "user: $!\n";
sysopen(my $mounts, "/proc/$pid/ns/mnt", O_RDONLY) or die "mnt: $!\n";
if ($mapped || $attributes) {
    my $set = pack("Q<4", $attributes | ($mapped ? 0x100000 : 0), 0, 0, $mapped ? fileno($users) : 0);
    ok("mount_setattr", syscall(442, $tree, $nothing, $empty_path, $set, length($set)));
}
ok("setns", syscall(308, fileno($mounts), 0x20000));
my $made = "";
for my $part (grep { length } split m{/}, $target) {
    $made .= "/$part";
    die "symlink encountered at: $made\n" if -l $made;
    next if -d $made;
    mkdir($made, 0755) or die "mkdir $made: $!\n";
    chown($owner, $owner, $made);
}
my $to = $target;
ok("move_mount", syscall(429, $tree, $nothing, $here, $to, 4));
"#;

/// Mounts into a running container.
///
/// # Errors
/// When it cannot be mounted.
pub fn mount(sim: &Sim, vmid: u32, config: &Config, mount: &Mount) -> Result<()> {
    let pid = init(vmid).ok_or_else(|| Refusal::new(format!("container '{vmid}' not running!")))?;
    let source = match mount.source() {
        Source::Volume => volume::locate(sim, mount.volume())?.display().to_string(),
        _ => mount.volume().to_owned(),
    };
    let mut attributes = if mount.is("ro") { 1 } else { 0 };
    let more = mount.pairs.get("mountoptions").map(String::as_str).unwrap_or_default();
    for (name, bit) in [("nosuid", 2), ("nodev", 4), ("noexec", 8), ("noatime", 0x10)] {
        if more.split(';').any(|option| option == name) {
            attributes |= bit;
        }
    }
    let mapped =
        mount.pairs.get("idmap").is_some_and(|map| map == "passthrough") && config.is("unprivileged");
    let owner = if config.is("unprivileged") { "100000" } else { "0" };
    let target = format!("/{}", mount.target().trim_start_matches('/'));
    let output = Command::new("perl")
        .args([
            "-e",
            SCRIPT,
            &pid.to_string(),
            &source,
            &target,
            &attributes.to_string(),
            owner,
            if mapped { "1" } else { "0" },
        ])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    refuse(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Brings a limit into force.
pub fn limit(vmid: u32, config: &Config, key: &str) {
    let directory = format!("/sys/fs/cgroup/lxc.payload.{vmid}");
    let mebibytes =
        |key: &str| config.get(key).and_then(|text| text.parse::<u64>().ok()).map(|number| number << 20);
    match key {
        "memory" => {
            if let Some(bytes) = mebibytes("memory") {
                let _ = fs::write(format!("{directory}/memory.high"), (bytes / 1024 * 1016).to_string());
                let _ = fs::write(format!("{directory}/memory.max"), bytes.to_string());
            }
        }
        "swap" => {
            if let Some(bytes) = mebibytes("swap") {
                let _ = fs::write(format!("{directory}/memory.swap.max"), bytes.to_string());
            }
        }
        "cores" | "cpulimit" => {
            let cores =
                config.get("cores").or(config.get("cpulimit")).and_then(|text| text.parse::<f64>().ok());
            let text = cores
                .filter(|cores| *cores > 0.0)
                .map_or("max".to_owned(), |cores| ((cores * 1e5) as u64).to_string());
            let _ = fs::write(format!("{directory}/cpu.max"), format!("{text} 100000"));
        }
        _ => {}
    }
}
