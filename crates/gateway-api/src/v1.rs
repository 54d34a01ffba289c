//! Version 1 of what host and agent say: HTTP/1.1 with JSON bodies over the agent's unix socket.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `GET /v1/health` | | [`Health`] |
//! | `GET /v1/gateway` | | [`GatewayState`] |
//! | `PUT /v1/gateway` | [`DesiredState`] | [`Applied`] |
//! | `PUT /v1/users/{name}/password` | [`NewPassword`] | [`Applied`] |
//! | `GET /v1/users` | | [`Vec`] of [`UserState`] |
//! | `POST /v1/probe` | [`ProbeRequest`] | [`ProbeResult`] |
//! | `DELETE /v1/probe` | [`ProbeRequest`] | [`ProbeResult`] |
//! | `GET /v1/quota` | | [`Vec`] of [`ShareSize`] |
//! | `PUT /v1/quota` | [`Usage`] | [`Applied`] |
//! | `POST /v1/disk/grow` | | [`DiskState`] |
//! | `GET /v1/sessions` | | [`Vec`] of [`Session`] |
//! | `DELETE /v1/sessions/{id}` | | [`Applied`] |
//! | `GET /v1/metrics` | | [`Metrics`] |
//! | `GET /metrics` | | the same for Prometheus; with `?clients` by client and user, too |
//! | `GET /v1/events` | | server-sent events, each an [`Event`] |
//! | `GET /v1/domain` | | [`domain::DomainState`] |
//! | `POST /v1/domain/join` | [`domain::JoinRequest`] | [`domain::Joined`] |
//! | `POST /v1/domain/leave` | [`domain::LeaveRequest`] | [`domain::Left`] |
//! | `POST /v1/domain/diagnose` | [`domain::DiagnoseRequest`] | [`domain::Diagnosis`] |
//! | `POST /v1/domain/test` | | [`domain::DomainState`] |
//! | `GET /v1/domain/secrets` | | [`domain::KeptSecrets`] |
//!
//! Every answer that is not 2xx carries an [`ApiError`]. Readers ignore fields they do not know in answers (an
//! agent may be newer), and refuse them in requests (a typing error must not pass silently).

pub mod domain;
mod metrics;

pub use metrics::{
    AgentCost, ClientFigures, DomainFigures, Event, FailedLogons, Metrics, Operations, ProcessFigures,
    ServiceState, ShareFigures, ShareSpace, Traffic,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Access, Admission, Domain, DomainFault, DomainPrincipal, FolderPath, GatewayName, GatewaySpec, GroupName,
    Handling, Location, Mode, Principal, SecurityProfile, ShareName, UserName,
};

/// Largest body of a request or an answer, in bytes.
pub const MAX_BODY: usize = 4 << 20;

/// Where the agent listens, inside the gateway.
pub const SOCKET_PATH: &str = "/var/lib/smbgw/link/agent.sock";
/// Name of the socket in the link directory.
pub const SOCKET_NAME: &str = "agent.sock";
/// Where the link directory is mounted in a container, relative to its root.
pub const LINK_DIRECTORY: &str = "var/lib/smbgw/link";

/// All that the agent makes true. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredState {
    /// Host and NetBIOS name.
    pub name: GatewayName,
    /// Strictness.
    pub security: SecurityProfile,
    /// Local users, all of them: others that an earlier state made are removed.
    pub users: Vec<DesiredUser>,
    /// Local groups, all of them; likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<DesiredGroup>,
    /// Shares, all of them.
    pub shares: Vec<DesiredShare>,
    /// The gateway's disk, in a virtual machine that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DesiredDisk>,
    /// The domain that it is, or is to be, a member of: [`domain::JoinRequest`] joins it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
}

/// Serial number of a gateway's disk, by which the agent finds it below `/dev/disk/by-id`.
pub const DISK_SERIAL: &str = "smbgw-data";
/// Where the agent mounts the gateway's disk.
pub const DISK_PATH: &str = "/var/lib/smbgw/disk";

/// The disk that folders are on. Its serial number is [`DISK_SERIAL`]; it holds a file system without partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredDisk {
    /// Make an ext4 file system on it if it is empty.
    pub format: bool,
}

/// Where a share's files come from, inside the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Storage {
    /// The platform has mounted them at [`ShareName::guest_path`], as it does in a container.
    #[default]
    Mounted,
    /// The agent mounts this virtio-fs tag there.
    VirtioFs {
        /// Mount tag: at most 36 bytes (virtio specification 1.2, section 5.11.4).
        tag: String,
    },
    /// The agent mounts this folder of the gateway's disk there; it makes the folder if there is none.
    Disk {
        /// Folder, below [`DISK_PATH`].
        folder: FolderPath,
    },
}

