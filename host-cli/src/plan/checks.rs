//! What must hold before anything changes. Each broken rule has its own error, code and hint.

use smbgw_api::{Access, ByteSize, Disk, DiskSource, GatewaySpec, HostPath, Location, Mode, Share};

use super::{Observed, native};
use crate::storage::{CEPH_FUSE, Named, access};
use crate::{Error, Result};

/// Mode and directories of a spec.
///
/// # Errors
/// The first rule that is broken.
pub fn spec(spec: &GatewaySpec, observed: &Observed) -> Result<Vec<String>> {
    spec.check()?;
    let abilities = observed.node.abilities;
    let only_pve = |what: &str| {
        Err(Error::usage("platform-lacks", format!("this platform cannot do it: {what}"))
            .hint("leave it out; it is for gateways on Proxmox VE"))
    };
    if spec.guest_storage.is_some() && !abilities.storages {
        return only_pve("a storage for the guest's own disk (guest-storage)");
    }
    if spec.startup.is_some() && !abilities.starts_guests {
        return only_pve("a turn among the guests that start with the node (startup)");
    }
    let mut notes = if spec.mode == Mode::Native { native::notes(spec, observed) } else { Vec::new() };
    for share in &spec.shares {
        if let Some(path) = share.directory() {
            notes.extend(directory(spec, share, path, observed)?);
        }
    }
    notes.extend(super::ids::overlaps(spec, observed));
    if let Some(disk) = &spec.disk {
        notes.extend(self::disk(spec, disk, observed)?);
    }
    if spec.shares.is_empty() {
        notes.push("the gateway has no share yet: add one with `pve-smbgateway share add`".to_owned());
    }
    if spec.users.is_empty() && spec.domain.is_none() {
        notes.push("the gateway has no user yet, so nobody can log on: `pve-smbgateway user add`".to_owned());
    }
    Ok(notes)
}

fn disk(spec: &GatewaySpec, disk: &Disk, observed: &Observed) -> Result<Vec<String>> {
    let facts = observed.disk(&disk.source)?;
    let others = observed.records.iter().filter(|record| *record.name() != spec.name);
    for other in others {
        let same = |theirs: &Disk| match (&theirs.source, &disk.source) {
            // the same image, whoever it is opened as
            (DiskSource::Rbd { image: one, .. }, DiskSource::Rbd { image: two, .. }) => one == two,
            (one, two) => one == two,
        };
        if other.spec.disk.as_ref().is_some_and(same) {
            return Err(Error::resource(
                "disk-in-use",
                format!("{} is the disk of gateway {}", disk.source, other.name()),
            )
            .hint(
                "a disk belongs to one gateway at a time: share it from that one, or delete that one first",
            ));
        }
    }
    let mut notes = Vec::new();
    if !spec.shares.iter().any(|share| matches!(share.location, Location::Folder(_))) {
        notes.push(format!(
            "no share is on the disk {} yet: pve-smbgateway share add {} NAME --folder NAME",
            disk.source, spec.name
        ));
    }
    let known = observed.records.iter().any(|r| *r.name() == spec.name && r.spec.disk.as_ref() == Some(disk));
    if disk.format && !known {
        notes.push(format!(
            "{} ({}) gets a file system if it is empty, and stays as it is if it is not",
            disk.source,
            ByteSize::from_bytes(facts.bytes)
        ));
    }
    Ok(notes)
}

fn directory(spec: &GatewaySpec, share: &Share, path: &HostPath, observed: &Observed) -> Result<Vec<String>> {
    let facts = observed.storage(path)?;
    let mut notes = Vec::new();
    if spec.mode == Mode::Lxc && !facts.idmapped_mounts {
        let error = Error::usage(
            "idmap-unsupported",
            format!("{path} is on {}, which cannot do idmapped mounts", facts.filesystem),
        );
        return Err(if facts.filesystem == CEPH_FUSE {
            error.hint("an unprivileged container needs them: mount CephFS by the kernel (on Proxmox VE: the storage without `fuse 1`), or use --mode vm")
        } else {
            error.hint(
                "an unprivileged container needs them: use a directory on ext4, xfs, btrfs, zfs or cephfs",
            )
        });
    }
    if !facts.xattrs {
        return Err(Error::usage(
            "no-xattrs",
            format!("{path} is on {} without extended attributes", facts.filesystem),
        )
        .hint("Windows attributes and ACLs are kept in them; on zfs: zfs set xattr=sa DATASET"));
    }
    if !facts.acls {
        let hint = if facts.filesystem == CEPH_FUSE {
            "mount it by the kernel, or with these lines below [client] in /etc/ceph/ceph.conf: client acl type = posix_acl, fuse default permissions = false"
        } else {
            "mount it with acl; on zfs: zfs set acltype=posixacl DATASET"
        };
        return Err(Error::usage("no-acls", format!("{path} is on {} without POSIX ACLs", facts.filesystem))
            .hint(hint));
    }
    if facts.read_only && !share.read_only {
        return Err(Error::usage("read-only-storage", format!("{path} is mounted read-only"))
            .hint("mount it read-write, or make the share --read-only"));
    }
    for user in spec.users_of(share) {
        let Some(uid) = user.uid else { continue };
        let reads = spec.access(share, user) == Access::Read;
        let gids: Vec<u32> = std::iter::once(uid).chain(spec.gids_of(user)).collect();
        let allowed =
            if reads { access::may_read(facts, uid, &gids) } else { access::may_write(facts, uid, &gids) };
        let named = facts.acl.as_ref().is_some_and(|acl| acl.names(Named::User(uid)));
        if !allowed && share.grant && named {
            return Err(Error::resource(
                "no-access",
                format!("user {} (uid {uid}) has an entry in the ACL of {path} that gives too little, or whose mask does", user.name),
            )
            .hint(format!("what a person has set there stays; on this node: setfacl -m u:{uid}:rwx,m::rwx '{path}'")));
        }
        if !allowed && !share.grant {
            let what = if reads { "read" } else { "write to" };
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
        record.spec.shares.iter().any(|s| s.same_place(share) && !(s.read_only && share.read_only))
    }) {
        notes.push(format!(
            "{path} is shared by gateway {} as well: file locks do not reach from one to the other",
            other.name()
        ));
    }
    Ok(notes)
}
