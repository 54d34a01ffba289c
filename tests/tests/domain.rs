//! The lab's domain: what the tests of Active Directory rest on. Its controller serves, refuses who must be refused, each fault is there when
//! it is made and gone when it is mended, and nothing is left.

#![allow(clippy::print_stdout, reason = "a test tells what it does")]

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_lab::domain::{self, ADDRESS, Fault, Ticket, dns};
use smbgw_lab::lab::PASSWORD;
use smbgw_lab::{Answer, Client, DomainController, Lab, product};

/// Joins a container to the domain with Samba's tools alone. Its password comes by stdin.
const JOIN: &str = r#"set -e
cat >/etc/samba/smb.conf <<END
[global]
security = ADS
workgroup = LAB
realm = LAB.TEST
netbios name = HAND
disable netbios = yes
smb ports = 445
kerberos method = secrets and keytab
idmap config * : backend = tdb
idmap config * : range = 10000-14999
idmap config LAB : backend = rid
idmap config LAB : range = 20000-59999
winbind use default domain = yes
load printers = no
disable spoolss = yes
[hand]
path = /srv/smb/hand
read only = no
valid users = "@LAB\Team"
END
printf '[libdefaults]\n default_realm = LAB.TEST\n rdns = false\n' >/etc/krb5.conf
sed -i -E 's/^(passwd|group):.*/\1: files winbind/' /etc/nsswitch.conf
systemctl stop smbd
net ads join createcomputer=Gateways --no-dns-updates -U joiner
systemctl unmask winbind
systemctl start winbind smbd
wbinfo --ping-dc
getent group Team
chgrp Team /srv/smb/hand
chmod 2770 /srv/smb/hand
chmod o+x /srv/smb
"#;

/// Long enough for a kernel that refuses, short enough for one that drops.
const CONNECT: Duration = Duration::from_secs(2);

fn connects(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((ADDRESS, port)), CONNECT).is_ok()
}

fn says(result: Result<Ticket>, what: &str) -> Result<()> {
    let error = result.err().with_context(|| format!("a ticket, and not: {what}"))?.to_string();
    ensure!(error.contains(what), "{what} was expected: {error}");
    Ok(())
}

fn serves(domain: &DomainController, lab: &Lab) -> Result<()> {
    // alice and bob, who are in the domain by two ways
    let by_ticket = Client::kerberos(&domain.address(), &domain.name(), "sysvol", domain.ticket("alice")?);
    by_ticket.run("ls")?.ok()?;
    let by_password = Client::new(lab.directory(), &domain.address(), "sysvol", "LAB\\bob", PASSWORD)?;
    by_password.option("--use-kerberos=off").run("ls")?.ok()?;
    let wrong = Client::new(lab.directory(), &domain.address(), "sysvol", "LAB\\bob", "wrong")?;
    wrong.option("--use-kerberos=off").refused("ls", "NT_STATUS_LOGON_FAILURE")?;

    let get = |user: &str, password: &str| Ticket::get(lab.directory(), user, password);
    get(domain::JOINER, domain::JOINER_PASSWORD)?;
    says(get("alice", "wrong"), "Password incorrect")?;
    says(get("mallory", PASSWORD), "not found in Kerberos database")?;
    says(get(domain::DISABLED, PASSWORD), "credentials have been revoked")?;
    says(get(domain::EXPIRED, PASSWORD), "Password expired")?;
    ensure!(domain.computers()?.is_empty(), "computers: {:?}", domain.computers()?);
    ensure!(domain.computer("files")?.is_none(), "a computer that nobody made");
    Ok(())
}

#[test]
fn a_controller_serves_and_leaves_nothing() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let start = Instant::now();
    let domain = DomainController::start(lab.directory())?;
    println!("serves after {:.1} s", start.elapsed().as_secs_f64());
    let with = lab.snapshot()?;
    serves(&domain, &lab)?;

    // what an administrator does to accounts
    domain.lock("bob")?;
    says(domain.ticket("bob"), "credentials have been revoked")?;
    domain.samba_tool(&["user", "unlock", "bob"])?;
    domain.ticket("bob")?;
    domain.set_password("bob", "Another-horse-9")?;
    says(domain.ticket("bob"), "Password incorrect")?;
    domain.next_rid(70_001)?;
    domain.samba_tool(&["user", "create", "carol", PASSWORD])?;
    let carol = domain.search("(sAMAccountName=carol)", &["objectSid"])?;
    let sid = carol.first().and_then(|record| domain::value(record, "objectSid")).context("no carol")?;
    let rid: u32 = sid.rsplit('-').next().context("no RID")?.parse()?;
    ensure!(rid > 65_536, "carol is {sid}");

    // a domain is one thing of the machine, whatever it does
    with.expect_same(lab.directory())?;
    domain.stop()?;
    lab.leave()
}

