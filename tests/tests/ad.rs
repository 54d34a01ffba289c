//! Gateways in an Active Directory domain: joined to a real one, used with its tickets and its passwords, refused with an error of its own for
//! each thing that can be wrong, and gone from it when they are deleted.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it waits, and tells what it does"
)]

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use smbgw_lab::domain::lab::{holds, words};
use smbgw_lab::domain::{self, Fault, GATEWAYS_OU, JOINER, JOINER_PASSWORD};
use smbgw_lab::lab::PASSWORD;
use smbgw_lab::{Client, DomainLab, Gateway, canary, files};

#[test]
fn users_of_the_domain_share_a_directory() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    // an account of a domain that has seen many: past what a container's usual ids hold
    lab.domain.next_rid(70_001)?;
    lab.domain.samba_tool(&["user", "create", "carol", PASSWORD])?;
    lab.domain.samba_tool(&["group", "addmembers", domain::GROUP, "carol"])?;
    let start = Instant::now();
    let one = lab.create("one")?;
    println!("created and joined after {:.1} s", start.elapsed().as_secs_f64());
    let status = lab.wait_healthy("one")?;
    println!("{status}");
    let computer = lab.domain.computer("one")?.context("no computer account")?;
    ensure!(computer.dn.ends_with(GATEWAYS_OU) && !computer.disabled, "{computer:?}");
    ensure!(holds(&status, "dn", &computer.dn.clone().into()), "another account: {status}");
    lab.host(&words(&["ad", "test", "one"]))?.ok()?;

    for user in ["alice", "carol"] {
        let id = lab.domain.id_of(user)?;
        for client in [lab.by_ticket(&one, user)?, lab.by_password(&one, user)?] {
            let owner = client.owner_of_new(&one, lab.lab.directory(), "file.bin")?;
            ensure!(owner == id, "a file of {user}, who is {id}, belongs to {owner}");
            client.run("del file.bin")?.ok()?;
        }
    }
    // who is not in the group
    lab.by_ticket(&one, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    lab.by_password(&one, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;

    // another gateway has the same ids
    let two = lab.create("two")?;
    let owners = [&one, &two].map(|gateway| {
        lab.by_ticket(gateway, "alice")
            .and_then(|client| client.owner_of_new(gateway, lab.lab.directory(), "same.bin"))
    });
    let [first, second] = owners;
    ensure!(first? == second?, "two gateways do not agree on ids");

    // the domain is away for a while, and comes back
    let mut lab = lab;
    lab.domain.fail(Fault::Silent)?;
    let without = lab.status("one")?;
    ensure!(holds(&without, "code", &"ad-unreachable".into()), "{without}");
    lab.domain.mend()?;
    lab.wait_healthy("one")?;

    lab.delete("two")?;
    ensure!(lab.domain.computer("two")?.is_none(), "a deleted gateway is still in the domain");
    ensure!(lab.domain.computer("one")?.is_some(), "another gateway left the domain, too");
    ensure!(lab.domain.addresses_of("two")? == 0, "a deleted gateway is still in the domain's DNS");
    lab.delete("one")?;
    lab.leave()
}

/// Members of the group read and write with this id, others do not.
fn serves(lab: &DomainLab, gateway: &Gateway, id: u32) -> Result<()> {
    for client in [lab.by_ticket(gateway, "alice")?, lab.by_password(gateway, "alice")?] {
        let owner = client.owner_of_new(gateway, lab.lab.directory(), "file.bin")?;
        ensure!(owner == id, "a file of alice, who is {id}, belongs to {owner}");
        client.run("del file.bin")?.ok()?;
    }
    lab.by_ticket(gateway, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    lab.by_password(gateway, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")
}

/// The other versions of gateway and controller: each of 4.17 and 4.22 with each.
fn versions(lab: &DomainLab, template: &str) -> Result<()> {
    let args = [lab.create_args("team")?, words(&["--template", template])].concat();
    lab.host(&args)?.ok()?;
    println!("{}", lab.wait_healthy("team")?);
    serves(lab, &lab.gateway("team")?, lab.domain.id_of("alice")?)?;
    lab.host(&words(&["ad", "test", "team"]))?.ok()?;
    lab.delete("team")
}

#[test]
#[ignore = "another version of the same: cargo xtask test --thorough"]
fn a_gateway_of_debian_12() -> Result<()> {
    let lab = DomainLab::enter("debian-12")?;
    versions(&lab, "debian-12")?;
    lab.leave()
}

#[test]
#[ignore = "another version of the same: cargo xtask test --thorough"]
fn a_controller_of_debian_13() -> Result<()> {
    let lab = DomainLab::enter_at_debian_13("debian-13")?;
    versions(&lab, "debian-13")?;
    lab.leave()
}

#[test]
#[ignore = "another version of the same: cargo xtask test --thorough"]
fn a_gateway_of_debian_12_and_a_controller_of_debian_13() -> Result<()> {
    let lab = DomainLab::enter_at_debian_13("debian-12")?;
    versions(&lab, "debian-12")?;
    lab.leave()
}

/// Ids that the directory has (RFC 2307), and ids in the order in which domains are met.
#[test]
#[ignore = "another way of the same: cargo xtask test --thorough"]
fn ids_by_other_ways() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    for (dn, ids) in [
        ("CN=alice,CN=Users", &["uidNumber: 300001", "gidNumber: 300513"][..]),
        ("CN=bob,CN=Users", &["uidNumber: 300002", "gidNumber: 300513"]),
        ("CN=Domain Users,CN=Users", &["gidNumber: 300513"]),
        ("CN=Team,CN=Users", &["gidNumber: 300600"]),
    ] {
        let mut ldif = format!("dn: {dn},DC=lab,DC=test\nchangetype: modify\n");
        for id in ids {
            let name = id.split(':').next().unwrap_or_default();
            ldif.push_str(&format!("add: {name}\n{id}\n-\n"));
        }
        lab.domain.modify(&ldif)?;
    }
    let create = |backend: &str| -> Result<Gateway> {
        let args = [lab.create_args("team")?, words(&["--ad-idmap", backend])].concat();
        lab.host(&args)?.ok()?;
        println!("{}", lab.wait_healthy("team")?);
        lab.gateway("team")
    };
    serves(&lab, &create("ad")?, 300_001)?;
    lab.delete("team")?;
    // ranges of 100000: the first is Samba's own, the second the domain's
    let gateway = create("autorid")?;
    let owner =
        lab.by_password(&gateway, "alice")?.owner_of_new(&gateway, lab.lab.directory(), "file.bin")?;
    ensure!((100_000..1_100_000).contains(&owner), "a file of alice belongs to {owner}");
    lab.by_password(&gateway, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    lab.delete("team")?;
    lab.leave()
}

/// A gateway that is in no domain yet, for what is refused before anything changes.
fn local(lab: &DomainLab) -> Result<Gateway> {
    let more = ["--nameserver", &lab.domain.address(), "--searchdomain", "lab.test"];
    lab.lab.create("team", &more)
}

/// `ad join` is refused with this error, and the gateway stays what it was.
fn refused(lab: &DomainLab, before: &str, more: &[&str], code: &str) -> Result<()> {
    let start = Instant::now();
    let args = [&words(&["ad", "join", "team", "--ad-domain", domain::REALM])[..], &words(more)].concat();
    let answer = lab.host(&args)?.fails(code)?.exits(5)?;
    println!("{code} after {:.1} s", start.elapsed().as_secs_f64());
    ensure!(lab.membership("team")? == before, "{code}: the gateway is not what it was: {answer}");
    Ok(())
}

#[test]
fn each_wrong_account_has_its_own_error() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    local(&lab)?;
    let before = lab.membership("team")?;
    lab.domain.lock("bob")?;
    let wrong = lab.lab.directory().join("wrong");
    files::secret_file(&wrong, "not-the-password\n")?;
    let (right, wrong) = (lab.lab.password_file()?, wrong.display().to_string());
    for (user, password, code) in [
        ("alice", &wrong, "ad-wrong-password"),
        ("mallory", &right, "ad-unknown-user"),
        (domain::DISABLED, &right, "ad-account-disabled"),
        ("bob", &right, "ad-account-disabled"),
        (domain::EXPIRED, &right, "ad-password-expired"),
        (domain::NOBODY, &right, "ad-no-rights"),
    ] {
        let account = ["--ad-user", user, "--ad-password-file", password, "--ad-ou", GATEWAYS_OU];
        refused(&lab, &before, &account, code).with_context(|| user.to_owned())?;
    }
    let file = lab.domain.joiner_file()?;
    let joiner = ["--ad-user", JOINER, "--ad-password-file", &file];
    let with = |more: &[&'static str]| [&joiner[..], more].concat();
    refused(&lab, &before, &with(&["--ad-ou", "OU=Nowhere,DC=lab,DC=test"]), "ad-ou-missing")?;
    // where the account may not make computers
    refused(&lab, &before, &with(&["--ad-ou", "OU=Domain Controllers"]), "ad-no-rights")?;
    refused(&lab, &before, &with(&["--ad-ou", GATEWAYS_OU, "--ad-workgroup", "OTHER"]), "ad-workgroup")?;
    // somebody else's computer
    lab.domain.samba_tool(&["computer", "create", "team", "--computerou=OU=Gateways"])?;
    let other =
        format!("dn: CN=team,{GATEWAYS_OU}\nchangetype: modify\nreplace: logonCount\nlogonCount: 5\n");
    lab.domain.modify(&other)?;
    refused(&lab, &before, &with(&["--ad-ou", GATEWAYS_OU]), "ad-name-taken")?;
    lab.domain.samba_tool(&["computer", "delete", "team"])?;
    lab.expect_no_accounts()?;
    lab.lab.host(["delete", "team"])?.ok()?;
    lab.leave()
}

#[test]
fn each_fault_of_the_domain_has_its_own_error() -> Result<()> {
    let mut lab = DomainLab::enter("debian-13")?;
    local(&lab)?;
    let before = lab.membership("team")?;
    let file = lab.domain.joiner_file()?;
    let joiner = ["--ad-user", JOINER, "--ad-password-file", &file, "--ad-ou", GATEWAYS_OU];
    for (fault, code) in [
        (Fault::UnknownToDns, "ad-dns"),
        (Fault::Port(53), "ad-dns"),
        (Fault::Silent, "ad-dns"),
        (Fault::Port(88), "ad-port-blocked"),
        (Fault::Port(135), "ad-port-blocked"),
        (Fault::Port(389), "ad-port-blocked"),
        (Fault::Port(445), "ad-port-blocked"),
        (Fault::Port(464), "ad-port-blocked"),
        (Fault::PortRefused(445), "ad-port-blocked"),
        (Fault::Clock(20), "ad-clock-skew"),
    ] {
        lab.domain.fail(fault)?;
        refused(&lab, &before, &joiner, code).with_context(|| format!("{fault:?}"))?;
        let diagnosis = lab.host(&words(&["ad", "diagnose", "team", "--ad-domain", domain::REALM]))?;
        ensure!(diagnosis.stdout.contains(code), "{fault:?}: {code} was expected: {diagnosis}");
        lab.domain.mend()?;
    }
    // DNS is the controller itself here: when that has ended, nobody names it
    lab.domain.fail(Fault::Stopped)?;
    refused(&lab, &before, &joiner, "ad-dns")?;
    lab.domain.mend()?;
    lab.expect_no_accounts()?;

    // and with all of it mended, the same join is right
    let args = [&words(&["ad", "join", "team", "--ad-domain", domain::REALM])[..], &words(&joiner)].concat();
    lab.host(&args)?.ok()?;
    lab.wait_healthy("team")?;
    let leave = [&words(&["ad", "leave", "team"])[..], &lab.leaver()?].concat();
    // another name, which the domain must know: to join again gives it
    let args = [&args[..], &words(&["--ad-alias", "files.lab.test"])].concat();
    lab.host(&args)?.ok()?;
    lab.wait_healthy("team")?;
    let computer = lab.domain.computer("team")?.context("no computer account")?;
    ensure!(
        computer.services.iter().any(|name| name.eq_ignore_ascii_case("host/files.lab.test")),
        "{computer:?}"
    );
    let gateway = lab.gateway("team")?;
    Client::kerberos(&gateway.address, "files.lab.test", "team", lab.domain.ticket("alice")?)
        .run("ls")?
        .ok()?;
    ensure!(lab.domain.addresses_of("files")? == 1, "the other name is not in the domain's DNS");
    lab.host(&leave)?.ok()?;
    lab.expect_no_accounts()?;
    ensure!(lab.domain.addresses_of("files")? == 0, "the other name is still in the domain's DNS");
    ensure!(
        lab.membership("team")? == before,
        "who has left is not what it was: {}",
        lab.membership("team")?
    );
    lab.lab.host(["delete", "team"])?.ok()?;
    lab.leave()
}

/// A controller that takes connections and says nothing.
#[test]
#[ignore = "half a minute for one more fault: cargo xtask test --thorough"]
fn a_frozen_domain_has_its_own_error() -> Result<()> {
    let mut lab = DomainLab::enter("debian-13")?;
    local(&lab)?;
    let before = lab.membership("team")?;
    let file = lab.domain.joiner_file()?;
    let joiner = ["--ad-user", JOINER, "--ad-password-file", &file, "--ad-ou", GATEWAYS_OU];
    lab.domain.fail(Fault::Frozen)?;
    refused(&lab, &before, &joiner, "ad-dns")?;
    lab.domain.mend()?;
    lab.expect_no_accounts()?;
    lab.lab.host(["delete", "team"])?.ok()?;
    lab.leave()
}

/// A creation that cannot join takes back all of it.
#[test]
fn a_creation_that_cannot_join_leaves_nothing() -> Result<()> {
    let mut lab = DomainLab::enter("debian-13")?;
    let args = lab.create_args("team")?;
    lab.domain.fail(Fault::Port(88))?;
    lab.host(&args)?.fails("ad-port-blocked")?.exits(5)?;
    lab.domain.mend()?;
    lab.expect_nothing()?;
    lab.leave()
}

/// A gateway that is made anew over what was kept of it is the same computer, and nobody's password is asked for.
#[test]
fn a_gateway_made_anew_is_the_same_computer() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    lab.create("team")?;
    lab.wait_healthy("team")?;
    let first = lab.domain.computer("team")?.context("no computer account")?;
    lab.host(&words(&["delete", "team", "--keep-account"]))?.ok()?;
    ensure!(lab.domain.computer("team")?.as_ref() == Some(&first), "the account is not what it was");
    let path = lab.data("team").display().to_string();
    let args = [
        &words(&["create", "team", "--path", &path, "--grant", "--allow", "LAB\\Team"])[..],
        &lab.of_domain(),
        &words(&["--ad-ou", GATEWAYS_OU]),
    ]
    .concat();
    lab.host(&args)?.ok()?;
    lab.wait_healthy("team")?;
    let second = lab.domain.computer("team")?.context("no computer account")?;
    ensure!((&first.sid, &first.dn) == (&second.sid, &second.dn), "{first:?}, now {second:?}");
    let gateway = lab.gateway("team")?;
    lab.by_ticket(&gateway, "alice")?.owner_of_new(&gateway, lab.lab.directory(), "file.bin")?;

    // the domain gives the account another password: noticed, and mended by a join
    lab.domain.set_password("team$", "Another-machine-9")?;
    let test = lab.host(&words(&["ad", "test", "team"]))?;
    ensure!(test.code == 5 && holds(&test.json()?, "code", &"ad-secret-invalid".into()), "{test}");
    let join = [&words(&["ad", "join", "team"])[..], &lab.leaver()?].concat();
    lab.host(&join)?.ok()?;
    lab.wait_healthy("team")?;
    let third = lab.domain.computer("team")?.context("no computer account")?;
    ensure!(first.sid == third.sid, "another account");
    lab.leave()
}

/// A computer account that an administrator made elsewhere (an offline join): no password of a user is needed here.
#[test]
fn an_account_that_was_made_beforehand() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    let blob = lab.lab.directory().join("blob");
    files::secret_file(&blob, &lab.domain.offline_join("team")?)?;
    let made = lab.domain.computer("team")?.context("no computer account")?;
    let path = lab.lab.data("team")?.display().to_string();
    let args = ["create", "team", "--path", &path, "--grant", "--allow", "LAB\\Team"];
    let with = words(&["--ad-ou", GATEWAYS_OU, "--ad-blob-file", &blob.display().to_string()]);
    lab.host(&[words(&args), lab.of_domain(), with].concat())?.ok()?;
    println!("{}", lab.wait_healthy("team")?);
    let gateway = lab.gateway("team")?;
    lab.by_ticket(&gateway, "alice")?.owner_of_new(&gateway, lab.lab.directory(), "file.bin")?;
    let joined = lab.domain.computer("team")?.context("no computer account")?;
    ensure!(made.sid == joined.sid, "another account");
    lab.leave()
}

/// With `--ad-fallback local` the gateway serves its local users, and joins when the domain is back.
#[test]
fn a_domain_that_is_away_at_the_creation() -> Result<()> {
    let mut lab = DomainLab::enter("debian-13")?;
    let password = lab.lab.password_file()?;
    let local = words(&["--user", "local", "--password-file", &password, "--ad-fallback", "local"]);
    let args = [lab.create_args("team")?, local].concat();
    lab.domain.fail(Fault::Silent)?;
    let created = lab.host(&args)?.ok()?;
    ensure!(created.all().contains("ad join team --wait"), "nobody is told what to do: {created}");
    let status = lab.status("team")?;
    ensure!(
        holds(&status, "membership", &"none".into()) && holds(&status, "code", &"ad-not-joined".into()),
        "{status}"
    );
    let gateway = lab.gateway("team")?;
    lab.lab.client(&gateway, "team", "local")?.owner_of_new(&gateway, lab.lab.directory(), "local.bin")?;

    let join = [words(&["ad", "join", "team", "--wait", "2m"]), lab.leaver()?].concat();
    std::thread::scope(|scope| -> Result<()> {
        let waiting = scope.spawn(|| lab.lab.host(join.iter().map(String::as_str)));
        std::thread::sleep(std::time::Duration::from_secs(4));
        let back = lab.domain.mend_packets();
        let joined = waiting.join().map_err(|_| anyhow::anyhow!("the join panicked"))?;
        back?;
        let joined = joined?.ok()?;
        ensure!(joined.all().contains("trying again in"), "it did not wait: {joined}");
        Ok(())
    })?;
    lab.wait_healthy("team")?;
    lab.by_ticket(&gateway, "alice")?.owner_of_new(&gateway, lab.lab.directory(), "file.bin")?;
    lab.by_ticket(&gateway, "bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
    lab.lab.client(&gateway, "team", "local")?.owner_of_new(&gateway, lab.lab.directory(), "local2.bin")?;
    lab.leave()
}

/// A manifest says which domain; who joins is said beside it.
#[test]
fn a_manifest_with_a_domain() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    let (path, file) = (lab.lab.data("team")?, lab.lab.directory().join("team.yaml"));
    let manifest = format!(
        "gateways:\n- name: team\n  network: {{nameservers: [{}], searchdomain: lab.test}}\n  domain: {{realm: {}, ou: OU=Gateways}}\n  \
         shares: [{{name: team, path: {}, grant: true, allow: ['LAB\\Team']}}]\n",
        lab.domain.address(),
        domain::REALM,
        path.display()
    );
    std::fs::write(&file, manifest)?;
    let apply = [words(&["apply", "-f", &file.display().to_string()]), lab.leaver()?].concat();
    lab.host(&apply)?.ok()?;
    println!("{}", lab.wait_healthy("team")?);
    let gateway = lab.gateway("team")?;
    serves(&lab, &gateway, lab.domain.id_of("alice")?)?;
    let again = lab.host(&apply)?.ok()?;
    ensure!(again.all().contains("unchanged"), "a second time it changes something: {again}");
    lab.leave()
}

/// The joiner's password is told to nobody; the domain's own files are not looked at.
#[test]
fn the_password_of_the_joiner_is_nowhere() -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    let team = words(&["team"]);
    for (name, args) in [
        ("create", lab.create_args("team")?),
        ("diagnose", [words(&["ad", "diagnose"]), team.clone(), lab.leaver()?].concat()),
        ("status", words(&["--output", "json", "ad", "status", "team"])),
        ("leave", [words(&["ad", "leave"]), team.clone(), lab.leaver()?].concat()),
        (
            "join",
            [words(&["ad", "join", "--ad-domain", domain::REALM]), team.clone(), lab.joiner()?].concat(),
        ),
        ("show", words(&["--output", "json", "show", "team"])),
        ("delete", [words(&["delete"]), team, lab.leaver()?].concat()),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (code, output, trace) = canary::traced(&lab.lab, name, &args)?;
        ensure!(code == 0, "{name}: {output}");
        ensure!(!canary::contains(output.as_bytes(), JOINER_PASSWORD), "{name} told it: {output}");
        ensure!(
            !canary::contains(trace.as_bytes(), JOINER_PASSWORD),
            "{name}: it is in the arguments or the environment of a program"
        );
        canary::nowhere(&lab.lab, name, &[JOINER_PASSWORD])?;
    }
    lab.leave()
}
