//! One exported directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Admission, ByteSize, DatasetName, DomainPrincipal, FolderPath, Grace, GroupName, Handling, HostPath,
    Invalid, Principal, Purpose, RawOption, Recycle, ShareName, StorageId, StoragePlace, UserName,
};

/// Where a share's files are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// A directory on the node.
    Directory(HostPath),
    /// A folder on the gateway's disk.
    Folder(FolderPath),
    /// A directory that a storage has (Proxmox VE).
    Storage(StoragePlace),
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => f.pad(path.as_str()),
            Self::Folder(folder) => f.pad(&format!("disk:{folder}")),
            Self::Storage(place) => match &place.path {
                Some(path) => f.pad(path.as_str()),
                None => f.pad(&format!("{}:{}", place.storage, place.dataset)),
            },
        }
    }
}

/// One exported directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ShareFields", into = "ShareFields")]
pub struct Share {
    /// Name that clients see.
    pub name: ShareName,
    /// Where its files are.
    pub location: Location,
    /// Text shown beside the name.
    pub comment: Option<String>,
    /// Nobody may write.
    pub read_only: bool,
    /// Users who may open the share; all users of the gateway when neither users nor groups are named.
    pub users: Vec<UserName>,
    /// Groups whose members may open it.
    pub groups: Vec<GroupName>,
    /// Users and groups of the domain who may open it.
    pub allow: Vec<DomainPrincipal>,
    /// Users and groups who may open it and only read, whatever else is said.
    pub readers: Vec<Principal>,
    /// Shown in the list of shares.
    pub browseable: bool,
    /// Give the share's users access to its top directory by a POSIX ACL, if they have none (changes that one
    /// directory's ACL, nothing below it).
    pub grant: bool,
    /// How much it may hold.
    pub quota: Option<Quota>,
    /// How much the files of a user or a group may take up on its file system (on ZFS: in its dataset).
    pub user_quotas: BTreeMap<Principal, ByteSize>,
    /// What happens to its files.
    pub handling: Handling,
}

/// How much a share may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The limit.
    pub size: ByteSize,
    /// What happens there.
    pub mode: QuotaMode,
}

/// What happens when a share reaches its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum QuotaMode {
    /// The file system refuses to write more.
    #[default]
    Enforce,
    /// Nothing but a warning: for file systems without quotas.
    Report,
}

impl QuotaMode {
    fn is_enforce(&self) -> bool {
        *self == Self::Enforce
    }
}

impl std::fmt::Display for QuotaMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
        })
    }
}

impl Share {
    /// Its directory on the node, if it is one.
    pub fn directory(&self) -> Option<&HostPath> {
        match &self.location {
            Location::Directory(path) => Some(path),
            Location::Storage(place) => place.path.as_ref(),
            Location::Folder(_) => None,
        }
    }

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

    /// Whether both have the same files.
    pub fn same_place(&self, other: &Self) -> bool {
        match (self.directory(), other.directory()) {
            (Some(one), Some(two)) => one == two,
            _ => self.location == other.location,
        }
    }
}

/// A share as it is written in a spec: exactly one of `path`, `folder` and `storage`; where a storage's dataset is may be
/// said as well, since `show` says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Share"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ShareFields {
    /// Name that clients see.
    name: ShareName,
    /// Directory on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<HostPath>,
    /// Folder on the gateway's disk (mode vm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<FolderPath>,
    /// Storage that has the directory (Proxmox VE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    storage: Option<StorageId>,
    /// Dataset or directory below the storage's own; the share's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataset: Option<DatasetName>,
    /// Make the dataset or directory if it is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    create_dataset: bool,
    /// Text shown beside the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// Nobody may write.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    /// Users who may open the share; all users of the gateway when neither users nor groups are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<UserName>,
    /// Groups whose members may open the share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupName>,
    /// Users and groups of the domain who may open the share, as 'CORP\Team'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<DomainPrincipal>,
    /// Users, as bob, and groups, as "@guests", who may open the share and only read, whatever else is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    readers: Vec<Principal>,
    /// Shown in the list of shares.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    browseable: bool,
    /// Give the share's users access to its top directory by a POSIX ACL, if they have none (changes that one
    /// directory's ACL, nothing below it).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    grant: bool,
    /// How much the share may hold, as 500G (not in a folder: there the disk's size is the limit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota: Option<ByteSize>,
    /// Whether the file system refuses what goes beyond it, or that is only reported.
    #[serde(default, skip_serializing_if = "QuotaMode::is_enforce")]
    quota_mode: QuotaMode,
    /// How much the files of a user, as bob, or a group, as "@staff", may take up on the share's file system (on ZFS: in
    /// its dataset), as 10G.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    user_quotas: BTreeMap<Principal, ByteSize>,
    /// What it is for: default, macos, timemachine, archive or scratch.
    #[serde(default, skip_serializing_if = "is_default")]
    purpose: Purpose,
    /// What Time Machine may use, as 500G; its quota when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_size: Option<ByteSize>,
    /// How long what was written to an archive can be changed, as 5m; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grace: Option<Grace>,
    /// Keep what clients delete in `.recycle/USER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recycle: Option<Recycle>,
    /// What a user may not read is not listed.
    #[serde(default, skip_serializing_if = "is_default")]
    hide_unreadable: bool,
    /// Clients must encrypt.
    #[serde(default, skip_serializing_if = "is_default")]
    encrypt: bool,
    /// File operations are logged.
    #[serde(default, skip_serializing_if = "is_default")]
    audit: bool,
    /// Consent to `raw-options`.
    #[serde(default, skip_serializing_if = "is_default")]
    allow_raw_options: bool,
    /// Options of smb.conf as they are, as `strict sync = no`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    raw_options: Vec<RawOption>,
}

