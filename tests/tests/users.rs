//! Local users and groups over SMB: who writes, who reads, who is refused; changes while clients are connected; users from a CSV
//! file; ids that come back; and what is refused with which words.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_lab::{Answer, Client, Gateway, Lab, files};

const BOOK: &str = "/var/lib/pve-smbgateway/ids/team.json";

/// A gateway with alice, bob, carol and dave; alice and bob are staff, dave is a guest.
fn create(lab: &Lab) -> Result<Gateway> {
    let people = ["--user", "bob", "--user", "carol", "--user", "dave"];
    let groups = ["--group", "staff=alice,bob", "--group", "guests=dave"];
    let args: Vec<&str> = people.into_iter().chain(groups).collect();
    lab.create("team", &args)
}

fn run(lab: &Lab, line: &str) -> Result<Answer> {
    lab.host(line.split(' '))?.ok()
}

fn fails(lab: &Lab, line: &str, code: &str) -> Result<Value> {
    let answer = lab.host(line.split(' '))?;
    ensure!(answer.code != 0 && answer.json()?["error"]["code"] == code, "{code} was expected: {answer}");
    let error = answer.json()?["error"].clone();
    ensure!(error["hint"].is_string() || code == "invalid", "no hint: {answer}");
    Ok(error)
}

fn small_file(lab: &Lab) -> Result<PathBuf> {
    let path = lab.directory().join("small");
    fs::write(&path, "new")?;
    Ok(path)
}

fn writes(lab: &Lab, gateway: &Gateway, share: &str, user: &str) -> Result<()> {
    let client = lab.client(gateway, share, user)?;
    client.put(&small_file(lab)?, &format!("of-{user}.txt")).with_context(|| format!("{user} in {share}"))
}

/// Gets a file, and may not make one.
fn reads_only(lab: &Lab, gateway: &Gateway, (share, directory): (&str, &Path), user: &str) -> Result<()> {
    let client = lab.client(gateway, share, user)?;
    client.get("of-alice.txt", &lab.directory().join("got"))?;
    let answer = client.run(&format!("put {} by-{user}.txt", small_file(lab)?.display()))?;
    ensure!(answer.all().contains("NT_STATUS_"), "{user} may write: {answer}");
    ensure!(!directory.join(format!("by-{user}.txt")).exists(), "{user} wrote");
    Ok(())
}

fn refused(lab: &Lab, gateway: &Gateway, share: &str, user: &str) -> Result<()> {
    lab.client(gateway, share, user)?.refused("ls", "NT_STATUS_ACCESS_DENIED")
}

/// Id of a user or group, by the list of the gateway.
fn id(lab: &Lab, gateway: &str, kind: &str, name: &str) -> Result<u64> {
    let data = run(lab, &format!("{kind} list {gateway}"))?.data()?;
    let rows = data[format!("{kind}s")].as_array().cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row["name"] == name).with_context(|| format!("no {name} in {data}"))?;
    row[if kind == "user" { "uid" } else { "gid" }].as_u64().context("no id")
}

