//! Making and running containers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, RenameFlags, chmod, renameat_with, statfs};
use smbgw_api::GatewayName;
use smbgw_command::{Command, CommandError, Runner, wait_until};

use super::config::{self, Places, container_name};
use super::{Standalone, bridge, cgroup, guest_file};
use crate::platform::GuestState;
use crate::record::GuestPlan;
use crate::{Error, Result, durable};

/// overlayfs (statfs(2)): cannot be the upper layer of another overlay.
const OVERLAYFS: u64 = 0x794c_7630;
/// Time that systemd in a container gets to stop.
const STOP_SECONDS: u64 = 15;

impl Standalone {
    pub(super) fn guest_directory(&self, name: &GatewayName) -> PathBuf {
        self.paths.guests().join(container_name(name.as_str()))
    }

    pub(super) fn make_link_directory(&self, guest: &GuestPlan) -> Result<()> {
        let link = self.paths.link(&guest.name);
        self.make_state_directories()?;
        durable::make_directory(&link, 0o700)?;
        own(&link, guest.ids()?.base)
    }

    /// The directories on the way to what containers must reach: searchable by all, listable by root only.
    pub(super) fn make_state_directories(&self) -> Result<()> {
        let links = self.paths.state().join("links");
        for directory in [self.paths.state(), &links, &self.paths.guests(), &self.paths.templates()] {
            durable::make_directory(directory, 0o711)?;
            chmod(directory, Mode::from_raw_mode(0o711))
                .map_err(|errno| Error::io(format!("opening {}", directory.display()), errno.into()))?;
        }
        durable::make_directory(&self.paths.trash(), 0o700)
    }

    pub(super) fn create_container(&self, guest: &GuestPlan) -> Result<()> {
        let ids = guest.ids()?;
        let directory = self.guest_directory(&guest.name);
        let name = guest.template()?;
        let template = self.template_root(name);
        if !template.is_dir() {
            return Err(Error::resource("template-missing", format!("template {name} is not installed"))
                .hint("`pve-smbgateway template list` shows those there are"));
        }
        self.refuse_other_ids(guest)?;
        self.make_state_directories()?;
        durable::make_directory(&directory, 0o711)?;
        let tree = if self.can_overlay()? {
            let overlay = directory.join("overlay");
            for part in ["upper", "work"] {
                durable::make_directory(&overlay.join(part), 0o755)?;
                own(&overlay.join(part), ids.base)?;
            }
            own(&overlay, ids.base)?;
            overlay.join("upper")
        } else {
            let copy = directory.join("rootfs");
            if !copy.is_dir() {
                let partial = directory.join("rootfs.partial");
                durable::remove_tree(&partial)?;
                // shares blocks where the file system can (cp(1), --reflink)
                let command = Command::new("cp")
                    .args(["--archive", "--reflink=auto", "--"])
                    .arg(template.display().to_string())
                    .arg(partial.display().to_string())
                    .deadline(Duration::from_secs(300));
                self.system.run(&command)?;
                std::fs::rename(&partial, &copy)
                    .map_err(|source| Error::io(format!("making {}", copy.display()), source))?;
            }
            copy
        };
        guest_file::write(&tree, "etc/hostname", &format!("{}\n", guest.name), ids.base)?;
        let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost\n", guest.name);
        guest_file::write(&tree, "etc/hosts", &hosts, ids.base)?;
        self.write_configuration(guest)
    }

    /// Whether the state directory's file system can hold the upper layer of an overlay.
    fn can_overlay(&self) -> Result<bool> {
        let io = |errno: rustix::io::Errno| Error::io("looking at the state directory", errno.into());
        Ok(statfs(self.paths.state()).map_err(io)?.f_type as u64 != OVERLAYFS)
    }

    pub(super) fn write_configuration(&self, guest: &GuestPlan) -> Result<()> {
        let ids = guest.ids()?;
        let directory = self.guest_directory(&guest.name);
        let copied = directory.join("rootfs").is_dir();
        let tree = if copied { directory.join("rootfs") } else { directory.join("overlay/upper") };
        guest_file::write(
            &tree,
            "etc/network/interfaces",
            &config::interfaces(guest.network()?.address),
            ids.base,
        )?;
        if let Some(text) = config::resolv_conf(guest.network()?) {
            guest_file::write(&tree, "etc/resolv.conf", &text, ids.base)?;
        }
        let places = Places {
            template: &self.template_root(guest.template()?),
            guest: &directory,
            link: &self.paths.link(&guest.name),
            copied,
        };
        let text = config::render(guest, ids, places, cgroup::abilities())?;
        durable::replace(&directory.join("config"), 0o600, text.as_bytes())
    }

    pub(super) fn limit_container(&self, guest: &GuestPlan) -> Result<()> {
        let GuestState::Running { .. } = self.container_state(&guest.name)? else { return Ok(()) };
        let abilities = cgroup::abilities();
        let group = cgroup::payload(&container_name(guest.name.as_str()));
        let set = |file: &str, value: String| {
            std::fs::write(group.join(file), value)
                .map_err(|source| Error::io(format!("setting {file} of gateway {}", guest.name), source))
        };
        if abilities.memory {
            set("memory.max", guest.memory()?.bytes().to_string())?;
        }
        if abilities.cpu {
            set("cpu.max", guest.cores.map_or_else(|| "max".to_owned(), config::cpu_max))?;
        }
        Ok(())
    }

    pub(super) fn move_container(&self, from: &Path, to: &Path) -> Result<()> {
        if !from.exists() {
            return Ok(());
        }
        let parent = to.parent().unwrap_or(to);
        durable::make_directory(parent, 0o700)?;
        renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(|errno| {
            Error::io(format!("moving {} to {}", from.display(), to.display()), errno.into())
        })
    }

