//! Namespaces for what runs the packages' scripts. Sources: unshare(1), setpriv(1).

use smbgw_command::Command;

/// Mounts are seen by nobody else. The processes end with the process namespace, and that with the builder, so that a
/// build that was killed does not go on.
const NAMESPACES: &[&str] =
    &["--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--propagation", "private"];
/// The person is root inside, and everybody else one of the subordinate users.
const USER_NAMESPACE: &[&str] = &["--user", "--map-root-user", "--map-auto"];

/// A command that runs this program in namespaces of its own; with `user`, in a user namespace, too.
pub(super) fn contained(user: bool, program: &str) -> Command {
    let user = if user { USER_NAMESPACE } else { &[] };
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(user.iter().chain(NAMESPACES).copied())
        .args(["--", program])
}