fn who_may_what(template: &str) -> Result<()> {
    println!("-- {template}");
    let lab = Lab::enter(template)?;
    let gateway = create(&lab)?;
    let work = lab.data("work")?;
    run(
        &lab,
        &format!("share add team work --path {} --group staff --reader @guests --grant", work.display()),
    )?;
    let (staff, guests) = (id(&lab, "team", "group", "staff")?, id(&lab, "team", "group", "guests")?);
    let acl = lab.tool("getfacl", ["-n", "-c", "-p", &work.display().to_string()])?.stdout;
    for line in [format!("group:{staff}:rwx"), format!("default:group:{guests}:rwx")] {
        ensure!(acl.lines().any(|found| found == line), "no {line} in {acl}");
    }
    writes(&lab, &gateway, "work", "alice")?;
    writes(&lab, &gateway, "work", "bob")?;
    reads_only(&lab, &gateway, ("work", &work), "dave")?;
    refused(&lab, &gateway, "work", "carol")?;
    // a member writes what another one made
    lab.client(&gateway, "work", "bob")?.put(&small_file(&lab)?, "of-alice.txt")?;

    // reading wins over writing
    run(&lab, "share set team work --reader bob --reader @guests")?;
    reads_only(&lab, &gateway, ("work", &work), "bob")?;
    run(&lab, "share set team work --no-readers --user carol")?;
    writes(&lab, &gateway, "work", "carol")?;
    for user in ["alice", "bob", "dave"] {
        refused(&lab, &gateway, "work", user)?;
    }
    // in a share that is open to all, those named only read
    run(&lab, "share set team work --all-users --reader @guests")?;
    for user in ["alice", "bob", "carol"] {
        writes(&lab, &gateway, "work", user)?;
    }
    reads_only(&lab, &gateway, ("work", &work), "dave")?;

    // a directory that belongs to the group, without a grant
    let own = lab.data("own")?;
    let (gid, path) = (staff.to_string(), own.display().to_string());
    lab.tool("chgrp", [gid.as_str(), path.as_str()])?;
    lab.tool("chmod", ["2770", path.as_str()])?;
    run(&lab, &format!("share add team own --path {} --group staff", own.display()))?;
    writes(&lab, &gateway, "own", "bob")?;
    refused(&lab, &gateway, "own", "dave")?;

    // with the share goes the entry, and with the group all that is of it in the gateway
    run(&lab, "share remove team work")?;
    let acl = lab.tool("getfacl", ["-n", "-c", "-p", &work.display().to_string()])?.stdout;
    ensure!(!acl.contains(&staff.to_string()) && !acl.contains(&guests.to_string()), "{acl}");
    run(&lab, "group remove team guests")?;
    let inside = lab.attach("team", ["cat", "/etc/group"])?.ok()?.stdout;
    ensure!(inside.contains("smb-staff") && !inside.contains("smb-guests"), "{inside}");
    lab.leave()
}

#[test]
fn groups_and_readers_on_debian_13() -> Result<()> {
    who_may_what("debian-13")
}

#[test]
fn groups_and_readers_on_debian_12() -> Result<()> {
    who_may_what("debian-12")
}

/// While carol is connected: the command runs between two files of hers.
fn while_connected(lab: &Lab, gateway: &Gateway, command: &str) -> Result<Answer> {
    let program = lab.product.host().args(command.split(' ')).display();
    let file = small_file(lab)?;
    let lines = format!("put {0} first.txt\n!{program} >/dev/null\nput {0} second.txt\n", file.display());
    for name in ["first.txt", "second.txt"] {
        let _ = fs::remove_file(gateway.path.join(name));
    }
    let answer = lab.client(gateway, "team", "carol")?.run_lines(&lines)?;
    ensure!(gateway.path.join("first.txt").exists(), "she could not write before: {answer}");
    Ok(answer)
}

#[test]
fn changes_while_clients_are_connected() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = create(&lab)?;
    run(&lab, "share set team team --group staff --reader @guests")?;
    refused(&lab, &gateway, "team", "carol")?;
    let wrote = |name: &str| gateway.path.join(name).exists();

    // in from the next logon on
    run(&lab, "group set team staff --member carol")?;
    writes(&lab, &gateway, "team", "carol")?;

    // out at once: by the group, by becoming one who reads, by the share's list
    let answer = while_connected(&lab, &gateway, "group set team staff --remove-member carol")?;
    ensure!(!wrote("second.txt"), "she wrote after she had left the group: {answer}");
    refused(&lab, &gateway, "team", "carol")?;
    run(&lab, "group set team staff --member carol")?;
    let answer = while_connected(&lab, &gateway, "group set team guests --member carol")?;
    ensure!(!wrote("second.txt"), "she wrote after she had become a guest: {answer}");
    reads_after(&lab, &gateway)?;
    run(&lab, "group set team guests --remove-member carol")?;
    let answer = while_connected(&lab, &gateway, "share set team team --reader carol")?;
    ensure!(!wrote("second.txt"), "she wrote after she had become a reader: {answer}");
    run(&lab, "share set team team --no-readers")?;
    let answer = while_connected(&lab, &gateway, "share set team team --user alice")?;
    ensure!(!wrote("second.txt"), "she wrote in a share that is no longer hers: {answer}");
    // what gives more, or is about others, disturbs nobody
    run(&lab, "share set team team --group staff")?;
    let answer = while_connected(&lab, &gateway, "group set team staff --remove-member bob")?;
    ensure!(wrote("second.txt"), "she was thrown out for bob: {answer}");
    lab.leave()
}