    pub(super) fn start_container(&self, guest: &GuestPlan) -> Result<()> {
        if let GuestState::Running { .. } = self.container_state(&guest.name)? {
            return Ok(());
        }
        let directory = self.guest_directory(&guest.name);
        let log = directory.join("lxc.log");
        durable::remove_file(&log)?;
        let container = container_name(guest.name.as_str());
        cgroup::remove_leftovers(&container);
        bridge::forget_neighbour(&*self.system, guest.network()?)?;
        let command = Command::new("lxc-start")
            .args(self.container_arguments(&guest.name))
            .arg("--daemon")
            .args(["--logpriority", "ERROR", "--logfile"])
            .arg(log.display().to_string())
            .deadline(Duration::from_secs(30));
        self.system.run(&command).map(drop).map_err(|error| match error {
            CommandError::Failed { .. } => start_failed(guest, &log).source(error),
            error => error.into(),
        })
    }

    pub(super) fn stop_container(&self, name: &GatewayName) -> Result<()> {
        let container = container_name(name.as_str());
        if let GuestState::Running { .. } = self.container_state(name)? {
            let base = || Command::new("lxc-stop").args(self.container_arguments(name));
            let clean = base()
                .args(["-t", &STOP_SECONDS.to_string()])
                .deadline(Duration::from_secs(STOP_SECONDS + 10));
            if let Err(error) = self.system.run(&clean) {
                tracing::warn!(%error, "a container did not stop cleanly and is killed");
                let _ = self.system.run(&base().arg("-k").deadline(Duration::from_secs(10)));
            }
        }
        // when LXC's monitor was killed, LXC knows nothing of processes that still run
        let group = cgroup::payload(&container);
        if group.is_dir() {
            let _ = std::fs::write(group.join("cgroup.kill"), "1");
            let gone = || {
                cgroup::remove_leftovers(&container);
                (!group.is_dir()).then_some(())
            };
            wait_until(
                &format!("the processes of gateway {name} to end"),
                Duration::from_secs(10),
                &self.interrupt,
                gone,
            )?;
        }
        cgroup::remove_leftovers(&container);
        // LXC's monitor removes the node's end of the network card, unless it was killed itself
        let configuration =
            std::fs::read_to_string(self.guest_directory(name).join("config")).unwrap_or_default();
        match config::veth_in(&configuration) {
            Some(veth) => bridge::remove_port(&*self.system, veth),
            None => Ok(()),
        }
    }

    pub(super) fn container_state(&self, name: &GatewayName) -> Result<GuestState> {
        if !self.guest_directory(name).join("config").exists() {
            return Ok(GuestState::Absent);
        }
        let command = Command::new("lxc-info")
            .args(self.container_arguments(name))
            .args(["--state", "--pid"])
            .deadline(Duration::from_secs(10));
        let text = self.system.run(&command)?.text(&command)?;
        Ok(parse_state(&text))
    }

    fn container_arguments(&self, name: &GatewayName) -> [String; 4] {
        [
            "-P".to_owned(),
            self.paths.guests().display().to_string(),
            "-n".to_owned(),
            container_name(name.as_str()),
        ]
    }
}

/// Reads what `lxc-info --state --pid` prints, `State: RUNNING` and `PID: 4711`; a stopped container has no pid.
fn parse_state(text: &str) -> GuestState {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    match (value("State:"), value("PID:").and_then(|pid| pid.parse().ok())) {
        (Some("STOPPED") | None, _) | (_, None) => GuestState::Stopped,
        (Some(_), Some(pid)) => GuestState::Running { pid },
    }
}

/// What LXC's log says about a failed start, in words that help.
fn start_failed(guest: &GuestPlan, log: &Path) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let errors: Vec<_> = text.lines().filter_map(log_message).collect();
    let said = errors.first().cloned().unwrap_or_else(|| "LXC gave no reason".to_owned());
    let error =
        Error::infrastructure("start-failed", format!("container {} did not start: {said}", guest.name));
    if errors.iter().any(|e| e.contains("idmapped") || e.contains("mount_setattr")) {
        return error
            .hint("the file system of a share cannot do idmapped mounts; use another one, or mode vm");
    }
    if errors.iter().any(|e| e.contains("newuidmap") || e.contains("uid range")) {
        return error.hint("`pve-smbgateway doctor --fix` gives root the id range that containers need");
    }
    error.hint(format!("the whole log: {}", log.display()))
}

/// The message of a line of LXC's log: what follows the source position.
fn log_message(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" ERROR ")?;
    let (_, message) = rest.split_once(" - ")?;
    let message = message.split_once(" - ").map_or(message, |(_, message)| message);
    Some(message.trim().to_owned())
}

fn own(path: &Path, id: u32) -> Result<()> {
    std::os::unix::fs::lchown(path, Some(id), Some(id))
        .map_err(|source| Error::io(format!("giving {} to the container", path.display()), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        let running = "State:          RUNNING\nPID:            4711\n";
        assert_eq!(parse_state(running), GuestState::Running { pid: 4711 });
        assert_eq!(parse_state("State:          STOPPED\n"), GuestState::Stopped);
        assert_eq!(parse_state("State:          FROZEN\nPID: 1\n"), GuestState::Running { pid: 1 });
        assert_eq!(parse_state(""), GuestState::Stopped);
    }

    #[test]
    fn log_lines() {
        let line = "lxc-start c1 20261121110251.180 ERROR    utils - ../src/lxc/utils.c:mkdir_p:236 - Permission denied \
                    - Failed to create directory \"/x\"";
        assert_eq!(log_message(line).unwrap(), "Permission denied - Failed to create directory \"/x\"");
        assert_eq!(log_message("lxc-start c1 1 WARN x - y - z"), None);
    }
}
