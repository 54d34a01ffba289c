//! What must hold before anything changes. Each broken rule has its own error, code and hint.

use smbgw_api::{GatewaySpec, Mode, Share};

use super::Observed;
use crate::storage::access;
use crate::{Error, Result};

/// Mode and directories of a spec.
///
/// # Errors
/// The first rule that is broken.
pub fn spec(spec: &GatewaySpec, observed: &Observed) -> Result<Vec<String>> {
    spec.check()?;
    if spec.mode != Mode::Lxc {
        return Err(Error::usage("mode-unavailable", format!("mode {} is not available here", spec.mode))
            .hint("this version makes gateways of mode lxc"));
    }
    let mut notes = Vec::new();
    for share in &spec.shares {
        notes.extend(self::share(spec, share, observed)?);
    }
    if spec.shares.is_empty() {
        notes.push("the gateway has no share yet: add one with `pve-smbgateway share add`".to_owned());
    }
    if spec.users.is_empty() {
        notes.push("the gateway has no user yet, so nobody can log on: `pve-smbgateway user add`".to_owned());
    }
    Ok(notes)
}

fn share(spec: &GatewaySpec, share: &Share, observed: &Observed) -> Result<Vec<String>> {
    let facts = observed.storage(&share.path)?;
    let path = &share.path;
    let mut notes = Vec::new();
    if !facts.idmapped_mounts {
        return Err(Error::usage(
            "idmap-unsupported",
            format!("{path} is on {}, which cannot do idmapped mounts", facts.filesystem),
        )
        .hint("an unprivileged container needs them: use a directory on ext4, xfs, btrfs, zfs or cephfs"));
    }
    if !facts.xattrs {
        return Err(Error::usage(
            "no-xattrs",
            format!("{path} is on {} without extended attributes", facts.filesystem),
        )
        .hint("Windows attributes and ACLs are kept in them; on zfs: zfs set xattr=sa DATASET"));
    }
    if !facts.acls {
        return Err(Error::usage("no-acls", format!("{path} is on {} without POSIX ACLs", facts.filesystem))
            .hint("mount it with acl; on zfs: zfs set acltype=posixacl DATASET"));
    }
    if facts.read_only && !share.read_only {
        return Err(Error::usage("read-only-storage", format!("{path} is mounted read-only"))
            .hint("mount it read-write, or make the share --read-only"));
    }
    for user in spec.users_of(share) {
        let Some(uid) = user.uid else { continue };
        let allowed =
            if share.read_only { access::may_read(facts, uid) } else { access::may_write(facts, uid) };
        if !allowed && !share.grant {
            let what = if share.read_only { "read" } else { "write to" };
            return Err(Error::resource(
                "no-access",
                format!(
                    "user {} (uid {uid}) may not {what} {path}: it belongs to {}:{} with mode {:04o}",
                    user.name, facts.uid, facts.gid, facts.mode
                ),
            )
            .hint(format!(
                "add --grant to let the share's users in by ACL, or on this node: chown {uid} '{path}'"
            )));
        }
    }
    if let Some(other) = observed.records.iter().filter(|r| *r.name() != spec.name).find(|record| {
        record.spec.shares.iter().any(|s| s.path == share.path && !(s.read_only && share.read_only))
    }) {
        notes.push(format!(
            "{path} is shared by gateway {} as well: file locks do not reach from one to the other",
            other.name()
        ));
    }
    Ok(notes)
}
