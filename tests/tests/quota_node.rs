//! Quotas of shares, users and groups on a real ext4 and a real xfs, on an emulated node, since the kernel of this machine need not have them: past the
//! limit over SMB, seen by clients, changed, lowered, removed, gone with the gateway; faults at the step; numbers of somebody else.

#![allow(clippy::print_stdout, reason = "a test tells what it does")]

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use smbgw_lab::qemu::Node;
use smbgw_lab::{Answer, Product, Snapshot, environment};

const MIB: u64 = 1 << 20;
const PASSWORD: &str = "Correct-horse-7";

/// A file system of the node.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    /// Makes and mounts it.
    make: &'static str,
    /// Prints all projects, as `#ID USED SOFT HARD …`.
    report: &'static str,
    /// Gives project 77 a limit of 10 MiB, as somebody else would.
    other: &'static str,
}

const EXT4: Kind = Kind {
    name: "ext4",
    make: "mkfs.ext4 -q -O project,quota -E quotatype=usrquota:grpquota:prjquota /dev/vdc; mount -o usrquota,grpquota,prjquota /dev/vdc /srv/ext4",
    report: "repquota -P -n /srv/ext4 | tr -s ' ' | sed 's/ [+-][+-] / /'",
    other: "setquota -P 77 0 10240 0 0 /srv/ext4",
};
const XFS: Kind = Kind {
    name: "xfs",
    make: "mkfs.xfs -q /dev/vdd; mount -o usrquota,grpquota,prjquota /dev/vdd /srv/xfs",
    report: "xfs_quota -x -c 'report -p -N -n' /srv/xfs | tr -s ' '",
    other: "xfs_quota -x -c 'limit -p bhard=10240k 77' /srv/xfs",
};

/// One of them, with a directory that is shared.
struct Place<'a> {
    node: &'a Node,
    kind: Kind,
    path: String,
}

impl<'a> Place<'a> {
    fn new(node: &'a Node, kind: Kind) -> Result<Self> {
        let path = format!("/srv/{}/team", kind.name);
        node.shell(&format!("set -e; mkdir -p /srv/{}; {}; mkdir {path}", kind.name, kind.make))?.ok()?;
        Ok(Self { node, kind, path })
    }

    /// The project that the directory carries, and the hard limit of it in bytes, past the product.
    fn limit(&self) -> Result<(u64, u64)> {
        let carried = self.node.shell(&format!("lsattr -p -d {}", self.path))?.ok()?.stdout;
        let id: u64 = carried.split_whitespace().next().context("no project")?.parse()?;
        let report = self.node.shell(self.kind.report)?.ok()?.stdout;
        let start = format!("#{id} ");
        let line = report.lines().find_map(|line| line.strip_prefix(&start));
        let hard = line.and_then(|line| line.split_whitespace().nth(2)).unwrap_or("0");
        let hard: u64 = hard.parse().with_context(|| format!("in {report}"))?;
        Ok((id, hard << 10))
    }

    /// Nothing of ours is left: neither number nor limit of any project.
    fn expect_none(&self, what: &str) -> Result<()> {
        let left = self.node.shell(&format!(
            "lsattr -p -R {0} | awk '$1 ~ /^[0-9]+$/ && $1 != 0'; lsattr -p -d {0} | awk '$1 != 0'; {1} | awk '/^#/ && $1 != \"#0\" && $4 != 0'",
            self.path, self.kind.report
        ))?;
        ensure!(left.code == 0 && left.stdout.trim().is_empty(), "{what}: left: {left}");
        Ok(())
    }

    fn create(&self) -> String {
        format!(
            "create team --path {} --quota 64M --user alice --password-file /root/password --grant",
            self.path
        )
    }

    /// A step that sets one fails, before anything of the container runs.
    fn faults(&self) -> Result<()> {
        for fault in ["fail", "kill-before", "kill-after"] {
            let what = format!("{}: create with {fault}@quota:team", self.kind.name);
            let answer = self.node.host_with_fault(&format!("{fault}@quota:team"), &self.create())?;
            ensure!(answer.code != 0, "{what}: it went through");
            self.node.host("ops recover")?.ok().context(what.clone())?;
            self.expect_none(&what)?;
        }
        Ok(())
    }

    fn smb(&self, address: &str, commands: &str) -> Result<Answer> {
        self.node.shell(&format!("smbclient //{address}/team -A /root/auth -c '{commands}'"))
    }

