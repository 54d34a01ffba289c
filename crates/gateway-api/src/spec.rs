//! The desired state of one gateway. Flags, the manifest and the record on the node are this one schema.

use serde::{Deserialize, Serialize};

use crate::{
    Access, ByteSize, Disk, Domain, GatewayName, Group, Invalid, Listen, Location, Network, Principal,
    Purpose, Share, StartOrder, StorageId, TemplateName, UserName,
};

/// Lowest uid of a share user: above Debian's system accounts, inside every container's map.
pub const MIN_UID: u32 = 1000;
/// Highest uid of a share user: the default map of an unprivileged container ends at 65535, and 65534 is `nobody`.
pub const MAX_UID: u32 = 65_533;
/// First uid that is given to a user who has none: clear of people's accounts on the node.
pub const FIRST_AUTO_UID: u32 = 10_000;

/// Where a gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// An unprivileged container.
    #[default]
    Lxc,
    /// A virtual machine.
    Vm,
    /// The node itself.
    Native,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Lxc => "lxc",
            Self::Vm => "vm",
            Self::Native => "native",
        })
    }
}

/// What starts a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF, with Secure Boot.
    Uefi,
}

impl Firmware {
    fn is_bios(&self) -> bool {
        *self == Self::Bios
    }
}

impl std::fmt::Display for Firmware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        })
    }
}

/// How strict a gateway is with its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SecurityProfile {
    /// SMB 2.1 as the floor (SMB 3.1.1 is negotiated where the client can), signing mandatory, no guests.
    #[default]
    Standard,
    /// SMB 3.1.1 only, with required encryption.
    High,
}

impl std::fmt::Display for SecurityProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Standard => "standard",
            Self::High => "high",
        })
    }
}

/// A local user of a gateway. Passwords are no part of a spec: they are set apart and never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct User {
    /// Name to log on with.
    pub name: UserName,
    /// Owner of the files this user writes, inside and outside the gateway; given by the platform when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

fn yes() -> bool {
    true
}

/// The desired state of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GatewaySpec {
    /// Name; unique on the node (standalone) or in the cluster (Proxmox VE).
    pub name: GatewayName,
    /// Where it runs.
    #[serde(default)]
    pub mode: Mode,
    /// Template it is made from; `debian-13` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateName>,
    /// Memory: a limit in a container (128 MiB when absent) and on the node itself (none when absent), the machine's in a
    /// virtual one (2 GiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Processors; in a container all of the node's when absent, in a virtual machine 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Start it when the node starts.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub onboot: bool,
    /// Its turn among the guests that start with the node (Proxmox VE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<StartOrder>,
    /// Storage that the guest's own disk is on (Proxmox VE); chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_storage: Option<StorageId>,
    /// Network card.
    #[serde(default)]
    pub network: Network,
    /// Where it takes connections (mode native): on all addresses of the node, port 445, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<Listen>,
    /// Strictness.
    #[serde(default)]
    pub security: SecurityProfile,
    /// What starts the virtual machine (mode vm).
    #[serde(default, skip_serializing_if = "Firmware::is_bios")]
    pub firmware: Firmware,
    /// A disk of its own, for shares with a `folder` (mode vm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// The Active Directory domain that it is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// Local users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// Local groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Exported directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
}

