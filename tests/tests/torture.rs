//! Samba's own tests, through a gateway: those of `fruit` on a share for Macs, and all of `smb2` beside a bare smbd of the same
//! version. What does not come out as it would, or should, is listed here with its reason; anything else fails.

#![allow(clippy::print_stdout, reason = "a test: its figures are what it is for")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::torture::{self, Outcome, Target};
use smbgw_lab::{Gateway, Lab, files, lab::PASSWORD};

/// Tests that run at the same time on one server, each in a share of its own.
const LANES: usize = 4;
/// For one test: those that take longer wait for something that never comes.
const DEADLINE: Duration = Duration::from_secs(90);

/// For one of `vfs.fruit`: `writing_afpinfo` writes hundreds of pieces.
const FRUIT_DEADLINE: Duration = Duration::from_secs(300);

/// A file with name and password, as smbtorture wants it.
fn auth(lab: &Lab) -> Result<PathBuf> {
    let path = lab.directory().join("torture-auth");
    files::secret_file(&path, &format!("username = alice\npassword = {PASSWORD}\n"))?;
    Ok(path)
}

/// A gateway with a share for each lane, and its targets.
fn gateway(lab: &Lab, name: &str, more: &[&str]) -> Result<(Gateway, Vec<Target>)> {
    let gateway = lab.create(name, more)?;
    for lane in 1..LANES {
        let (share, path) =
            (format!("lane{lane}"), lab.data(&format!("{name}-{lane}"))?.display().to_string());
        lab.host(
            ["share", "add", name, &share, "--path", &path, "--grant"]
                .into_iter()
                .chain(more.iter().copied()),
        )?
        .ok()?;
    }
    let auth = auth(lab)?;
    let target = |lane: usize| -> Result<Target> {
        let (share, directory) = match lane {
            0 => (name.to_owned(), gateway.path.clone()),
            lane => (format!("lane{lane}"), lab.directory().join("data").join(format!("{name}-{lane}"))),
        };
        Ok(Target { address: gateway.address.clone(), share, auth: auth.clone(), directory: Some(directory) })
    };
    let targets = (0..LANES).map(target).collect::<Result<_>>()?;
    Ok((gateway, targets))
}

/// The suite takes a server for a Mac's only if it offers `fruit:copyfile` and `fruit:nfs_aces` as well. A gateway offers neither
/// (docs/purposes.md), so these stop where the suite compares what the server can do.
const NEED_ALL_CAPABILITIES: &[&str] = &[
    "NFS ACE entries",
    "OS X AppleDouble file conversion without embedded xattr",
    "SMB2/CREATE context AAPL",
    "empty_stream",
    "fsync_resource_fork",
    "opening and creating resource fork",
    "read open rsrc after rename",
    "readdir_attr with names with illegal ntfs characters",
    "rename_dir_openfile",
    "setinfo eof AFP_AfpResource",
    "setinfo eof stream",
    "truncate resource fork to 0 bytes",
    // skipped without fruit:copyfile
    "copyfile",
];

/// What does not pass with these two options on either.
const NEVER: &[&str] = &[
    // skipped but with metadata as Netatalk has it
    "invalid AFP_AfpInfo",
    // Samba 4.22 refuses it with ACCESS_DENIED although fruit:posix_rename is on; the client is of 4.17
    "rename_dir_openfile",
];

/// In the gateway's own container: the two options that the suite wants, and everything else as it is.
const ALL_CAPABILITIES: &str = r#"
systemctl stop smbgw-agent
sed -i 's/^\tfruit:nfs_aces = no$/\tfruit:nfs_aces = yes\n\tfruit:copyfile = yes/' /etc/samba/smb.conf
grep -q 'fruit:copyfile = yes' /etc/samba/smb.conf
systemctl restart smbd
"#;

/// Expects that exactly these tests of the suite do not pass.
fn expect_fruit(targets: &[Target], what: &str, exceptions: &BTreeSet<&str>) -> Result<()> {
    let names = torture::tests("vfs.fruit")?;
    let (outcomes, said) = torture::run(targets, &names, FRUIT_DEADLINE)?;
    println!("vfs.fruit, {what}: {}", torture::figures(&outcomes));
    let failed = outcomes.iter().filter(|(_, outcome)| **outcome != Outcome::Passed);
    let failed: BTreeSet<&str> = failed.filter_map(|(name, _)| name.strip_prefix("vfs.fruit.")).collect();
    for name in failed.symmetric_difference(exceptions) {
        let words = said.get(&format!("vfs.fruit.{name}")).map_or("it passed", String::as_str);
        println!("not as listed: {name}: {words}");
    }
    ensure!(failed == *exceptions, "these do not pass: {failed:?}; listed are {exceptions:?}");
    Ok(())
}