impl Storage {
    fn is_mounted(&self) -> bool {
        *self == Self::Mounted
    }

    /// The virtio-fs tag of a share of a gateway. Also the id of its directory mapping on Proxmox VE, hence unique in
    /// a cluster, of letters, digits and `-`, starting with a letter.
    pub fn tag(gateway: &GatewayName, share: &ShareName) -> String {
        let hash = Sha256::digest(format!("{gateway}/{share}"));
        hash.iter().take(6).fold(String::from("smbgw-"), |tag, byte| format!("{tag}{byte:02x}"))
    }
}

/// A local user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredUser {
    /// Name.
    pub name: UserName,
    /// Uid, and gid of the user's own group.
    pub uid: u32,
}

/// A local group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredGroup {
    /// Name; in group(5) it is [`GroupName::unix_name`].
    pub name: GroupName,
    /// Gid.
    pub gid: u32,
    /// Users in it.
    pub members: Vec<UserName>,
}

/// A share. Its directory is [`ShareName::guest_path`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredShare {
    /// Name.
    pub name: ShareName,
    /// Text shown beside the name.
    pub comment: Option<String>,
    /// Nobody may write.
    pub read_only: bool,
    /// Users who may open it; all local users when neither users nor groups are named.
    pub users: Vec<UserName>,
    /// Groups whose members may open it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
    /// Users and groups of the domain who may open it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<DomainPrincipal>,
    /// Users and groups who may open it and only read, whatever else is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Principal>,
    /// Shown in the list of shares.
    pub browseable: bool,
    /// Where its files come from.
    #[serde(default, skip_serializing_if = "Storage::is_mounted")]
    pub storage: Storage,
    /// On a disk: let the share's users into its folder by a POSIX ACL, if they have no entry yet. A folder that the
    /// agent makes gets this in any case, since nobody else could give it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grant: bool,
    /// How many bytes it may hold; clients see that as its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What happens to its files, in the words of the spec.
    #[serde(default, skip_serializing_if = "Handling::is_default")]
    pub handling: Handling,
}

impl DesiredShare {
    /// Who may do what in it.
    pub fn admission(&self) -> Admission<'_> {
        Admission {
            users: &self.users,
            groups: &self.groups,
            allow: &self.allow,
            readers: &self.readers,
            read_only: self.read_only,
        }
    }
}

impl DesiredState {
    /// What a user may do in a share.
    pub fn access(&self, share: &DesiredShare, user: &UserName) -> Access {
        share.admission().access(user, |name| {
            self.groups.iter().any(|group| group.name == *name && group.members.contains(user))
        })
    }

    /// SHA-256 over the canonical JSON, in hexadecimal: host and agent compare it to see whether anything differs.
    pub fn hash(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<&GatewaySpec> for DesiredState {
    /// Users and groups without an id are left out; call [`GatewaySpec::assign_ids`] first.
    fn from(spec: &GatewaySpec) -> Self {
        Self {
            name: spec.name.clone(),
            security: spec.security,
            users: spec
                .users
                .iter()
                .filter_map(|user| Some(DesiredUser { name: user.name.clone(), uid: user.uid? }))
                .collect(),
            groups: spec
                .groups
                .iter()
                .filter_map(|group| {
                    let (name, members) = (group.name.clone(), group.members.clone());
                    Some(DesiredGroup { name, gid: group.gid?, members })
                })
                .collect(),
            shares: spec
                .shares
                .iter()
                .map(|share| DesiredShare {
                    name: share.name.clone(),
                    comment: share.comment.clone(),
                    read_only: share.read_only,
                    users: share.users.clone(),
                    groups: share.groups.clone(),
                    allow: share.allow.clone(),
                    readers: share.readers.clone(),
                    browseable: share.browseable,
                    storage: match (&share.location, spec.mode) {
                        (Location::Directory(_) | Location::Storage(_), Mode::Vm) => {
                            Storage::VirtioFs { tag: Storage::tag(&spec.name, &share.name) }
                        }
                        (Location::Directory(_) | Location::Storage(_), _) => Storage::Mounted,
                        (Location::Folder(folder), _) => Storage::Disk { folder: folder.clone() },
                    },
                    // on the node, the host has done it
                    grant: share.grant && matches!(share.location, Location::Folder(_)),
                    limit: share.quota.map(|quota| quota.size.bytes()),
                    handling: share.handling.clone(),
                })
                .collect(),
            disk: spec.disk.as_ref().map(|disk| DesiredDisk { format: disk.format }),
            domain: spec.domain.clone(),
        }
    }
}

/// What an agent did for a request that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Whether anything was changed.
    pub changed: bool,
    /// What was done, one line each, for people.
    pub actions: Vec<String>,
}

/// What shares hold, as the node sees it. Only what the file system does not tell the gateway itself need be in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// One entry a share.
    pub shares: Vec<ShareUsage>,
}