impl GatewaySpec {
    /// Checks the rules that hold between fields.
    ///
    /// # Errors
    /// [`Invalid`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), Invalid> {
        let bad = |what, value: &str, rule: &str| Err(Invalid::new(what, value, rule));
        if self.disk.is_some() && self.mode != Mode::Vm {
            return bad("disk", self.name.as_str(), "only a virtual machine has a disk of its own: mode vm");
        }
        if self.firmware != Firmware::Bios && self.mode != Mode::Vm {
            return bad(
                "firmware",
                &self.firmware.to_string(),
                "only a virtual machine has firmware: mode vm",
            );
        }
        self.check_native()?;
        if let Some(domain) = &self.domain {
            domain.check()?;
        }
        for (index, share) in self.shares.iter().enumerate() {
            if let Location::Folder(folder) = &share.location
                && self.disk.is_none()
            {
                return bad("folder", folder.as_str(), "the gateway has no disk that it could be on");
            }
            if self.shares[..index].iter().any(|other| other.name.same(&share.name)) {
                return bad(
                    "share",
                    share.name.as_str(),
                    "is there twice (SMB does not tell upper from lower case)",
                );
            }
            let other_quota = |other: &&Share| other.same_place(share) && other.quota != share.quota;
            if let Some(other) = self.shares[..index].iter().find(other_quota) {
                let rule = format!("has the same directory as share {}, and another quota", other.name);
                return bad("share", share.name.as_str(), &rule);
            }
            share.handling.check(
                share.name.as_str(),
                share.read_only,
                share.quota.map(|quota| quota.size),
            )?;
            let unprotects = |other: &&Share| {
                let archive = |share: &Share| share.handling.purpose == Purpose::Archive;
                other.same_place(share)
                    && (archive(share) && !archive(other) && !other.read_only
                        || archive(other) && !archive(share) && !share.read_only)
            };
            if let Some(other) = self.shares[..index].iter().find(unprotects) {
                let rule = format!(
                    "has the same directory as share {}: an archive must not be writable by another way",
                    other.name
                );
                return bad("share", share.name.as_str(), &rule);
            }
            let other_bin = |other: &&Share| {
                let bin = |share: &Share| share.handling.recycle.map(|bin| bin.days);
                other.same_place(share)
                    && bin(share).is_some()
                    && bin(other).is_some()
                    && bin(other) != bin(share)
            };
            if let Some(other) = self.shares[..index].iter().find(other_bin) {
                let rule = format!(
                    "has the same directory as share {}, whose recycle bin has another age",
                    other.name
                );
                return bad("share", share.name.as_str(), &rule);
            }
            if share
                .comment
                .as_ref()
                .is_some_and(|c| c.chars().any(char::is_control) || c.chars().count() > 200)
            {
                return bad("comment", share.name.as_str(), "must be one line of at most 200 characters");
            }
            self.check_named(share)?;
        }
        self.check_groups()?;
        for (index, user) in self.users.iter().enumerate() {
            if self.users[..index].iter().any(|other| other.name == user.name) {
                return bad("user", user.name.as_str(), "is there twice");
            }
            if let Some(uid) = user.uid {
                if !(MIN_UID..=MAX_UID).contains(&uid) {
                    let rule = format!(
                        "uid {uid} is outside {MIN_UID}-{MAX_UID}, the ids a container maps for people"
                    );
                    return bad("user", user.name.as_str(), &rule);
                }
                if self.users[..index].iter().any(|other| other.uid == Some(uid)) {
                    return bad("user", user.name.as_str(), &format!("uid {uid} is taken by another user"));
                }
            }
        }
        let (least, rule) = match self.mode {
            Mode::Vm => (ByteSize::from_mib(256), "a virtual machine needs 256 MiB"),
            Mode::Lxc | Mode::Native => (ByteSize::from_mib(64), "a gateway needs 64 MiB"),
        };
        if self.memory.is_some_and(|memory| memory < least) {
            return bad("memory", &self.memory.map(|m| m.to_string()).unwrap_or_default(), rule);
        }
        if self.cores == Some(0) {
            return bad("cores", "0", "a gateway needs at least one");
        }
        Ok(())
    }

    /// What only a gateway on the node itself has, and what it has not.
    fn check_native(&self) -> Result<(), Invalid> {
        let native = self.mode == Mode::Native;
        let given = |field| format!("{field}: a gateway on the node itself has none of its own");
        let rule = match self {
            Self { listen: Some(_), .. } if !native => {
                "listen: only a gateway on the node itself shares the node's addresses; elsewhere the address is network.ip".to_owned()
            }
            Self { template: Some(_), .. } if native => given("template"),
            Self { guest_storage: Some(_), .. } if native => given("guest-storage"),
            Self { startup: Some(_), .. } if native => given("startup"),
            Self { network, .. } if native && *network != Network::default() => {
                "network: a gateway on the node itself uses the node's; say where it takes connections with listen".to_owned()
            }
            _ => return Ok(()),
        };
        Err(Invalid::new("gateway", self.name.as_str(), rule))
    }

    /// Users and groups that a share names.
    fn check_named(&self, share: &Share) -> Result<(), Invalid> {
        if let (None, Some(name)) = (&self.domain, share.allow.first()) {
            let rule = "has access to a share, but the gateway is in no domain";
            return Err(Invalid::new("domain group", &name.to_string(), rule));
        }
        let (users, groups) = share.admission().named();
        if let Some(name) = users.iter().find(|name| !self.users.iter().any(|user| user.name == ***name)) {
            let rule = "has access to a share but is not among the gateway's users";
            return Err(Invalid::new("user", name.as_str(), rule));
        }
        if let Some(name) = groups.iter().find(|name| !self.groups.iter().any(|group| group.name == ***name))
        {
            let rule = "has access to a share but is not among the gateway's groups";
            return Err(Invalid::new("group", name.as_str(), rule));
        }
        if let Some(principal) = share.user_quotas.keys().find(|principal| !self.has(principal)) {
            let rule = "has a quota, but is not among the gateway's users and groups";
            return Err(Invalid::new("user", &principal.to_string(), rule));
        }
        Ok(())
    }

    /// Groups, their members and ids.
    fn check_groups(&self) -> Result<(), Invalid> {
        for (index, group) in self.groups.iter().enumerate() {
            let bad = |rule: &str| Err(Invalid::new("group", group.name.as_str(), rule));
            if self.groups[..index].iter().any(|other| other.name == group.name) {
                return bad("is there twice");
            }
            if self.users.iter().any(|user| user.name.as_str() == group.name.unix_name()) {
                return bad(&format!("a user has the name {}, which it needs", group.name.unix_name()));
            }
            for (place, name) in group.members.iter().enumerate() {
                if !self.users.iter().any(|user| user.name == *name) {
                    return bad(&format!("its member {name} is not among the gateway's users"));
                }
                if group.members[..place].contains(name) {
                    return bad(&format!("its member {name} is there twice"));
                }
            }
            let Some(gid) = group.gid else { continue };
            if !(MIN_UID..=MAX_UID).contains(&gid) {
                return bad(&format!(
                    "gid {gid} is outside {MIN_UID}-{MAX_UID}, the ids a container maps for people"
                ));
            }
            if self.groups[..index].iter().any(|other| other.gid == Some(gid)) {
                return bad(&format!("gid {gid} is taken by another group"));
            }
            if let Some(user) = self.users.iter().find(|user| user.uid == Some(gid)) {
                return bad(&format!("gid {gid} is taken by user {}, whose own group has it", user.name));
            }
        }
        Ok(())
    }

    /// What a user may do in a share.
    pub fn access(&self, share: &Share, user: &User) -> Access {
        let is_in = |name: &crate::GroupName| {
            self.groups.iter().any(|group| group.name == *name && group.members.contains(&user.name))
        };
        share.admission().access(&user.name, is_in)
    }

    /// Users who may open this share.
    pub fn users_of<'a>(&'a self, share: &'a Share) -> impl Iterator<Item = &'a User> {
        self.users.iter().filter(|user| self.access(share, user) > Access::Closed)
    }

    /// Gids of a user's groups, but the user's own.
    pub fn gids_of(&self, user: &User) -> Vec<u32> {
        self.groups.iter().filter(|group| group.members.contains(&user.name)).filter_map(|g| g.gid).collect()
    }

    /// Whether it has such a user or group.
    pub fn has(&self, principal: &Principal) -> bool {
        match principal {
            Principal::User(name) => self.users.iter().any(|user| user.name == *name),
            Principal::Group(name) => self.groups.iter().any(|group| group.name == *name),
        }
    }

    /// Uid or gid, once it has been given.
    pub fn id_of(&self, principal: &Principal) -> Option<u32> {
        match principal {
            Principal::User(name) => self.users.iter().find(|user| user.name == *name)?.uid,
            Principal::Group(name) => self.groups.iter().find(|group| group.name == *name)?.gid,
        }
    }

    /// Uids and gids that a share's grant names: all users when it is open to all.
    pub fn grantees(&self, share: &Share) -> (Vec<u32>, Vec<u32>) {
        let admission = share.admission();
        let (users, groups) = admission.named();
        let uids = self.users.iter().filter(|user| admission.is_open() || users.contains(&&user.name));
        let gids = self.groups.iter().filter(|group| groups.contains(&&group.name));
        (uids.filter_map(|user| user.uid).collect(), gids.filter_map(|group| group.gid).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: &str) -> GatewaySpec {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn small_specs_are_enough() {
        let spec = spec("name: team\nshares: [{name: team, path: /srv/team}]");
        assert_eq!(spec.mode, Mode::Lxc);
        assert!(spec.onboot && spec.shares[0].browseable && !spec.shares[0].read_only);
        spec.check().unwrap();
    }

    #[test]
    fn what_is_written_reads_back() {
        let spec = spec(
            "name: team\nmemory: 256M\nonboot: false\nusers: [{name: alice, uid: 1001}]\n\
             groups: [{name: staff, gid: 20000, members: [alice]}]\n\
             shares: [{name: Büro, path: /srv/x, users: [alice], groups: [staff], readers: [alice, '@staff'], read-only: true, browseable: false}]",
        );
        assert_eq!(
            serde_yaml::from_str::<GatewaySpec>(&serde_yaml::to_string(&spec).unwrap()).unwrap(),
            spec
        );
    }

    #[test]
    fn rules_between_fields() {
        for (yaml, word) in [
            ("name: a\nshares: [{name: X, path: /srv/x}, {name: x, path: /srv/y}]", "twice"),
            ("name: a\nshares: [{name: x, path: /srv/x, users: [bob]}]", "not among"),
            (
                "name: a\nshares: [{name: x, path: /srv/x, quota: 1G}, {name: y, path: /srv/x}]",
                "another quota",
            ),
            (
                "name: a\nshares: [{name: x, path: /srv/x, purpose: archive}, {name: y, path: /srv/x}]",
                "another way",
            ),
            ("name: a\nshares: [{name: x, path: /srv/x, purpose: timemachine}]", "max-size"),
            ("name: a\nusers: [{name: bob}, {name: bob}]", "twice"),
            ("name: a\nusers: [{name: bob, uid: 70000}]", "outside"),
            ("name: a\nusers: [{name: bob, uid: 1000}, {name: eve, uid: 1000}]", "taken"),
            ("name: a\nshares: [{name: x, path: /srv/x, groups: [staff]}]", "not among the gateway's groups"),
            (
                "name: a\nshares: [{name: x, path: /srv/x, readers: ['@staff']}]",
                "not among the gateway's groups",
            ),
            ("name: a\nshares: [{name: x, path: /srv/x, readers: [bob]}]", "not among the gateway's users"),
            ("name: a\ngroups: [{name: x}, {name: x}]", "twice"),
            ("name: a\ngroups: [{name: x, members: [bob]}]", "not among"),
            ("name: a\nusers: [{name: bob}]\ngroups: [{name: x, members: [bob, bob]}]", "twice"),
            ("name: a\nusers: [{name: smb-x}]\ngroups: [{name: x}]", "which it needs"),
            ("name: a\ngroups: [{name: x, gid: 100}]", "outside"),
            ("name: a\ngroups: [{name: x, gid: 1000}, {name: y, gid: 1000}]", "another group"),
            ("name: a\nusers: [{name: bob, uid: 1000}]\ngroups: [{name: x, gid: 1000}]", "own group"),
            ("name: a\nmemory: 1M", "64 MiB"),
            ("name: a\nmode: vm\nmemory: 128M", "256 MiB"),
            ("name: a\ndisk: {rbd: p/i}", "mode vm"),
            ("name: a\nmode: vm\nshares: [{name: x, folder: x}]", "no disk"),
            ("name: a\nlisten: 10.0.0.5", "network.ip"),
            ("name: a\nmode: native\ntemplate: debian-13", "none of its own"),
            ("name: a\nmode: native\nnetwork: {ip: dhcp}", "with listen"),
        ] {
            let text = spec(yaml).check().unwrap_err().to_string();
            assert!(text.contains(word), "{yaml}: {text}");
        }
    }

    #[test]
    fn unknown_fields_are_errors() {
        assert!(serde_yaml::from_str::<GatewaySpec>("name: a\ncolour: red").is_err());
    }
}