#[test]
fn each_fault_is_there_and_goes() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let mut domain = DomainController::start(lab.directory())?;
    let srv = format!("_ldap._tcp.{}", domain::REALM);

    domain.fail(Fault::Port(389))?;
    ensure!(!connects(389) && connects(445), "389 is to be dropped, and nothing else");
    domain.fail(Fault::PortRefused(445))?;
    ensure!(!connects(445) && connects(389), "445 is to be refused, and nothing else");
    domain.fail(Fault::Port(53))?;
    ensure!(dns::ask(ADDRESS, &srv, dns::SRV).is_err(), "DNS answers");
    domain.fail(Fault::UnknownToDns)?;
    ensure!(dns::ask(ADDRESS, &srv, dns::SRV)?.unknown(), "DNS knows the domain");
    ensure!(connects(389), "389 is still dropped");
    domain.fail(Fault::Silent)?;
    ensure!(![53, 88, 389, 445].into_iter().any(connects), "something answers");
    domain.mend()?;
    serves(&domain, &lab)?;

    domain.fail(Fault::Frozen)?;
    ensure!(connects(389) && dns::ask(ADDRESS, &srv, dns::SRV).is_err(), "it is not frozen");
    domain.mend()?;
    domain.fail(Fault::Stopped)?;
    ensure!(![53, 88, 389, 445].into_iter().any(connects), "something answers");
    domain.mend()?;
    domain.fail(Fault::Clock(20))?;
    says(domain.ticket("alice"), "Clock skew too great")?;
    domain.mend()?;
    serves(&domain, &lab)?;
    // dropped without being asked
    drop(domain);
    lab.leave()
}

/// What a gateway is measured by: Samba's own tools in the same template, with the same clients.
#[test]
#[ignore = "only when the domain itself is in doubt: cargo xtask test --thorough"]
fn a_member_that_was_joined_by_hand_serves() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let domain = DomainController::start(lab.directory())?;
    let gateway = lab.create("hand", &["--nameserver", &domain.address()])?;
    let join = product::attach("hand").args(["/bin/sh", "-c", JOIN]);
    let joined =
        Answer::of(&join.stdin(format!("{}\n", domain::JOINER_PASSWORD)).deadline(Duration::from_secs(120)))?;
    println!("{}", joined.ok()?.all());
    let computer = domain.computer("hand")?.context("no computer account")?;
    println!("{computer:?}");
    ensure!(computer.dn.ends_with(domain::GATEWAYS_OU) && !computer.disabled, "{computer:?}");

    let by_ticket =
        |user: &str| Ok(Client::kerberos(&gateway.address, "hand.lab.test", "hand", domain.ticket(user)?));
    let by_password = |user: &str| -> Result<Client> {
        Ok(lab.client(&gateway, "hand", &format!("LAB\\{user}"))?.option("--use-kerberos=off"))
    };
    for client in [by_ticket("alice")?, by_password("alice")?] {
        client.run("mkdir d; rmdir d")?.ok()?;
    }
    by_ticket("bob").and_then(|client: Client| client.refused("ls", "NT_STATUS_ACCESS_DENIED"))?;
    by_password("bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    lab.host(["delete", "hand"])?.ok()?;
    domain.stop()?;
    lab.leave()
}

/// The Samba of Debian 13, whose programs speak otherwise.
#[test]
#[ignore = "a tree of Debian 13: cargo xtask test --thorough"]
fn a_controller_of_debian_13_serves() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let mut domain = DomainController::start_debian_13(lab.directory())?;
    ensure!(domain.run(["samba", "--version"])?.stdout.contains("4.22"), "another Samba");
    serves(&domain, &lab)?;
    domain.fail(Fault::Clock(-20))?;
    says(domain.ticket("alice"), "Clock skew too great")?;
    domain.mend()?;
    serves(&domain, &lab)?;
    domain.stop()?;
    lab.leave()
}