/// What one share holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareUsage {
    /// Share.
    pub share: ShareName,
    /// Bytes that count against its quota.
    pub used: u64,
}

/// Size of a share with a quota, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShareSize {
    /// Share.
    pub share: ShareName,
    /// Its quota in bytes.
    pub limit: u64,
    /// Size in bytes that clients see.
    pub total: u64,
    /// Bytes that clients see as free.
    pub available: u64,
}

/// What a gateway runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayState {
    /// Version of the agent.
    pub agent_version: String,
    /// Version of Samba, as `4.22.11`.
    pub samba_version: String,
    /// [`DesiredState::hash`] of what was applied last; none before the first time.
    pub config_hash: Option<String>,
    /// What was applied last.
    pub desired: Option<DesiredState>,
    /// Addresses of the gateway other than loopback, with prefix length.
    pub addresses: Vec<String>,
    /// Release of the kernel, as `6.12.57+deb13-cloud-amd64`; old agents do not say.
    #[serde(default)]
    pub kernel: Option<String>,
}

/// Whether a gateway serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// smbd answered an SMB2 NEGOTIATE on the loopback address just now.
    pub ready: bool,
    /// State of smbd's unit in systemd's words, as `active`.
    pub smbd: String,
    /// What is wrong, for people; empty when nothing is.
    pub problems: Vec<String>,
    /// Seconds since the gateway started.
    pub uptime_s: u64,
}

/// A new password. Only ever in a request body.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password: 1 to 127 characters, no control characters.
    pub password: String,
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword { password: [hidden] }")
    }
}

/// A local user as Samba knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserState {
    /// Name.
    pub name: UserName,
    /// Uid.
    pub uid: u32,
    /// A password is set, so the user can log on.
    pub has_password: bool,
}

/// Asks the agent to write (POST) or remove (DELETE) a probe file in a share as a user of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Share.
    pub share: ShareName,
    /// Uid to write as.
    pub uid: u32,
    /// Gid to write as, of a group that lets the user in; the uid when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Name of the file: [`ProbeRequest::PREFIX`] and letters or digits.
    pub file: String,
}

impl ProbeRequest {
    /// What the name of every probe file starts with.
    pub const PREFIX: &'static str = ".smbgw-probe-";

    /// Whether the file name is one that a probe may touch.
    pub fn file_is_valid(&self) -> bool {
        self.file.strip_prefix(Self::PREFIX).is_some_and(|rest| {
            (1..=40).contains(&rest.len()) && rest.chars().all(|c| c.is_ascii_alphanumeric())
        })
    }
}

/// What the agent saw of its probe file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Owner of the file as seen inside the gateway.
    pub uid: u32,
    /// Group of the file as seen inside the gateway.
    pub gid: u32,
}

/// The gateway's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskState {
    /// Size of the device in bytes.
    pub device_bytes: u64,
    /// Size of the file system in bytes.
    pub filesystem_bytes: u64,
    /// Whether the file system was grown just now.
    pub grown: bool,
}

/// One SMB session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// Id in Samba's words.
    pub id: String,
    /// User.
    pub user: String,
    /// Client address.
    pub client: String,
    /// Dialect, as `SMB3_11`.
    pub dialect: Option<String>,
    /// Signing cipher, when the session is signed.
    pub signing: Option<String>,
    /// Encryption cipher, when the session is encrypted.
    pub encryption: Option<String>,
    /// Shares it has open.
    pub shares: Vec<String>,
}

/// Why a request was refused or failed (RFC 9457 in spirit: a stable kind for programs, a text for people).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default())]
pub struct ApiError {
    /// Kind.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is wrong with the domain ([`ErrorKind::Domain`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<DomainFault>,
}

/// Kinds of [`ApiError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request is wrong (400).
    Invalid,
    /// There is no such thing (404).
    NotFound,
    /// A share's directory, a file or a permission is not as it must be (409).
    Storage,
    /// Samba refused the configuration or does not come up; the old state was put back (422).
    Samba,
    /// The domain, or what is between it and the gateway (424).
    Domain,
    /// The agent's own fault (500).
    Internal,
    /// A kind this version does not know.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
#[path = "v1_tests.rs"]
mod tests;
