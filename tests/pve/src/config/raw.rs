//! Raw `lxc.*` lines. Source: PVE::LXC::Config, `$valid_lxc_conf_keys` and `is_valid_lxc_conf_key`.

/// Keys that may be there.
const KEYS: &[&str] = &[
    "lxc.apparmor.profile",
    "lxc.apparmor.allow_incomplete",
    "lxc.apparmor.allow_nesting",
    "lxc.apparmor.raw",
    "lxc.selinux.context",
    "lxc.include",
    "lxc.arch",
    "lxc.uts.name",
    "lxc.signal.halt",
    "lxc.signal.reboot",
    "lxc.signal.stop",
    "lxc.init.cmd",
    "lxc.init.uid",
    "lxc.init.gid",
    "lxc.init.cwd",
    "lxc.pty.max",
    "lxc.console.logfile",
    "lxc.console.path",
    "lxc.tty.max",
    "lxc.tty.dir",
    "lxc.hook.autodev",
    "lxc.autodev",
    "lxc.mount.fstab",
    "lxc.mount.entry",
    "lxc.mount.auto",
    "lxc.rootfs.mount",
    "lxc.cap.drop",
    "lxc.cap.keep",
    "lxc.seccomp.profile",
    "lxc.seccomp.notify.proxy",
    "lxc.seccomp.notify.cookie",
    "lxc.idmap",
    "lxc.hook.pre-start",
    "lxc.hook.pre-mount",
    "lxc.hook.mount",
    "lxc.hook.start",
    "lxc.hook.stop",
    "lxc.hook.post-stop",
    "lxc.hook.clone",
    "lxc.hook.destroy",
    "lxc.hook.version",
    "lxc.log.level",
    "lxc.log.file",
    "lxc.start.auto",
    "lxc.start.delay",
    "lxc.start.order",
    "lxc.group",
    "lxc.environment",
    "lxc.namespace.clone",
    "lxc.namespace.keep",
    "lxc.monitor.unshare",
    "lxc.keyring.session",
];
/// Families of keys that may be there.
const FAMILIES: &[&str] = &[
    "lxc.net.",
    "lxc.cgroup.",
    "lxc.cgroup2.",
    "lxc.prlimit.",
    "lxc.sysctl.",
    "lxc.proc.",
    "lxc.namespace.share.",
];

/// Reads `lxc.key: value` or `lxc.key = value`.
pub fn line(text: &str) -> Option<(String, String)> {
    let end = text.find([':', '=', ' '])?;
    let (key, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(':').or_else(|| rest.strip_prefix('='))?;
    let good =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-.".contains(letter);
    (key.starts_with("lxc.") && key.chars().all(good)).then(|| (key.to_owned(), value.trim().to_owned()))
}

/// Whether a key may be there.
///
/// # Errors
/// With the warning; the line is lost at the next write.
pub fn check(vmid: u32, key: &str) -> Result<(), String> {
    match key {
        "lxc.rootfs.path" => {
            Err(format!("vm {vmid} - lxc.rootfs.path: lxc.rootfs.path is auto generated from rootfs"))
        }
        "lxc.rootfs.options" => Err(format!(
            "vm {vmid} - lxc.rootfs.options: lxc.rootfs.options is not supported, please use mount point options in the \"rootfs\" key"
        )),
        _ if KEYS.contains(&key) || FAMILIES.iter().any(|family| key.starts_with(family)) => Ok(()),
        _ => Err(format!("vm {vmid} - unable to parse config: {key}")),
    }
}