impl TryFrom<ShareFields> for Share {
    type Error = Invalid;

    fn try_from(fields: ShareFields) -> Result<Self, Invalid> {
        let of_storage = fields.dataset.is_some() || fields.create_dataset;
        let location = match (fields.path, fields.folder, fields.storage) {
            (Some(path), None, None) if !of_storage => Location::Directory(path),
            (None, Some(folder), None) if !of_storage => Location::Folder(folder),
            (path, None, Some(storage)) => Location::Storage(StoragePlace {
                storage,
                dataset: match fields.dataset {
                    Some(dataset) => dataset,
                    None => DatasetName::parse(fields.name.as_str())?,
                },
                create: fields.create_dataset,
                path,
            }),
            _ => {
                let rule = "needs either a path on the node, a folder on the gateway's disk, or a storage";
                return Err(Invalid::new("share", fields.name.as_str(), rule));
            }
        };
        let quota = match fields.quota {
            Some(_) if matches!(location, Location::Folder(_)) => {
                let rule = "a share in a folder has no quota: the size of the disk is its limit";
                return Err(Invalid::new("share", fields.name.as_str(), rule));
            }
            None if !fields.quota_mode.is_enforce() => {
                return Err(Invalid::new("share", fields.name.as_str(), "has a quota-mode, but no quota"));
            }
            size => size.map(|size| Quota { size, mode: fields.quota_mode }),
        };
        if matches!(location, Location::Folder(_)) && !fields.user_quotas.is_empty() {
            let rule = "a share in a folder has no user-quotas: the node cannot see into the gateway's disk";
            return Err(Invalid::new("share", fields.name.as_str(), rule));
        }
        if !fields.raw_options.is_empty() && !fields.allow_raw_options {
            let rule = "has raw-options, which nobody has tested: they need allow-raw-options";
            return Err(Invalid::new("share", fields.name.as_str(), rule));
        }
        Ok(Self {
            name: fields.name,
            location,
            comment: fields.comment,
            read_only: fields.read_only,
            users: fields.users,
            groups: fields.groups,
            allow: fields.allow,
            readers: fields.readers,
            browseable: fields.browseable,
            grant: fields.grant,
            quota,
            user_quotas: fields.user_quotas,
            handling: Handling {
                purpose: fields.purpose,
                max_size: fields.max_size,
                grace: fields.grace,
                recycle: fields.recycle,
                hide_unreadable: fields.hide_unreadable,
                encrypt: fields.encrypt,
                audit: fields.audit,
                raw_options: fields.raw_options,
            },
        })
    }
}

