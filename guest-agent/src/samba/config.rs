//! smb.conf(5), typed. One function renders it; a value can never start a line of its own, and Samba's `%` variables
//! never expand.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use smbgw_api::v1::{DesiredShare, DesiredState};
use smbgw_api::{ByteSize, GatewayName, Handling, Listen, SecurityProfile, ShareName};

use super::admitted::{self, Admitted};
use super::member::Member;
use super::vfs;
use crate::domain::record::Record;
use crate::instance::Instance;
use crate::traffic::event::hex;

/// Stands at the top of every file that the agent writes.
pub(crate) const HEADER: &str = "# Written by smbgw-agent. What is changed here by hand is overwritten.\n";

/// A whole smb.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The `[global]` section.
    pub(crate) global: Global,
    /// One section a share, in this order.
    pub(crate) shares: Vec<ShareSection>,
}

/// What differs between gateways in `[global]`; the rest is the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Global {
    /// NetBIOS name; Samba takes the host name when absent.
    pub(crate) name: Option<GatewayName>,
    /// Strictness.
    pub(crate) security: SecurityProfile,
    /// Where it takes connections.
    pub(crate) listen: Listen,
    /// It has shares for Macs.
    pub(crate) macs: bool,
    /// The domain that it is a member of.
    pub(crate) member: Option<Member>,
}

/// A share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShareSection {
    /// Name; its directory follows from it.
    pub(crate) name: ShareName,
    /// Text beside the name.
    pub(crate) comment: Option<String>,
    /// Nobody may write.
    pub(crate) read_only: bool,
    /// Shown in the list of shares.
    pub(crate) browseable: bool,
    /// Who may open it; nobody when empty.
    pub(crate) users: Vec<Admitted>,
    /// Who of them may only read.
    pub(crate) readers: Vec<Admitted>,
    /// What becomes the first group of those who are in it.
    pub(crate) force_group: Option<String>,
    /// Its quota, which clients see as its size.
    pub(crate) limit: Option<ByteSize>,
    /// What tells them so.
    pub(crate) dfree: String,
    /// What is told of tree connects.
    pub(crate) tally: String,
    /// What happens to its files.
    pub(crate) handling: Handling,
}

impl Config {
    /// What a template ships before it is told anything: no share, and a `[global]` from which the first real one
    /// differs by its name alone, so that smbd need not restart.
    #[cfg_attr(not(test), expect(dead_code, reason = "smb.conf.base is kept in step with it by a test"))]
    pub(crate) fn base() -> Self {
        let security = SecurityProfile::Standard;
        let global = Global { name: None, security, listen: Listen::default(), macs: false, member: None };
        Self { global, shares: Vec::new() }
    }

    /// The file.
    pub(crate) fn render(&self) -> String {
        let mut out = HEADER.to_owned();
        self.global.render(&mut out);
        for share in &self.shares {
            share.render(&mut out, self.global.macs);
        }
        out
    }
}

impl Config {
    /// What a state needs of this Samba, as a member of a domain if it is one.
    pub(crate) fn of(desired: &DesiredState, instance: &Instance, membership: Option<&Record>) -> Self {
        let member = Member::of(desired, membership);
        let section = |share: &DesiredShare| ShareSection {
            name: share.name.clone(),
            comment: share.comment.clone(),
            read_only: share.read_only,
            browseable: share.browseable,
            users: admitted::to(share, desired, member.as_ref()),
            readers: share
                .readers
                .iter()
                .filter_map(|one| Admitted::of(one, desired, member.as_ref()))
                .collect(),
            force_group: admitted::only_group(share, member.as_ref()),
            limit: share.limit.map(ByteSize::from_bytes),
            dfree: instance.dfree.clone(),
            tally: instance.tally.clone(),
            handling: share.handling.clone(),
        };
        Self {
            global: Global {
                name: Some(desired.name.clone()),
                security: desired.security,
                listen: instance.listen,
                macs: vfs::for_macs(desired),
                member: member.clone(),
            },
            shares: desired.shares.iter().map(section).collect(),
        }
    }
}

