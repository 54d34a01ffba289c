//! Whose an RBD image is. Ceph's own exclusive lock keeps an image's metadata whole, not the file system on it: it is
//! handed from one writer to the next, and both write. A lock on an object of our own beside the image, taken once for the
//! life of a gateway, holds for the whole cluster and outlives process and node. Seen with Ceph 16 and QEMU 10.

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use smbgw_api::{CephUser, DiskSource, GatewayName, RbdImage};
use smbgw_command::{Command, CommandError, Interrupt, Runner, wait_until};

use crate::{Error, Result};

/// Name of the lock on the claim's object.
const LOCK: &str = "owner";
/// Time for one question.
const ASK: Duration = Duration::from_secs(20);
/// Time for the watch of a QEMU that was killed to expire: 30 s by default (`osd_client_watch_timeout`).
const WATCH: Duration = Duration::from_secs(45);
/// Exit codes of `rados` and `rbd`: 1 says why on stderr; 2 is "no such object".
const FAILED: [i32; 3] = [0, 1, 2];

/// The owner of a claim, as it is written into the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    cookie: String,
    description: String,
}

impl Owner {
    /// A gateway on this node.
    pub(super) fn new(gateway: &GatewayName) -> Self {
        let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // the machine's id is not for others (machine-id(5))
        let hash = Sha256::digest(format!("pve-smbgateway/{}/{node}", machine.trim()));
        let short = hash.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self { cookie: format!("{short}-{gateway}"), description: format!("gateway {gateway} on {node}") }
    }
}

/// A locker of a claim's object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Locker {
    client: String,
    cookie: String,
    description: String,
}

/// An image and how its cluster is reached.
struct Claim<'a> {
    runner: &'a dyn Runner,
    image: &'a RbdImage,
    user: Option<&'a CephUser>,
}

/// Claims a disk; one that is claimed by this owner stays so. Files are locked by QEMU itself.
///
/// # Errors
/// Code `disk-in-use`.
pub(super) fn take(runner: &dyn Runner, disk: &DiskSource, owner: &Owner) -> Result<()> {
    let Some(claim) = Claim::of(runner, disk) else { return Ok(()) };
    // twice: another may give it back in between
    for _ in 0..2 {
        let command =
            claim.rados(&["lock", "get"]).args(claim.object()).args([LOCK, "--lock-cookie", &owner.cookie]);
        let command = command.args(["--lock-description", &owner.description]).accept(&[0, 1, 16]);
        let output = runner.run(&command).map_err(|error| claim.failed(error))?;
        if output.code == 0 {
            return Ok(());
        }
        if !output.stderr.contains("busy") {
            return Err(claim.refused(&output.stderr));
        }
        match claim.locker()? {
            Some(locker) if locker.cookie == owner.cookie => return Ok(()),
            Some(locker) => return Err(claim.taken(&locker)),
            None => {}
        }
    }
    Err(Error::resource("disk-in-use", format!("{disk} is being claimed by somebody else")).hint("try again"))
}

/// Gives a disk back, if it is this owner's.
///
/// # Errors
/// When the cluster refuses.
pub(super) fn give_back(runner: &dyn Runner, disk: &DiskSource, owner: &Owner) -> Result<()> {
    let Some(claim) = Claim::of(runner, disk) else { return Ok(()) };
    match claim.locker()? {
        Some(locker) if locker.cookie == owner.cookie => {
            let command = claim.rados(&["lock", "break"]).args(claim.object());
            let command = command.args([LOCK, &locker.client, "--lock-cookie", &locker.cookie]);
            runner.run(&command.accept(&FAILED)).map_err(|error| claim.failed(error))?;
            let remove = claim.rados(&["rm"]).args(claim.object()).accept(&FAILED);
            runner.run(&remove).map(drop).map_err(|error| claim.failed(error))
        }
        _ => Ok(()),
    }
}

/// Waits until nobody has a disk open. A QEMU that was killed seems to have it for half a minute.
///
/// # Errors
/// Code `disk-in-use` with the address of who has it.
pub(super) fn await_unused(runner: &dyn Runner, disk: &DiskSource, interrupt: &Interrupt) -> Result<()> {
    let Some(claim) = Claim::of(runner, disk) else { return Ok(()) };
    let mut watchers = Vec::new();
    let free = wait_until("the disk to be free", WATCH, interrupt, || match claim.watchers() {
        Ok(there) if there.is_empty() => Some(Ok(())),
        Ok(there) => {
            watchers = there;
            None
        }
        Err(error) => Some(Err(error)),
    });
    match free {
        Ok(result) => result,
        Err(smbgw_command::WaitError::TimedOut { .. }) => Err(Error::resource(
            "disk-in-use",
            format!("{disk} is open elsewhere, by {}", watchers.join(", ")),
        )
        .hint(format!(
            "`rbd status {}` shows who has it: another virtual machine, or a mapped device",
            claim.image
        ))),
        Err(error) => Err(error.into()),
    }
}

