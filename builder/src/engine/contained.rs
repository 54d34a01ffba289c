//! Namespaces for what runs the packages' scripts. Sources: unshare(1), setpriv(1).

use smbgw_command::Command;

/// Mounts are seen by nobody else. There is no network, not even a loopback that is up: what a script makes is made of the
/// packages alone. The processes end with the process namespace, and that with the builder, so that a build that was killed
/// does not go on.
const NAMESPACES: &[&str] = &[
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child=SIGKILL",
    "--mount-proc",
    "--propagation",
    "private",
];
/// The person is root inside, and everybody else one of the subordinate users.
const USER_NAMESPACE: &[&str] = &["--user", "--map-root-user", "--map-auto"];

/// The kernel kills a process with its parent only from when that has asked for it (`PR_SET_PDEATHSIG(2const)`): a builder
/// that ends just before leaves the end of a pipe to be seen.
const UNLESS_ORPHANED: &str = r#"read -t 0 && exit 1; exec "$@" </dev/null"#;

/// A command that runs this program in namespaces of its own; with `user`, in a user namespace, too.
///
/// Unless it is killed with a process namespace around it, what unshare(1) starts to map ids waits for ever when that is killed
/// first: root can have one, anybody else only in the user namespace that is being made.
pub(super) fn contained(user: bool, program: &str) -> Command {
    let around = user && rustix::process::geteuid().is_root();
    let unshare = |user: &[&'static str]| [&["unshare"], user, NAMESPACES, &["--"]].concat();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(if around { unshare(&[]) } else { Vec::new() })
        .args(unshare(if user { USER_NAMESPACE } else { &[] }))
        .args(["bash", "-c", UNLESS_ORPHANED, "bash", program])
        .stdin_open()
}

#[cfg(test)]
mod tests {
    use smbgw_command::{Command, CommandError, Runner, System};

    use super::{UNLESS_ORPHANED, contained};

    #[test]
    fn an_orphan_does_nothing() {
        let run = |command: Command| System::new().run(&command).map(|output| output.stdout);
        let guarded =
            || Command::new("bash").args(["-c", UNLESS_ORPHANED, "bash", "printf", "%s", "a b", "ran"]);
        assert_eq!(run(guarded().stdin_open()).unwrap(), b"a bran");
        let orphan = run(guarded());
        assert!(matches!(orphan, Err(CommandError::Failed { code: Some(1), .. })), "{orphan:?}");
    }

    #[test]
    fn there_is_no_network() {
        let user = !rustix::process::geteuid().is_root();
        let connect = contained(user, "bash").args(["-c", "exec 3<>/dev/tcp/127.0.0.1/9"]);
        let refused = System::new().run(&connect).unwrap_err();
        assert!(refused.stderr().contains("unreachable"), "{refused:?}");
    }
}