#[test]
fn a_share_for_macs_passes_sambas_tests_of_fruit() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let (gateway, targets) = gateway(&lab, "mac", &["--purpose", "macos"])?;
    let all = NEED_ALL_CAPABILITIES.iter().chain(NEVER).copied().collect();
    expect_fruit(&targets, "as a gateway has it", &all)?;
    lab.attach("mac", ["sh", "-ec", ALL_CAPABILITIES])?.ok()?;
    let client = lab.client(&gateway, "mac", "alice")?;
    wait_until("smbd with these options", Duration::from_secs(30), &Interrupt::new(), || {
        client.run("ls").ok().filter(|answer| answer.code == 0)
    })?;
    expect_fruit(&targets, "with copyfile and nfs_aces", &NEVER.iter().copied().collect())?;
    lab.attach("mac", ["systemctl", "start", "smbgw-agent"])?.ok()?;
    lab.leave()
}

/// A test of `smb2`: its name, what comes out through a gateway, and what with a bare smbd.
type Difference = (&'static str, Outcome, Outcome);

/// Tests of `smb2` that come out otherwise through a gateway than with a bare smbd, by the reason: through the gateway, and bare.
const DIFFERENCES: &[(&str, &[Difference])] = &[
    (
        "a gateway keeps Windows ACLs whole (acl_xattr); a bare smbd makes them of POSIX ACLs",
        &[
            ("smb2.acls.CREATOR", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.DENY1", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.DYNAMIC", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.GENERIC", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.INHERITANCE", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.INHERITFLAGS", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.OWNER", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.OWNER-RIGHTS", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.OWNER-RIGHTS-DENY", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.OWNER-RIGHTS-DENY1", Outcome::Passed, Outcome::Failed),
            ("smb2.acls.SDFLAGSVSCHOWN", Outcome::Passed, Outcome::Failed),
            ("smb2.compound.related4", Outcome::Passed, Outcome::Failed),
            ("smb2.compound.related7", Outcome::Passed, Outcome::Failed),
            ("smb2.create.acldir", Outcome::Passed, Outcome::Failed),
            ("smb2.create.aclfile", Outcome::Passed, Outcome::Failed),
            ("smb2.create.nulldacl", Outcome::Passed, Outcome::Failed),
            ("smb2.delete-on-close-perms.CREATE_IF Existing", Outcome::Passed, Outcome::Failed),
            ("smb2.delete-on-close-perms.OVERWRITE_IF Existing", Outcome::Passed, Outcome::Failed),
        ],
    ),
    (
        "a gateway has streams (streams_xattr); a bare smbd has none",
        &[
            ("smb2.fileid.fileid", Outcome::Passed, Outcome::Failed),
            ("smb2.fileid.fileid-dir", Outcome::Passed, Outcome::Failed),
            ("smb2.getinfo.normalized", Outcome::Passed, Outcome::Failed),
            ("smb2.ioctl-on-stream", Outcome::Passed, Outcome::Failed),
            ("smb2.ioctl.copy-chunk streams", Outcome::Passed, Outcome::Failed),
            ("smb2.kernel-oplocks.kernel_oplocks2", Outcome::Passed, Outcome::Failed),
            ("smb2.kernel-oplocks.kernel_oplocks4", Outcome::Passed, Outcome::Failed),
            ("smb2.kernel-oplocks.kernel_oplocks6", Outcome::Passed, Outcome::Failed),
            ("smb2.lease.request", Outcome::Passed, Outcome::Failed),
            ("smb2.oplock.batch26", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.attributes1", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.attributes2", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.basefile-rename-with-open-stream", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.create-disposition", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.delete", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.dir", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.io", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.names", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.names2", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.names3", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.rename", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.sharemodes", Outcome::Passed, Outcome::Failed),
            ("smb2.streams.zero-byte", Outcome::Passed, Outcome::Failed),
        ],
    ),
    (
        "a gateway never takes a wrong name or password for a guest; Debian maps an unknown user to one (map to guest = bad user)",
        &[
            ("smb2.notify.invalid-reauth", Outcome::Passed, Outcome::Failed),
            ("smb2.secleak", Outcome::Passed, Outcome::Failed),
        ],
    ),
    ("signing is mandatory", &[("smb2.session-require-signing.bug15397", Outcome::Passed, Outcome::Failed)]),
    (
        "SMB 2.0.2 is below the floor (server min protocol = SMB2_10)",
        &[("smb2.session.bind_negative_smb202", Outcome::Failed, Outcome::Passed)],
    ),
    (
        "the test wants a server without streams",
        &[("smb2.create_no_streams.no_stream", Outcome::Failed, Outcome::Passed)],
    ),
    (
        "attributes take a block of their own on ext4, which counts as allocated",
        &[("smb2.durable-open.delete_on_close1", Outcome::Failed, Outcome::Passed)],
    ),
    (
        "the test gives the session to nobody in between, whom the share does not admit (valid users)",
        &[
            ("smb2.session.reauth2", Outcome::Failed, Outcome::Passed),
            ("smb2.session.reauth3", Outcome::Failed, Outcome::Passed),
        ],
    ),
    (
        "signing is mandatory, and the test's own client (4.17) ends in its signing code",
        &[("smb2.scan.scan", Outcome::Failed, Outcome::Passed)],
    ),
];

fn by_name((name, our, their): &Difference) -> (&'static str, (Outcome, Outcome)) {
    (name, (*our, *their))
}

/// How often a test that comes out otherwise than listed is run once more, alone; the best counts.
const ROUNDS: usize = 3;

/// Debian's smbd with Debian's options, beside one more share without any: in the gateway's own container, in place of its smbd.
const BARE: &str = r#"
systemctl stop smbgw-agent smbd
cat >/etc/samba/bare.conf <<'END'
[global]
workgroup = WORKGROUP
log file = /var/log/samba/log.%m
max log size = 1000
logging = file
server role = standalone server
obey pam restrictions = yes
unix password sync = yes
pam password change = yes
map to guest = bad user
usershare allow guests = yes
END
for share in bare lane1 lane2 lane3; do
    printf '[%s]\npath = /srv/smb/%s\nread only = no\n' $share $share >>/etc/samba/bare.conf
done
systemd-run --unit=bare --collect smbd --foreground --no-process-group --configfile=/etc/samba/bare.conf
"#;

#[test]
#[ignore = "takes a quarter of an hour"]
fn a_gateway_passes_what_a_bare_smbd_passes() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let (_, our_targets) = gateway(&lab, "team", &[])?;
    let (bare, their_targets) = gateway(&lab, "bare", &[])?;
    lab.attach("bare", ["sh", "-ec", BARE])?.ok()?;
    let client = lab.client(&bare, "lane1", "alice")?;
    wait_until("the bare smbd", Duration::from_secs(30), &Interrupt::new(), || {
        client.run("ls").ok().filter(|answer| answer.code == 0)
    })?;
    let names = torture::tests("smb2")?;
    let both = std::thread::scope(|scope| {
        let run = |targets| {
            let names = &names;
            scope.spawn(move || torture::run(targets, names, DEADLINE))
        };
        let (ours, theirs) = (run(our_targets.as_slice()), run(their_targets.as_slice()));
        [ours, theirs].map(|run| run.join().map_err(|_| anyhow::anyhow!("smbtorture's runner panicked")))
    });
    let [ours, theirs] = both;
    let ((mut ours, our_words), (mut theirs, their_words)) = (ours??, theirs??);
    println!("smb2, gateway: {}", torture::figures(&ours));
    println!("smb2, bare smbd: {}", torture::figures(&theirs));
    // what waits for a break or counts changes comes out otherwise when others run beside it
    let listed: BTreeMap<_, _> =
        DIFFERENCES.iter().flat_map(|(_, tests)| tests.iter()).map(by_name).collect();
    for round in 1..=ROUNDS {
        let unsettled: Vec<String> = names
            .iter()
            .filter(|name| {
                let (our, their) = (ours[*name], theirs[*name]);
                let (seen, expected) = ((our, their), listed.get(name.as_str()).copied());
                seen != expected.unwrap_or((our, our))
            })
            .cloned()
            .collect();
        println!("alone, round {round}: {unsettled:?}");
        for (targets, outcomes) in [(&our_targets, &mut ours), (&their_targets, &mut theirs)] {
            let (again, _) = torture::run(&targets[..1], &unsettled, DEADLINE)?;
            for (name, outcome) in again {
                let best = outcomes.get(&name).map_or(outcome, |before| outcome.min(*before));
                outcomes.insert(name, best);
            }
        }
    }
    let mut found = BTreeMap::new();
    for (name, our) in &ours {
        let their = theirs.get(name).with_context(|| format!("{name} did not run"))?;
        if our != their {
            found.insert(name.as_str(), (*our, *their));
            for (who, words) in [("gateway", our_words.get(name)), ("bare", their_words.get(name))] {
                if let Some(words) = words {
                    let end: String = words.lines().take(12).collect::<Vec<_>>().join("\n    ");
                    println!("{name}: {who}:\n    {end}");
                }
            }
        }
    }
    for (name, (our, their)) in &found {
        println!("difference: {name}: {our:?}, bare {their:?}");
    }
    ensure!(found == listed, "{} differ, and {} are listed", found.len(), listed.len());
    lab.leave()
}