impl<'a> Claim<'a> {
    fn of(runner: &'a dyn Runner, disk: &'a DiskSource) -> Option<Self> {
        match disk {
            DiskSource::Rbd { image, user } => Some(Self { runner, image, user: user.as_ref() }),
            DiskSource::File(_) | DiskSource::Volume(_) => None,
        }
    }

    fn rados(&self, verb: &[&str]) -> Command {
        let (pool, namespace, _) = self.image.parts();
        let mut command = Command::new("rados").args(["--id", self.user(), "-p", pool]).deadline(ASK);
        if let Some(namespace) = namespace {
            command = command.args(["-N", namespace]);
        }
        command.args(verb.iter().copied())
    }

    fn user(&self) -> &str {
        self.user.map_or("admin", CephUser::as_str)
    }

    fn object(&self) -> [String; 1] {
        [format!("smbgw.claim.{}", self.image.parts().2)]
    }

    fn locker(&self) -> Result<Option<Locker>> {
        let command = self.rados(&["lock", "info"]).args(self.object()).args([LOCK, "--format", "json"]);
        let output = self.runner.run(&command.accept(&FAILED)).map_err(|error| self.failed(error))?;
        if output.code != 0 {
            return if output.stderr.contains("No such file") {
                Ok(None)
            } else {
                Err(self.refused(&output.stderr))
            };
        }
        Ok(parse_locker(&output.stdout))
    }

    fn watchers(&self) -> Result<Vec<String>> {
        let command = Command::new("rbd")
            .args(["--id", self.user(), "status", self.image.as_str(), "--format", "json"])
            .deadline(ASK);
        let output = self.runner.run(&command).map_err(|error| self.failed(error))?;
        Ok(parse_watchers(&output.stdout))
    }

    fn taken(&self, locker: &Locker) -> Error {
        let who: String = locker.description.chars().filter(|c| !c.is_control()).take(100).collect();
        let (pool, _, image) = self.image.parts();
        Error::resource("disk-in-use", format!("rbd:{} is the disk of {who}", self.image)).hint(format!(
            "a disk belongs to one gateway at a time: delete that one first. If it is gone for good, and only then: \
             rados -p {pool} lock break smbgw.claim.{image} {LOCK} {} --lock-cookie {}",
            locker.client, locker.cookie
        ))
    }

    fn refused(&self, said: &str) -> Error {
        let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
        Error::infrastructure("ceph-unreachable", format!("rbd:{} cannot be claimed: {said}", self.image))
            .hint("the Ceph user needs the right to write to the pool: caps osd 'profile rbd pool=POOL'")
    }

    fn failed(&self, error: CommandError) -> Error {
        if matches!(error, CommandError::NotInstalled { .. }) {
            return Error::infrastructure("no-rbd", "Ceph's tools are not installed on this node")
                .hint("apt-get install ceph-common")
                .source(error);
        }
        Error::infrastructure("ceph-unreachable", format!("rbd:{} cannot be reached", self.image))
            .hint("`ceph -s` says how the cluster is; /etc/ceph needs ceph.conf and the user's keyring")
            .source(error)
    }
}

/// Reads `rados lock info --format json`.
fn parse_locker(json: &[u8]) -> Option<Locker> {
    let info: Value = serde_json::from_slice(json).ok()?;
    let locker = info["lockers"].as_array()?.first()?;
    let text = |key: &str| locker[key].as_str().unwrap_or_default().to_owned();
    Some(Locker { client: text("name"), cookie: text("cookie"), description: text("description") })
}

/// Reads `rbd status --format json`.
fn parse_watchers(json: &[u8]) -> Vec<String> {
    let status: Value = serde_json::from_slice(json).unwrap_or_default();
    let watchers = match &status["watchers"] {
        Value::Array(list) => list.clone(),
        // before Ceph 14
        Value::Object(map) => map.values().cloned().collect(),
        _ => Vec::new(),
    };
    watchers.iter().filter_map(|watcher| Some(watcher["address"].as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ceph_prints() {
        let info = br#"{"name":"owner","type":"exclusive","tag":"","lockers":[{"name":"client.4121","cookie":"c-team",
            "description":"gateway team on n1","expiration":"0.000000","addr":"127.0.0.1:0/1"}]}"#;
        let locker = parse_locker(info).unwrap();
        assert_eq!((locker.client.as_str(), locker.cookie.as_str()), ("client.4121", "c-team"));
        assert_eq!(parse_locker(br#"{"name":"owner","lockers":[]}"#), None);
        let status = br#"{"watchers":[{"address":"127.0.0.1:0/99","client":4121,"cookie":1}]}"#;
        assert_eq!(parse_watchers(status), ["127.0.0.1:0/99"]);
        assert!(parse_watchers(br#"{"watchers":[]}"#).is_empty() && parse_watchers(b"nonsense").is_empty());
    }

    #[test]
    fn an_owner_is_the_same_every_time_and_tells_gateways_apart() {
        let name = |text| GatewayName::parse(text).unwrap();
        assert_eq!(Owner::new(&name("team")), Owner::new(&name("team")));
        assert_ne!(Owner::new(&name("team")).cookie, Owner::new(&name("docs")).cookie);
    }
}