fn reads_after(lab: &Lab, gateway: &Gateway) -> Result<()> {
    writes(lab, gateway, "team", "alice")?;
    reads_only(lab, gateway, ("team", &gateway.path), "carol")
}

fn csv(lab: &Lab, text: &str) -> Result<String> {
    let path = lab.directory().join("people.csv");
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// Whether a text is in any file of the state directory, the logs or the container, or in its journal.
fn stored(lab: &Lab, text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let upper = lab.directory().join("upper").display().to_string();
    for directory in ["/var/lib/pve-smbgateway", "/var/log/pve-smbgateway", "/run", &upper] {
        let grep = ["-rlsaF", "--exclude-dir=templates", "-e", text, directory];
        let answer = Answer::of(&smbgw_command::Command::new("grep").args(grep))?;
        found.extend(answer.stdout.lines().map(str::to_owned));
    }
    let journal = lab.attach("team", ["journalctl", "--no-pager", "-o", "export"])?.stdout;
    if journal.contains(text) {
        found.push("the journal in the gateway".to_owned());
    }
    Ok(found)
}

#[test]
fn users_of_a_csv_file() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = create(&lab)?;
    let file = csv(
        &lab,
        "\u{feff}Name,UID,Groups\r\nalice,10000,staff\r\nbob,,guests\r\nerin,1005,\"staff;crew\"\r\nfrank,,\r\n",
    )?;
    let (import, before) = (format!("user import team {file}"), lab.snapshot()?);
    // all or nothing, and nothing by a dry run
    fails(&lab, &import, "no-such-group")?;
    let plan = run(&lab, &format!("{import} --create-groups --dry-run"))?;
    ensure!(plan.stdout.contains("left as they are") && !plan.stdout.contains("password\":"), "{plan}");
    before.expect_same(lab.directory())?;
    for label in ["configure", "passwords", "record:active"] {
        for fault in ["fail", "kill-before", "kill-after", "double,fail"] {
            let what = format!("{fault} at {label}");
            let args: Vec<&str> = import.split(' ').chain(["--create-groups"]).collect();
            let answer = lab.host_with_fault(&format!("{fault}@{label}"), args)?;
            ensure!(answer.code != 0 && !answer.all().contains("\"password\":"), "{what}: {answer}");
            lab.host(["ops", "recover"])?.ok().context(what.clone())?;
            before.expect_same(lab.directory()).context(what.clone())?;
            let inside = lab.attach("team", ["cat", "/etc/passwd", "/etc/group"])?.ok()?.stdout;
            ensure!(!inside.contains("erin") && !inside.contains("crew"), "{what}: {inside}");
        }
    }
    lab.wait_serving(&gateway, "team", "alice")?;

    let answer = run(&lab, &format!("{import} --create-groups"))?;
    let rows = answer.data()?["users"].as_array().cloned().context("no users")?;
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).cloned().context("no row");
    ensure!(row("alice")?["action"] == "unchanged" && row("alice")?["password"].is_null(), "{answer}");
    ensure!(row("bob")?["action"] == "changed" && row("bob")?["password"].is_null(), "{answer}");
    ensure!(row("erin")?["uid"] == 1005 && row("erin")?["groups"][1] == "crew", "{answer}");
    let mut passwords = Vec::new();
    for name in ["erin", "frank"] {
        let password = row(name)?["password"].as_str().context("no password")?.to_owned();
        Client::new(lab.directory(), &gateway.address, "team", name, &password)?.run("ls")?.ok()?;
        let wrong = format!("{password}x");
        Client::new(lab.directory(), &gateway.address, "team", name, &wrong)?
            .refused("ls", "NT_STATUS_LOGON_FAILURE")?;
        passwords.push(password);
    }
    // those who were there have theirs
    lab.round_trip(&gateway, "team", "alice")?;
    lab.round_trip(&gateway, "team", "bob")?;
    let again = run(&lab, &import)?;
    ensure!(again.data()?["action"] == "unchanged" && again.data()?["operation"].is_null(), "{again}");

    // as a table, and one user alone
    let file = csv(&lab, "name\ngrace\n")?;
    let table = lab.host_plain(["--output", "table", "user", "import", "team", &file])?.ok()?.stdout;
    let line = table.lines().find(|line| line.starts_with("grace")).with_context(|| table.clone())?;
    passwords.push(line.split_whitespace().last().unwrap_or_default().to_owned());
    let one = run(&lab, "user add team heidi --generate --group staff")?.data()?;
    passwords.push(one["users"][0]["password"].as_str().context("no password")?.to_owned());
    let changed = run(&lab, "user passwd team heidi --generate")?.data()?;
    passwords.push(changed["users"][0]["password"].as_str().context("no password")?.to_owned());
    for (name, password) in [("grace", &passwords[2]), ("heidi", &passwords[4])] {
        Client::new(lab.directory(), &gateway.address, "team", name, password)?.run("ls")?.ok()?;
    }
    // none of them is anywhere
    let known = stored(&lab, "smb-staff")?;
    ensure!(!known.is_empty(), "the search finds nothing at all");
    for (index, password) in passwords.iter().enumerate() {
        ensure!(password.len() == 19, "{password}");
        ensure!(!passwords[..index].contains(password), "a password was made twice");
        let found = stored(&lab, password)?;
        ensure!(found.is_empty(), "password {index} is in {found:?}");
    }
    lab.leave()
}