    fn refused(&self, address: &str, commands: &str) -> Result<()> {
        let said = self.smb(address, commands)?;
        ensure!(
            said.all().contains("NT_STATUS_DISK_FULL"),
            "{}: a full disk was expected: {said}",
            self.kind.name
        );
        Ok(())
    }

    /// Size that a client sees becomes this, in MiB.
    fn seen(&self, address: &str, total: u64) -> Result<u64> {
        let said = self.smb(address, "du")?.ok()?;
        let (size, free) = smbgw_lab::smb::size(&said)?;
        ensure!(size == total, "{}: {total} MiB were expected: {said}", self.kind.name);
        Ok(free)
    }

    /// The life of a quota, over SMB.
    fn holds(&self) -> Result<()> {
        let (node, name) = (self.node, self.kind.name);
        let start = Instant::now();
        node.host(&self.create())?.ok()?;
        println!("{name}: created after {:.1} s", start.elapsed().as_secs_f64());
        let status = node.host("status team")?.ok()?.data()?;
        let address = smbgw_lab::lab::find_address(&status).context("no address")?;
        let (id, limit) = self.limit()?;
        ensure!(id != 0 && limit == 64 * MIB, "{name}: project {id} has {limit}");
        ensure!(self.seen(&address, 64)? >= 60, "{name}: nothing is free");

        // past it
        self.refused(&address, "put /root/big big.bin")?;
        self.smb(&address, "del big.bin; put /root/some some.bin")?.ok()?;
        let row = node.host("quota show team")?.ok()?.data()?["quotas"][0].clone();
        println!("{name}: {row}");
        ensure!(row["enforced_bytes"] == 64 * MIB && row["used_bytes"].as_u64() >= Some(20 * MIB), "{row}");
        let free = self.seen(&address, 64)?;
        ensure!((40..=44).contains(&free), "{name}: {free} MiB are free");

        // raised, and then enough
        node.host("quota set team 200M")?.ok()?;
        ensure!(self.limit()? == (id, 200 * MIB), "{name}: the new limit is not in force");
        self.smb(&address, "put /root/big big.bin")?.ok()?;
        self.seen(&address, 200)?;

        // below what is there; what it holds is seen even then
        node.host("quota set team 50M")?.fails("quota-below-usage")?;
        ensure!(self.limit()? == (id, 200 * MIB), "{name}: a refused change has changed something");
        node.host("quota set team 50M --force")?.ok()?;
        ensure!(self.limit()? == (id, 50 * MIB), "{name}: the forced limit is not in force");
        self.refused(&address, "put /root/some more.bin")?;
        node.host("quota set team 60M")?.fails("quota-below-usage")?;
        let row = node.host("quota show team")?.ok()?.data()?["quotas"][0].clone();
        ensure!(row["used_bytes"].as_u64() >= Some(100 * MIB), "{name}: {row}");

        // none, then one more, gone with the gateway, and the data not
        node.host("quota set team none")?.ok()?;
        self.expect_none(&format!("{name}: none"))?;
        self.smb(&address, "put /root/some more.bin")?.ok()?;
        node.host("quota set team 300M")?.ok()?;
        node.host("delete team")?.ok()?;
        self.expect_none(&format!("{name}: delete"))?;
        node.shell(&format!("cmp /root/big {}/big.bin", self.path))?.ok()?;
        println!("{name}: all of it after {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// The hard limit of a user (`-u`) or a group (`-g`) in bytes, past the product.
    fn owner_limit(&self, flag: &str, id: &str) -> Result<u64> {
        let report = match self.kind.name {
            "xfs" => format!("xfs_quota -x -c 'report {flag} -N -n' /srv/xfs"),
            _ => format!("repquota {flag} -v -n /srv/ext4 | sed 's/ [+-][+-] / /'"),
        };
        let report = self.node.shell(&report)?.ok()?.stdout;
        let line = report.lines().find(|line| line.split_whitespace().next() == Some(&format!("#{id}")));
        let hard = line.and_then(|line| line.split_whitespace().nth(3)).unwrap_or("0");
        Ok(hard.parse::<u64>().with_context(|| format!("in {report}"))? << 10)
    }

    /// Quotas of a user and of a group, over SMB.
    fn users(&self) -> Result<()> {
        let (node, name) = (self.node, self.kind.name);
        node.shell(&format!("set -e; rm -r {0}; mkdir {0}", self.path))?.ok()?;
        node.host(&format!(
            "create team --path {} --user alice --password-file /root/password --grant",
            self.path
        ))?
        .ok()?;
        node.host("group add team staff --member alice")?.ok()?;
        let status = node.host("status team")?.ok()?.data()?;
        let address = smbgw_lab::lab::find_address(&status).context("no address")?;
        let spec = node.host("show team")?.ok()?.data()?;
        let id = |kind: &str, key: &str| spec[kind][0][key].as_u64().with_context(|| format!("{spec}"));
        let (uid, gid) = (id("users", "uid")?.to_string(), id("groups", "gid")?.to_string());

        for fault in ["fail", "kill-before", "kill-after"] {
            let fault = format!("{fault}@user-quota:team:alice");
            ensure!(node.host_with_fault(&fault, "quota set team 30M --user alice")?.code != 0, "{fault}");
            node.host("ops recover")?.ok().context(fault.clone())?;
            ensure!(self.owner_limit("-u", &uid)? == 0, "{name}: {fault} has left a limit");
        }
        node.host("quota set team 30M --user alice")?.ok()?;
        ensure!(self.owner_limit("-u", &uid)? == 30 * MIB, "{name}: the limit is not in force");
        self.refused(&address, "put /root/big big.bin")?;
        self.smb(&address, "del big.bin; put /root/some some.bin")?.ok()?;
        let row = node.host("quota show team")?.ok()?.data()?["quotas"][0].clone();
        println!("{name}: {row}");
        ensure!(row["principal"] == "alice" && row["enforced_bytes"] == 30 * MIB, "{row}");
        ensure!(row["used_bytes"].as_u64() >= Some(20 * MIB), "{row}");
        node.host("quota set team 10M --user alice")?.fails("quota-below-usage")?;
        node.host("quota set team 10M --user alice --force")?.ok()?;
        self.refused(&address, "put /root/some more.bin")?;
        node.host("quota set team none --user alice")?.ok()?;
        ensure!(self.owner_limit("-u", &uid)? == 0, "{name}: a limit is left");
        self.smb(&address, "put /root/big big.bin")?.ok()?;

        // what counts for a group is what belongs to it; what a client makes belongs to the user's own
        node.shell(&format!("touch {0}/ours.bin && chown {uid}:{gid} {0}/ours.bin", self.path))?.ok()?;
        node.host("quota set team 30M --group staff")?.ok()?;
        ensure!(self.owner_limit("-g", &gid)? == 30 * MIB, "{name}: the group's limit is not in force");
        self.refused(&address, "put /root/big ours.bin")?;
        self.smb(&address, "put /root/some ours.bin; put /root/big second.bin")?.ok()?;
        node.shell(&format!("setquota -u {uid} 0 500000 0 0 /srv/{name}"))?.ok()?;
        node.host("quota set team 300M --user alice")?.fails("quota-foreign")?;
        node.shell(&format!("setquota -u {uid} 0 0 0 0 /srv/{name}"))?.ok()?;
        node.host("delete team")?.ok()?;
        ensure!(self.owner_limit("-g", &gid)? == 0, "{name}: delete has left the group's limit");
        node.shell(&format!("cmp /root/big {}/big.bin", self.path))?.ok()?;
        Ok(())
    }

    /// A project that somebody has given to the directory keeps its number; a limit of it is not ours to change.
    fn foreign(&self) -> Result<()> {
        let theirs =
            format!("set -e; rm -r {0}; mkdir {0}; chattr -p 77 +P {0}; {1}", self.path, self.kind.other);
        self.node.shell(&theirs)?.ok()?;
        self.node.host(&format!("{} --dry-run", self.create()))?.fails("quota-foreign")?;
        ensure!(self.limit()? == (77, 10 * MIB), "{}: {:?}", self.kind.name, self.limit()?);
        Ok(())
    }
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn ext4_and_xfs_hold_and_clients_see_it() -> Result<()> {
    let directory = environment::require()?;
    let product = Product::from_environment()?;
    let before = Snapshot::take(&directory)?;
    let start = Instant::now();
    let node = Node::boot(&product, &directory.join("node"), &[600, 600])?;
    println!("node with the product after {:.1} s", start.elapsed().as_secs_f64());
    node.shell(&format!(
        "set -e; umask 077; printf '{PASSWORD}\\n' >/root/password; printf 'username = alice\\npassword = {PASSWORD}\\n' >/root/auth
        head -c 100M /dev/urandom >/root/big; head -c 20M /dev/urandom >/root/some"
    ))?
    .ok()?;
    for kind in [EXT4, XFS] {
        let place = Place::new(&node, kind)?;
        place.faults()?;
        place.holds()?;
        place.users()?;
        place.foreign()?;
    }
    node.quit()?;
    before.expect_same(&directory)
}
