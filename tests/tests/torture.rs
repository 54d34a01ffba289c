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

/// Tests of `vfs.fruit` that a share for Macs does not pass, and why.
const FRUIT_EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn a_share_for_macs_passes_sambas_tests_of_fruit() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let (_, targets) = gateway(&lab, "mac", &["--purpose", "macos"])?;
    let names = torture::tests("vfs.fruit")?;
    let (outcomes, said) = torture::run(&targets, &names, DEADLINE)?;
    println!("vfs.fruit: {}", torture::figures(&outcomes));
    let bad: BTreeSet<&str> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome != Outcome::Passed)
        .map(|(name, _)| name.as_str())
        .collect();
    for name in &bad {
        println!("{name}: {:?}: {}", outcomes[*name], said[*name]);
    }
    let expected: BTreeSet<&str> = FRUIT_EXCEPTIONS.iter().map(|(name, _)| *name).collect();
    ensure!(bad == expected, "these do not come out as listed: {:?}", bad.symmetric_difference(&expected));
    lab.leave()
}

/// Tests of `smb2` that come out otherwise through a gateway than with a bare smbd, and why.
const DIFFERENCES: &[(&str, Outcome, Outcome, &str)] = &[];

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
    let (_, ours) = gateway(&lab, "team", &[])?;
    let (bare, theirs) = gateway(&lab, "bare", &[])?;
    lab.attach("bare", ["sh", "-ec", BARE])?.ok()?;
    let client = lab.client(&bare, "lane1", "alice")?;
    wait_until("the bare smbd", Duration::from_secs(30), &Interrupt::new(), || {
        client.run("ls").ok().filter(|answer| answer.code == 0)
    })?;
    let names = torture::tests("smb2")?;
    let both = std::thread::scope(|scope| {
        let run = |targets| scope.spawn(|| torture::run(targets, &names, DEADLINE));
        let (ours, theirs) = (run(&ours), run(&theirs));
        [ours, theirs].map(|run| run.join().map_err(|_| anyhow::anyhow!("smbtorture's runner panicked")))
    });
    let [ours, theirs] = both;
    let ((ours, our_words), (theirs, their_words)) = (ours??, theirs??);
    println!("smb2, gateway: {}", torture::figures(&ours));
    println!("smb2, bare smbd: {}", torture::figures(&theirs));
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
    let expected: BTreeMap<_, _> =
        DIFFERENCES.iter().map(|(name, our, their, _)| (*name, (*our, *their))).collect();
    ensure!(found == expected, "{} differ, and {} are listed", found.len(), expected.len());
    lab.leave()
}
