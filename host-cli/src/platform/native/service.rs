//! Making, running and removing the services of a gateway on the node.
//!
//! All that is its own is in one directory; only its units, and the link by which the node starts them, are elsewhere.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use smbgw_api::GatewayName;
use smbgw_command::{Command, Runner};

use super::units::{self, Places};
use crate::paths::Paths;
use crate::platform::GuestState;
use crate::record::{GuestForm, GuestPlan};
use crate::{Error, Result, durable};

/// Where systemd reads units that an administrator's programs write (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system";
/// What systemd starts with the node.
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants";
/// For a job of systemd: smbd gets 30 s to stop, and so does the agent.
const JOB: Duration = Duration::from_secs(90);

/// Accounts that Samba needs besides the gateway's users; none of them can log on.
const ACCOUNTS: &[(&str, u32, &str)] = &[
    (
        "passwd",
        0o644,
        "root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("group", 0o644, "root:x:0:\nnogroup:x:65534:\n"),
    ("shadow", 0o640, "root:*:1:0:99999:7:::\nnobody:*:1:0:99999:7:::\n"),
    ("gshadow", 0o640, "root:*::\nnogroup:*::\n"),
    (
        "nsswitch.conf",
        0o644,
        "passwd: files winbind\ngroup: files winbind\nshadow: files\ngshadow: files\nhosts: files dns\n",
    ),
];
/// Files of the node that are seen in its `/etc`; each needs a place to be mounted at.
const SEEN: &[&str] = &["hosts", "ld.so.cache", "localtime", "login.defs", "resolv.conf"];

/// Gateways on the node.
pub(super) struct Services {
    paths: Paths,
    runner: Arc<dyn Runner>,
}

impl Services {
    pub(super) fn new(paths: Paths, runner: Arc<dyn Runner>) -> Self {
        Self { paths, runner }
    }

    fn home(&self, name: &GatewayName) -> PathBuf {
        self.paths.native().join(name.as_str())
    }

    fn trash(&self, ticket: &str) -> PathBuf {
        self.paths.native().join(format!(".{ticket}"))
    }

    /// Whether this gateway has anything on the node.
    pub(super) fn is_there(&self, name: &GatewayName) -> bool {
        self.home(name).exists()
    }

    /// Whether something waits under this ticket.
    pub(super) fn is_retired(&self, ticket: &str) -> bool {
        self.trash(ticket).exists()
    }

    pub(super) fn make_link(&self, name: &GatewayName) -> Result<()> {
        let link = self.paths.link(name);
        durable::make_directory(self.paths.state(), 0o711)?;
        durable::make_directory(&link, 0o700)
    }

    pub(super) fn create(&self, guest: &GuestPlan) -> Result<()> {
        let home = self.home(&guest.name);
        for (directory, mode) in [
            ("", 0o711),
            ("agent", 0o700),
            ("bin", 0o755),
            ("cache", 0o755),
            ("etc", 0o755),
            ("etc/alternatives", 0o755),
            ("etc/samba", 0o755),
            ("lib", 0o755),
            ("lib/private", 0o700),
            ("log", 0o750),
        ] {
            let path = home.join(directory);
            durable::make_directory(&path, mode)?;
            std::fs::set_permissions(&path, Permissions::from_mode(mode))
                .map_err(|source| Error::io(format!("opening {}", path.display()), source))?;
        }
        for (file, mode, content) in ACCOUNTS {
            let path = home.join("etc").join(file);
            if !path.exists() {
                durable::replace(&path, *mode, content.as_bytes())?;
            }
        }
        for file in SEEN {
            let path = home.join("etc").join(file);
            if !path.exists() {
                durable::replace(&path, 0o644, b"")?;
            }
        }
        self.configure(guest)
    }

    /// Writes its units. Limits are in force at once, all else when it is started.
    pub(super) fn configure(&self, guest: &GuestPlan) -> Result<()> {
        let GuestForm::Native(service) = &guest.form else {
            return Err(Error::internal(format!("gateway {} is no service of the node", guest.name)));
        };
        let (home, link) = (self.home(&guest.name), self.paths.link(&guest.name));
        // names by which Samba runs it
        for name in ["dfree", "tally"] {
            let program = home.join("bin").join(name);
            durable::remove_file(&program)?;
            std::os::unix::fs::symlink(&service.agent, &program)
                .map_err(|source| Error::io(format!("making {}", program.display()), source))?;
        }
        for (unit, text) in units::render(guest, service, &Places { home: &home, link: &link }) {
            durable::replace(&Path::new(UNITS).join(unit), 0o644, text.as_bytes())?;
        }
        let wanted = Path::new(WANTED).join(units::agent(&guest.name));
        durable::remove_file(&wanted)?;
        if guest.onboot {
            let unit = Path::new(UNITS).join(units::agent(&guest.name));
            durable::make_directory(Path::new(WANTED), 0o755)?;
            std::os::unix::fs::symlink(&unit, &wanted)
                .map_err(|source| Error::io(format!("making {}", wanted.display()), source))?;
        }
        self.systemctl(&["daemon-reload"])
    }

    pub(super) fn start(&self, name: &GatewayName) -> Result<()> {
        self.reset(name)?;
        self.systemctl(&["start", &units::agent(name)]).map_err(|error| {
            Error::infrastructure("start-failed", format!("the services of gateway {name} did not start"))
                .hint(format!("journalctl -u {} -u {} says why", units::agent(name), units::smbd(name)))
                .source(error)
        })
    }

    /// All at once; the agent must not start smbd again.
    pub(super) fn stop(&self, name: &GatewayName) -> Result<()> {
        // a unit that was never written, or is gone, is as good as stopped
        let units = units::all(name);
        self.of_units("stop", &units)
    }

    pub(super) fn state(&self, name: &GatewayName) -> Result<GuestState> {
        if !self.is_there(name) {
            return Ok(GuestState::Absent);
        }
        let unit = units::agent(name);
        let command = Command::new("systemctl").args(["show", "--property=ActiveState,MainPID", &*unit]);
        Ok(parse_state(&self.runner.run(&command)?.text(&command)?))
    }

    pub(super) fn destroy(&self, name: &GatewayName) -> Result<()> {
        self.stop(name)?;
        self.remove_units(name)?;
        self.remove_runtime(name)?;
        durable::remove_tree(&self.home(name))?;
        self.remove_empty()
    }

    pub(super) fn retire(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        self.stop(name)?;
        let kept = self.home(name).join("units");
        durable::make_directory(&kept, 0o755)?;
        for unit in units::all(name) {
            copy(&Path::new(UNITS).join(&unit), &kept.join(&unit))?;
        }
        let wanted = Path::new(WANTED).join(units::agent(name));
        if std::fs::symlink_metadata(&wanted).is_ok() {
            durable::replace(&kept.join("wanted"), 0o644, b"")?;
        }
        self.remove_units(name)?;
        self.remove_runtime(name)?;
        rename(&self.home(name), &self.trash(ticket))
    }

    pub(super) fn unretire(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        rename(&self.trash(ticket), &self.home(name))?;
        let kept = self.home(name).join("units");
        if !kept.exists() {
            return Ok(());
        }
        for unit in units::all(name) {
            copy(&kept.join(&unit), &Path::new(UNITS).join(&unit))?;
        }
        let wanted = Path::new(WANTED).join(units::agent(name));
        if kept.join("wanted").exists() && std::fs::symlink_metadata(&wanted).is_err() {
            std::os::unix::fs::symlink(Path::new(UNITS).join(units::agent(name)), &wanted)
                .map_err(|source| Error::io(format!("making {}", wanted.display()), source))?;
        }
        self.systemctl(&["daemon-reload"])?;
        durable::remove_tree(&kept)
    }

    pub(super) fn purge(&self, ticket: &str) -> Result<()> {
        durable::remove_tree(&self.trash(ticket))?;
        self.remove_empty()
    }

    pub(super) fn stop_by_hand(&self, name: &GatewayName) -> Vec<String> {
        vec![format!("systemctl stop {}", units::services(name).join(" "))]
    }

    pub(super) fn remove_by_hand(&self, name: &GatewayName) -> Vec<String> {
        let files = units::all(name).map(|unit| format!("{UNITS}/{unit}"));
        let mut commands = self.stop_by_hand(name);
        commands.push(format!("rm -f {} {WANTED}/{}", files.join(" "), units::agent(name)));
        commands.push("systemctl daemon-reload".to_owned());
        commands.push(format!("rm -r {}", self.home(name).display()));
        commands
    }

    fn remove_units(&self, name: &GatewayName) -> Result<()> {
        durable::remove_file(&Path::new(WANTED).join(units::agent(name)))?;
        for unit in units::all(name) {
            durable::remove_file(&Path::new(UNITS).join(unit))?;
        }
        self.systemctl(&["daemon-reload"])?;
        // one that had failed would be shown until the node restarts
        self.reset(name)
    }

    fn reset(&self, name: &GatewayName) -> Result<()> {
        // one after the other: those after one that systemd does not know are left out
        units::services(name)
            .iter()
            .try_for_each(|unit| self.of_units("reset-failed", std::slice::from_ref(unit)))
    }

    fn of_units(&self, verb: &str, units: &[String]) -> Result<()> {
        let args: Vec<&str> = [verb].into_iter().chain(units.iter().map(String::as_str)).collect();
        self.systemctl(&args).or_else(unless_unknown)
    }

    fn remove_runtime(&self, name: &GatewayName) -> Result<()> {
        durable::remove_tree(&Path::new("/run/smbgw").join(name.as_str()))?;
        // other gateways' are in it, perhaps
        let _ = std::fs::remove_dir("/run/smbgw");
        Ok(())
    }

    fn remove_empty(&self) -> Result<()> {
        let _ = std::fs::remove_dir(self.paths.native());
        Ok(())
    }

    fn systemctl(&self, args: &[&str]) -> Result<()> {
        let command = Command::new("systemctl").args(args.iter().copied()).deadline(JOB);
        Ok(self.runner.run(&command).map(drop)?)
    }
}

/// systemctl(1) says so of a unit that it has no file of.
fn unless_unknown(error: Error) -> Result<()> {
    if error.chain().contains("not loaded") { Ok(()) } else { Err(error) }
}

fn parse_state(text: &str) -> GuestState {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let pid = value("MainPID=").and_then(|pid| pid.parse().ok()).unwrap_or(0);
    match value("ActiveState=") {
        Some("active" | "activating" | "reloading") => GuestState::Running { pid },
        _ => GuestState::Stopped,
    }
}

/// Copies a small file; one that is not there is not needed.
fn copy(from: &Path, to: &Path) -> Result<()> {
    match std::fs::read(from) {
        Ok(content) => durable::replace(to, 0o644, &content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::io(format!("reading {}", from.display()), source)),
    }
}

/// Moves a directory; done already is done.
fn rename(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
        .map_err(|errno| Error::io(format!("moving {} to {}", from.display(), to.display()), errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        assert_eq!(parse_state("MainPID=4711\nActiveState=active\n"), GuestState::Running { pid: 4711 });
        assert_eq!(parse_state("ActiveState=failed\nMainPID=0\n"), GuestState::Stopped);
        assert_eq!(parse_state(""), GuestState::Stopped);
    }
}