impl From<Share> for ShareFields {
    fn from(share: Share) -> Self {
        let (path, folder, place) = match share.location {
            Location::Directory(path) => (Some(path), None, None),
            Location::Folder(folder) => (None, Some(folder), None),
            Location::Storage(place) => {
                (place.path, None, Some((place.storage, place.dataset, place.create)))
            }
        };
        let (storage, dataset, create_dataset) = match place {
            Some((storage, dataset, create)) => (Some(storage), Some(dataset), create),
            None => (None, None, false),
        };
        Self {
            name: share.name,
            path,
            folder,
            storage,
            dataset,
            create_dataset,
            comment: share.comment,
            read_only: share.read_only,
            users: share.users,
            groups: share.groups,
            allow: share.allow,
            readers: share.readers,
            browseable: share.browseable,
            grant: share.grant,
            quota: share.quota.map(|quota| quota.size),
            quota_mode: share.quota.map_or(QuotaMode::Enforce, |quota| quota.mode),
            user_quotas: share.user_quotas,
            purpose: share.handling.purpose,
            max_size: share.handling.max_size,
            grace: share.handling.grace,
            recycle: share.handling.recycle,
            hide_unreadable: share.handling.hide_unreadable,
            encrypt: share.handling.encrypt,
            audit: share.handling.audit,
            allow_raw_options: !share.handling.raw_options.is_empty(),
            raw_options: share.handling.raw_options,
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Share {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        ShareFields::json_schema(generator)
    }
}

fn yes() -> bool {
    true
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_in_one_place() {
        for bad in ["{name: x}", "{name: x, path: /srv/x, folder: x}"] {
            assert!(serde_yaml::from_str::<Share>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_on_a_storage() {
        let short: Share = serde_yaml::from_str("{name: team, storage: tank}").unwrap();
        assert_eq!(short.location.to_string(), "tank:team");
        assert_eq!(short.directory(), None);
        let whole =
            "{name: team, storage: tank, dataset: smb/team, create-dataset: true, path: /tank/smb/team}";
        let whole: Share = serde_yaml::from_str(whole).unwrap();
        assert_eq!(whole.directory().unwrap().as_str(), "/tank/smb/team");
        assert_eq!(serde_yaml::from_str::<Share>(&serde_yaml::to_string(&whole).unwrap()).unwrap(), whole);
        for bad in [
            "{name: x, path: /srv/x, dataset: y}",
            "{name: x, folder: x, storage: tank}",
            "{name: x, dataset: y}",
            "{name: Büro, storage: tank}",
        ] {
            assert!(serde_yaml::from_str::<Share>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quotas() {
        let share: Share = serde_yaml::from_str("{name: x, path: /srv/x, quota: 500G}").unwrap();
        assert_eq!(
            share.quota,
            Some(Quota { size: ByteSize::from_mib(500 << 10), mode: QuotaMode::Enforce })
        );
        let share: Share =
            serde_yaml::from_str("{name: x, path: /srv/x, quota: 1T, quota-mode: report}").unwrap();
        assert_eq!(share.quota.unwrap().mode, QuotaMode::Report);
        assert_eq!(serde_yaml::from_str::<Share>(&serde_yaml::to_string(&share).unwrap()).unwrap(), share);
        for bad in [
            "{name: x, path: /srv/x, quota: 10X}",
            "{name: x, path: /srv/x, quota: 0}",
            "{name: x, path: /srv/x, quota: -5G}",
            "{name: x, path: /srv/x, quota-mode: report}",
            "{name: x, folder: x, quota: 5G}",
            "{name: x, folder: x, user-quotas: {bob: 5G}}",
            "{name: x, path: /srv/x, user-quotas: {bob: none}}",
            "{name: x, path: /srv/x, user-quotas: {'@': 1G}}",
        ] {
            assert!(serde_yaml::from_str::<Share>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn handling_is_written_flat() {
        let text = "{name: x, path: /srv/x, purpose: archive, grace: 5m, audit: true}";
        let share: Share = serde_yaml::from_str(text).unwrap();
        assert_eq!((share.handling.purpose, share.handling.audit), (Purpose::Archive, true));
        let text = "{name: x, path: /srv/x, recycle: {days: 30, max-size: 2G}, hide-unreadable: true, encrypt: true, \
                    allow-raw-options: true, raw-options: [strict sync = no]}";
        let share: Share = serde_yaml::from_str(text).unwrap();
        assert_eq!(serde_yaml::from_str::<Share>(&serde_yaml::to_string(&share).unwrap()).unwrap(), share);
        for bad in [
            "{name: x, path: /srv/x, purpose: mac}",
            "{name: x, path: /srv/x, raw-options: [strict sync = no]}",
            "{name: x, path: /srv/x, allow-raw-options: true, raw-options: [include = /x]}",
        ] {
            assert!(serde_yaml::from_str::<Share>(bad).is_err(), "{bad}");
        }
    }
}