#[test]
fn ids_come_back_with_their_names() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = create(&lab)?;
    writes(&lab, &gateway, "team", "bob")?;
    let ids =
        |names: &[&str]| names.iter().map(|name| id(&lab, "team", "user", name)).collect::<Result<Vec<_>>>();
    let (bob, carol, dave) = (ids(&["bob"])?[0], ids(&["carol"])?[0], ids(&["dave"])?[0]);
    let guests = id(&lab, "team", "group", "guests")?;

    // one who goes and comes back, past one who comes in between
    let password = lab.password_file()?;
    run(&lab, "user remove team carol")?;
    run(&lab, &format!("user add team zoe --password-file {password}"))?;
    ensure!(id(&lab, "team", "user", "zoe")? != carol, "zoe got carol's files");
    run(&lab, &format!("user add team carol --password-file {password}"))?;
    ensure!(ids(&["carol"])?[0] == carol);

    // faults at the step that remembers
    let book = fs::read_to_string(BOOK)?;
    for fault in ["fail", "kill-before", "kill-after", "double,fail"] {
        let answer = lab.host_with_fault(&format!("{fault}@ids"), ["delete", "team"])?;
        ensure!(answer.code != 0, "{fault}: {answer}");
        lab.host(["ops", "recover"])?.ok()?;
        ensure!(fs::read_to_string(BOOK)? == book, "{fault} has changed the book");
    }
    lab.wait_serving(&gateway, "team", "alice")?;

    // the gateway anew, over the same data, with its users in another order
    run(&lab, "delete team")?;
    let (path, passwords) =
        (gateway.path.display().to_string(), lab.passwords_file(&["dave", "bob", "new"])?);
    let args = ["create", "team", "--path", &path, "--grant", "--password-file", &passwords];
    let people =
        ["--user", "dave", "--user", "new", "--user", "bob", "--group", "new", "--group", "guests=dave"];
    lab.host(args.into_iter().chain(people))?.ok()?;
    ensure!(ids(&["bob", "dave"])? == [bob, dave], "ids have changed");
    ensure!(id(&lab, "team", "group", "guests")? == guests);
    let new = id(&lab, "team", "user", "new")?;
    let again = lab.gateway("team", gateway.path.clone())?;
    lab.client(&again, "team", "bob")?.put(&small_file(&lab)?, "of-bob.txt")?;

    // another gateway: the same names are the same people, others are others
    let other = lab.data("other")?.display().to_string();
    let args = ["create", "other", "--path", &other, "--grant", "--password-file", &passwords];
    lab.host(args.into_iter().chain(["--user", "new", "--user", "bob"]))?.ok()?;
    ensure!(id(&lab, "other", "user", "bob")? == bob && id(&lab, "other", "user", "new")? == new);
    run(&lab, &format!("user add other ivan --password-file {password}"))?;
    let ivan = id(&lab, "other", "user", "ivan")?;
    ensure!(![bob, carol, dave, new].contains(&ivan), "ivan got somebody's id");

    // what is said wins
    run(&lab, &format!("user add team alice --uid 1234 --password-file {password}"))?;
    ensure!(ids(&["alice"])? == [1234]);
    lab.leave()
}

