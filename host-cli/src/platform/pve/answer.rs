//! What `pvesh` answers. Tolerant: keys come and go between versions, and numbers may be written as text. Pure.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::call::GuestId;
use crate::{Error, Result};

/// A guest, as `/nodes/NODE/KIND` and `…/status/current` have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Guest {
    /// Id; not in every answer.
    #[serde(default, deserialize_with = "number")]
    pub vmid: Option<u64>,
    /// `running` or `stopped`.
    #[serde(default)]
    pub status: String,
    /// What QEMU says, as `running`, `paused`, `io-error`.
    #[serde(default)]
    pub qmpstatus: Option<String>,
    /// Process id of its init, or of QEMU.
    #[serde(default, deserialize_with = "number")]
    pub pid: Option<u64>,
    /// Seconds since its start.
    #[serde(default, deserialize_with = "number")]
    pub uptime: Option<u64>,
    /// Memory in use, in bytes.
    #[serde(default, deserialize_with = "number")]
    pub mem: Option<u64>,
    /// Task that holds it.
    #[serde(default)]
    pub lock: Option<String>,
}

/// A storage, as `/nodes/NODE/storage` has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Storage {
    /// Id.
    pub storage: String,
    /// Type, as `zfspool`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What it may hold, as `images,rootdir`.
    #[serde(default)]
    pub content: String,
    /// 1 when it can be used now.
    #[serde(default, deserialize_with = "number")]
    pub active: Option<u64>,
    /// 1 when it is not switched off.
    #[serde(default, deserialize_with = "number")]
    pub enabled: Option<u64>,
    /// 1 when every node has the same.
    #[serde(default, deserialize_with = "number")]
    pub shared: Option<u64>,
    /// Free space in bytes.
    #[serde(default, deserialize_with = "number")]
    pub avail: Option<u64>,
}

impl Storage {
    /// Whether it may hold this kind of content.
    pub fn holds(&self, content: &str) -> bool {
        self.content.split(',').any(|one| one.trim() == content)
    }

    /// Whether it can be used now.
    pub fn is_active(&self) -> bool {
        self.active == Some(1) && self.enabled != Some(0)
    }
}

/// A task, as `/nodes/NODE/tasks` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Task {
    /// When it ended; absent while it runs.
    #[serde(default, deserialize_with = "number")]
    pub endtime: Option<u64>,
}

/// A volume, as `…/content` has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Volume {
    /// Its id.
    pub volid: String,
    /// Size in bytes.
    #[serde(default, deserialize_with = "number")]
    pub size: Option<u64>,
    /// Format, as `raw`.
    #[serde(default)]
    pub format: String,
}

/// What `qm guest exec` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ran {
    /// 1 when the program has ended; absent when the time was over first.
    #[serde(default, deserialize_with = "number")]
    pub exited: Option<u64>,
    /// Exit code; absent when a signal ended it.
    #[serde(default)]
    pub exitcode: Option<i32>,
    /// Its stdout.
    #[serde(default)]
    pub out_data: String,
    /// Its stderr.
    #[serde(default)]
    pub err_data: String,
    /// 1 when only the beginning of its stdout was kept.
    #[serde(default, deserialize_with = "number")]
    pub out_truncated: Option<u64>,
}

/// The value of an answer.
///
/// # Errors
/// Code `proxmox-garbage`.
pub fn parse<T: DeserializeOwned>(what: &str, stdout: &[u8]) -> Result<T> {
    serde_json::from_slice(stdout).map_err(|source| {
        Error::infrastructure("proxmox-garbage", format!("Proxmox VE's answer about {what} makes no sense"))
            .hint("is this version of Proxmox VE newer than pve-smbgateway? `pve-smbgateway doctor` says what is known")
            .source(source)
    })
}

/// A free id, as a number or as text (`/cluster/nextid`).
///
/// # Errors
/// Code `proxmox-garbage`.
pub fn next_id(stdout: &[u8]) -> Result<GuestId> {
    let value: Value = parse("the next free id", stdout)?;
    let id = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    id.and_then(|id| GuestId::try_from(id).ok()).filter(|id| (100..=999_999_999).contains(id)).ok_or_else(
        || {
            Error::infrastructure("proxmox-garbage", "Proxmox VE's next free id is no id")
                .hint("look at next-id in /etc/pve/datacenter.cfg")
        },
    )
}

/// A number that may be text, a truth value, or absent.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(value) => Some(value.into()),
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|float| float as u64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_may_be_text() {
        let guest: Guest = parse(
            "x",
            br#"{"vmid":"101","status":"running","pid":4711,"uptime":12.5,"ha":{"managed":0},"new":[1]}"#,
        )
        .unwrap();
        assert_eq!(
            (guest.vmid, guest.pid, guest.uptime, guest.status.as_str()),
            (Some(101), Some(4711), Some(12), "running")
        );
        let storages = br#"[{"storage":"local-zfs","type":"zfspool","content":"rootdir,images","active":1,"enabled":"1","avail":"123","shared":0}]"#;
        let storages: Vec<Storage> = parse("x", storages).unwrap();
        assert!(storages[0].is_active() && storages[0].holds("rootdir") && !storages[0].holds("vztmpl"));
        assert_eq!(storages[0].avail, Some(123));
    }

    #[test]
    fn ids() {
        assert_eq!((next_id(b"101\n").unwrap(), next_id(b"\"102\"").unwrap()), (101, 102));
        for bad in [&b"99"[..], b"x", b"", b"1.5", b"1000000000"] {
            assert_eq!(next_id(bad).unwrap_err().code, "proxmox-garbage");
        }
    }

    #[test]
    fn a_program_in_a_guest() {
        let text =
            br#"{"err-data" : "x", "exitcode" : 3, "exited" : 1, "out-data" : "{}", "out-truncated" : 1}"#;
        let ran: Ran = parse("x", text).unwrap();
        assert_eq!(
            (ran.exitcode, ran.exited, ran.out_truncated, ran.out_data.as_str()),
            (Some(3), Some(1), Some(1), "{}")
        );
        let late: Ran = parse("x", br#"{ "pid" : 812 }"#).unwrap();
        assert_eq!(late.exited, None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            let _ = (next_id(text.as_bytes()), parse::<Guest>("x", text.as_bytes()), parse::<Vec<Storage>>("x", text.as_bytes()));
        }
    }
}