/// As smb.conf(5) takes it.
fn list(admitted: &[Admitted]) -> String {
    admitted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl Global {
    fn render(&self, out: &mut String) {
        out.push_str("\n[global]\n");
        if let Some(name) = &self.name {
            option(out, "netbios name", name.as_str().to_ascii_uppercase());
        }
        match &self.member {
            None => {
                option(out, "workgroup", "WORKGROUP");
                option(out, "server role", "standalone server");
            }
            Some(member) => member.render(out),
        }
        // the default tells Samba's version to everybody who asks
        option(out, "server string", "SMB gateway");
        option(out, "passdb backend", "tdbsam");

        let floor = match self.security {
            SecurityProfile::Standard => "SMB2_10",
            SecurityProfile::High => "SMB3_11",
        };
        option(out, "server min protocol", floor);
        option(out, "server signing", "mandatory");
        if self.security == SecurityProfile::High {
            option(out, "server smb encrypt", "required");
        }
        option(out, "map to guest", "never");
        option(out, "restrict anonymous", "2");
        // Debian's own default is 100
        option(out, "usershare max shares", "0");

        option(out, "disable netbios", "yes");
        option(out, "smb ports", self.listen.port);
        if let Some(address) = self.listen.address {
            option(out, "interfaces", address);
            option(out, "bind interfaces only", "yes");
        }

        option(out, "load printers", "no");
        option(out, "printing", "bsd");
        option(out, "printcap name", "/dev/null");
        option(out, "disable spoolss", "yes");

        // at most two files of this size (KiB); journald's memory is a third of an idle gateway as it is
        option(out, "logging", "file");
        option(out, "log file", "/var/log/samba/log.smbd");
        option(out, "max log size", "1000");
        // of logons, those that fail
        option(out, "log level", "1 auth_json_audit:2");
        // what clients read and write is counted
        option(out, "smbd profiling level", "on");

        if self.macs {
            // an option of the whole server (vfs_fruit(8)): a Mac would set modes beside the ACLs that all others see
            option(out, "fruit:nfs_aces", "no");
        }
    }
}

impl ShareSection {
    fn render(&self, out: &mut String, macs: bool) {
        let _ = write!(out, "\n[{}]\n", self.name);
        option(out, "path", self.name.guest_path());
        if let Some(comment) = &self.comment {
            option(out, "comment", harmless(comment));
        }
        option(out, "read only", yes_no(self.read_only));
        option(out, "browseable", yes_no(self.browseable));
        // an empty list would mean everybody; nobody cannot log on
        option(
            out,
            "valid users",
            if self.users.is_empty() { "nobody".to_owned() } else { list(&self.users) },
        );
        if !self.readers.is_empty() {
            option(out, "read list", list(&self.readers));
        }
        if let Some(group) = &self.force_group {
            option(out, "force group", group);
        }

        if self.limit.is_some() {
            option(out, "dfree command", &self.dfree);
            // seconds
            option(out, "dfree cache time", "10");
        }

        // who has it open, for figures of it. In place of the shell, so that smbd is its parent
        let share = hex(self.name.as_str());
        option(out, "root preexec", format_args!("exec {} open {share}", self.tally));
        option(out, "root postexec", format_args!("exec {} close {share}", self.tally));

        // Windows ACLs and streams in extended attributes. `security.*` is refused in an unprivileged container and
        // on virtio-fs, `user.*` is not
        let mut handled = vfs::options(&self.handling, self.limit, macs).into_iter();
        for (name, value) in handled.by_ref().take(1) {
            option(out, name, value);
        }
        option(out, "acl_xattr:security_acl_name", "user.NTACL");
        option(out, "store dos attributes", "yes");
        option(out, "map acl inherit", "yes");
        option(out, "inherit acls", "yes");
        // the group bits are the mask of a POSIX ACL (acl(5)): without them an inherited entry would not be in force.
        // Each user has a group of its own, so they give nobody else anything
        option(out, "create mask", "0664");
        option(out, "directory mask", "0775");
        // what is said of this share alone comes last, and so counts
        handled.for_each(|(name, value)| option(out, name, value));
    }
}

/// One line. Whatever the value is, it stays one.
pub(super) fn option(out: &mut String, name: &str, value: impl Display) {
    let value = value.to_string();
    let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // a backslash at the end would take the next line along
    let _ = writeln!(out, "\t{name} = {}", value.trim().trim_end_matches('\\'));
}

/// Text for people in which Samba expands nothing: there is no escape for `%`, so its full-width form stands for it.
fn harmless(text: &str) -> String {
    let text = text.replace('%', "\u{ff05}");
    // Samba takes quotes off both ends
    text.trim_matches(|c: char| c == '"' || c.is_whitespace()).to_owned()
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Options of `[global]` that need a restart of smbd when they change, with the value that Samba takes when there is
/// none: sockets, who is who (the machine's SID is kept by NetBIOS name), and what sessions were allowed, which would
/// outlive a reload. The name's default is the host's.
const RESTART_FOR: &[(&str, &str)] = &[
    ("netbios name", ""),
    ("workgroup", "WORKGROUP"),
    ("server role", "auto"),
    ("realm", ""),
    ("kerberos method", "default"),
    ("passdb backend", "tdbsam"),
    ("server min protocol", "SMB2_02"),
    ("server signing", "default"),
    ("server smb encrypt", "default"),
    ("map to guest", "never"),
    ("restrict anonymous", "0"),
    ("disable netbios", "no"),
    ("smb ports", "445 139"),
    ("interfaces", ""),
    ("bind interfaces only", "no"),
    // read at the start alone
    ("smbd profiling level", "off"),
];

/// Whether smbd must be restarted to go from one file to the other; it takes over all else by a reload.
pub(crate) fn restart_needed(old: &str, new: &str, host: &str) -> bool {
    let name = host.split('.').next().unwrap_or(host);
    let (old, new) = (global_options(old), global_options(new));
    RESTART_FOR.iter().any(|(option, default)| {
        let default = if *option == "netbios name" { name } else { default };
        let value = |options: &BTreeMap<String, String>| {
            options.get(*option).map_or(default, String::as_str).to_ascii_lowercase()
        };
        value(&old) != value(&new)
    })
}

/// Options of `[global]`.
fn global_options(text: &str) -> BTreeMap<String, String> {
    let mut inside = false;
    let mut options = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').trim().eq_ignore_ascii_case("global");
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((option, value)) = line.split_once('=')
        {
            options.insert(option.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    options
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