#[test]
fn what_cannot_be_is_said_before_anything_changes() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = create(&lab)?;
    let inner = gateway.path.join("inner");
    files::directory(&inner, 0)?;
    // what it inherits of the share's ACL is in force
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o775))?;
    run(&lab, "share set team team --user alice --group staff --reader @guests")?;
    let before = lab.snapshot()?;
    for (line, code) in [
        ("group add team staff", "group-exists"),
        ("group add team new --member mallory", "no-such-user"),
        ("group add team new --gid 100", "invalid"),
        ("group add team new --gid 10000", "invalid"),
        ("group add team new --gid 20000", "invalid"),
        ("group set team none --member bob", "no-such-group"),
        ("group set team staff --member mallory", "no-such-user"),
        ("group set team staff --remove-member dave", "no-such-member"),
        ("group set team staff --member bob --remove-member bob", "member-twice"),
        ("group remove team none", "no-such-group"),
        ("group remove team staff", "group-in-use"),
        ("group remove team guests", "group-in-use"),
        ("group list none", "no-such-gateway"),
        ("share set team team --group none", "invalid"),
        ("share set team team --reader @none", "invalid"),
        ("share set team team --reader mallory", "invalid"),
        ("user remove team alice", "user-in-use"),
        ("user remove team dave", "user-in-use"),
        ("user add team new --group none --generate", "no-such-group"),
        ("user add team bob --generate", "user-exists"),
        ("user passwd team mallory --generate", "no-such-user"),
        ("user import team /none.csv", "csv-unreadable"),
    ] {
        fails(&lab, line, code)?;
    }
    let error = fails(&lab, "user remove team bob", "user-in-use")?;
    ensure!(error["message"].as_str().is_some_and(|text| text.contains("group staff")), "{error}");
    for line in [
        "group add team Staff",
        "group add team @staff",
        "group set team staff",
        "share set team team --user alice --all-users",
        "share set team team --reader bob --no-readers",
        "user add team new --generate --password-file /none",
        "create new --path /srv --group =alice",
    ] {
        let answer = lab.host(line.split(' '))?;
        ensure!(answer.code == 2, "{line}: {answer}");
    }
    for (text, code) in [
        ("", "csv-header"),
        ("name;groups\neve;staff\n", "csv-header"),
        ("name,password\neve,Secret-enough\n", "csv-password-column"),
        ("name,uid\neve,many\n", "csv-row"),
        ("name\neve\neve\n", "csv-twice"),
        ("name\nroot\n", "csv-row"),
        ("name,uid\nalice,4711\n", "uid-differs"),
        ("name,groups\neve,none\n", "no-such-group"),
        ("name,uid\neve,70000\n", "invalid"),
        ("name,uid\neve,10001\n", "invalid"),
    ] {
        let file = csv(&lab, text)?;
        let answer = fails(&lab, &format!("user import team {file}"), code)?;
        ensure!(!answer.to_string().contains("Secret-enough"), "{answer}");
    }
    let short = lab.directory().join("short");
    files::secret_file(&short, "short-7\n")?;
    fails(&lab, &format!("user add team new --password-file {}", short.display()), "password-too-short")?;
    files::secret_file(&short, "team/new:short-7\n")?;
    let manifest = lab.directory().join("any.yaml");
    fs::write(&manifest, "gateways: []\n")?;
    let line = format!("apply -f {} --passwords-file {}", manifest.display(), short.display());
    fails(&lab, &line, "password-too-short")?;
    before.expect_same(lab.directory())?;

    // the last one who may open a share is not forced out of it: it would be open to all
    run(&lab, "share set team team --group guests --no-readers")?;
    fails(&lab, "group remove team guests --force", "last-user")?;
    run(&lab, "share set team team --user bob --reader @guests")?;
    fails(&lab, "user remove team bob --force", "last-user")?;
    run(&lab, "group remove team guests --force")?;
    run(&lab, "user remove team alice --force")?;
    ensure!(!run(&lab, "show team")?.stdout.contains("alice"), "she is still there");

    // directories that lie in each other, in one gateway and in two
    let add = format!("share add team inner --path {} --grant", inner.display());
    let notes = run(&lab, &add)?.data()?["notes"].to_string();
    ensure!(notes.contains("lies inside share team"), "{notes}");
    let other = format!("create other --path {} --dry-run", inner.display());
    let notes = run(&lab, &other)?.data()?["notes"].to_string();
    ensure!(notes.contains("lies inside share team of gateway team"), "{notes}");
    let around = gateway.path.parent().context("no parent")?.display().to_string();
    let notes = run(&lab, &format!("create other --path {around} --dry-run"))?.data()?["notes"].to_string();
    ensure!(notes.contains("holds share inner of gateway team"), "{notes}");
    lab.leave()
}

/// Every step that changes groups: failed, killed, done twice; then all is as before, in the gateway, too.
#[test]
fn every_step_of_a_group_can_fail() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = create(&lab)?;
    let work = lab.data("work")?;
    let add = format!("share add team work --path {} --group staff --reader @guests --grant", work.display());
    for line in [
        "group add team crew --member carol",
        &add,
        "group set team staff --member carol --remove-member bob",
        "share remove team work",
        "group remove team staff",
    ] {
        let before = lab.snapshot()?;
        let inside = || {
            Ok::<_, anyhow::Error>(
                lab.attach("team", ["cat", "/etc/passwd", "/etc/group", "/etc/samba/smb.conf"])?.ok()?.stdout,
            )
        };
        let acl =
            || Ok::<_, anyhow::Error>(lab.tool("getfacl", ["-n", "-p", &work.display().to_string()])?.stdout);
        let (was, acl_was) = (sorted(&inside()?), acl()?);
        let plan = run(&lab, &format!("{line} --dry-run"))?.data()?;
        let labels: Vec<String> = plan["steps"]
            .as_array()
            .context("no steps")?
            .iter()
            .filter_map(|step| step["label"].as_str().map(str::to_owned))
            .filter(|label| {
                ["configure", "grant", "revoke", "ids", "record"].iter().any(|name| label.starts_with(name))
            })
            .collect();
        println!("{line}: {}", labels.join(", "));
        for label in &labels {
            for fault in ["fail", "kill-before", "kill-after", "double,fail"] {
                let what = format!("{line} with {fault} at {label}");
                let answer = lab.host_with_fault(&format!("{fault}@{label}"), line.split(' '))?;
                ensure!(answer.code != 0, "{what}: it went through");
                lab.host(["ops", "recover"])?.ok().context(what.clone())?;
                before.expect_same(lab.directory()).context(what.clone())?;
                ensure!(sorted(&inside()?) == was, "{what}: the gateway is not what it was");
                ensure!(acl()? == acl_was, "{what}: the ACL is not what it was");
            }
        }
        lab.wait_serving(&gateway, "team", "alice")?;
        run(&lab, line)?;
    }
    lab.leave()
}

/// Lines in order: who is made anew is the last one of its file.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}
