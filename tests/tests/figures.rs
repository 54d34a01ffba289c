//! Figures of a gateway against a known load: what clients read and wrote by share and by client, logons that failed, and what it
//! costs to know that.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::io::{BufRead, BufReader, PipeReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::lab::PASSWORD;
use smbgw_lab::{Answer, Client, Gateway, Lab, NativeNode, files};

const MIB: u64 = 1 << 20;
/// smbd writes its counters down once a second.
const SOON: Duration = Duration::from_secs(15);

/// Somewhere with a gateway in it.
trait Place {
    fn lab(&self) -> &Lab;
    /// Asks its agent.
    fn ask(&self, method: &str, path: &str) -> Result<Answer>;
    /// Has curl ask its agent.
    fn curl(&self, args: &[&str]) -> Result<Answer>;
    /// Runs a command of systemd's on its services.
    fn restart_agent(&self) -> Result<()>;
    fn smbd(&self) -> &str;

    fn metrics(&self) -> Result<Value> {
        self.ask("GET", "/v1/metrics")?.ok()?.json()
    }
}

struct Container(Lab);

impl Place for Container {
    fn lab(&self) -> &Lab {
        &self.0
    }

    fn ask(&self, method: &str, path: &str) -> Result<Answer> {
        self.0.attach("team", ["/usr/bin/smbgw-agent", "call", method, path])
    }

    fn curl(&self, args: &[&str]) -> Result<Answer> {
        let socket = "/var/lib/pve-smbgateway/links/team/agent.sock";
        let all =
            ["--silent", "--show-error", "--unix-socket", socket].into_iter().chain(args.iter().copied());
        Answer::of(&smbgw_command::Command::new("curl").args(all))
    }

    fn restart_agent(&self) -> Result<()> {
        self.0.attach("team", ["systemctl", "restart", "smbgw-agent.service"])?.ok().map(drop)
    }

    fn smbd(&self) -> &str {
        "smbd.service"
    }
}

struct Node(NativeNode);

impl Place for Node {
    fn lab(&self) -> &Lab {
        &self.0.lab
    }

    fn ask(&self, method: &str, path: &str) -> Result<Answer> {
        let socket = "/var/lib/pve-smbgateway/links/team/agent.sock";
        let agent = "/usr/lib/pve-smbgateway/smbgw-agent";
        self.0.lab.attach("node", [agent, "call", "--socket", socket, method, path])
    }

    fn curl(&self, _args: &[&str]) -> Result<Answer> {
        anyhow::bail!("there is no curl on the node")
    }

    fn restart_agent(&self) -> Result<()> {
        self.0.script("systemctl restart smbgw-team-agent.service").map(drop)
    }

    fn smbd(&self) -> &str {
        "smbgw-team-smbd.service"
    }
}

/// An `smbclient` that stays connected.
struct Connection {
    process: Child,
    output: BufReader<PipeReader>,
    number: u32,
}

impl Connection {
    fn open(gateway: &Gateway, share: &str, user: &str) -> Result<Self> {
        let (output, both) = std::io::pipe()?;
        let process = Command::new("smbclient")
            .arg(format!("//{}/{share}", gateway.address))
            .env("USER", user)
            .env("PASSWD", PASSWORD)
            .args(["-U", user])
            .stdin(Stdio::piped())
            .stdout(both.try_clone()?)
            .stderr(both)
            .spawn()?;
        // until it reads commands
        std::thread::sleep(Duration::from_secs(1));
        Ok(Self { process, output: BufReader::new(output), number: 0 })
    }

    /// Runs a command to its end.
    fn run(&mut self, command: &str) -> Result<()> {
        self.number += 1;
        let (mark, number) = ("end-of-command", self.number);
        let input = self.process.stdin.as_mut().context("no input")?;
        writeln!(input, "{command}")?;
        input.flush()?;
        // of two lines that come at once it sees the first, and waits for more
        std::thread::sleep(Duration::from_millis(100));
        writeln!(input, "!echo {mark}-{number}")?;
        input.flush()?;
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.output.read_line(&mut line)? > 0, "smbclient has ended");
            ensure!(!line.contains("NT_STATUS"), "{command}: {line}");
            // the echo of what was typed is no answer
            if line.trim_end().ends_with(&format!("{mark}-{number}")) && !line.contains("!echo") {
                return Ok(());
            }
        }
    }

    fn put(&mut self, local: &Path, remote: &str) -> Result<()> {
        self.run(&format!("put {} {remote}", local.display()))
    }

    fn get(&mut self, remote: &str) -> Result<()> {
        self.run(&format!("get {remote} /dev/null"))
    }

    /// Ends it as clients do: with what it did last right before.
    fn close(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What was read and written, in bytes.
type Load = (u64, u64);

fn load(traffic: &Value) -> Option<Load> {
    Some((traffic["read"]["bytes"].as_u64()?, traffic["write"]["bytes"].as_u64()?))
}

fn of_share(metrics: &Value, share: &str) -> Option<Load> {
    load(&metrics["share_traffic"][share]["traffic"])
}

fn of_client<'a>(metrics: &'a Value, user: &str) -> Option<&'a Value> {
    metrics["clients"].as_array()?.iter().find(|client| client["users"][0] == user)
}

/// The same within one per cent.
fn equal(a: Option<Load>, b: Load) -> bool {
    let near = |a: u64, b: u64| a.abs_diff(b) * 100 <= b;
    a.is_some_and(|a| near(a.0, b.0) && near(a.1, b.1))
}

/// Waits until the figures are these; gives the answer that has them.
fn settle(place: &dyn Place, what: &str, right: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = Value::Null;
    let found = wait_until(what, SOON, &Interrupt::new(), || {
        last = place.metrics().unwrap_or_else(|error| Value::String(format!("{error:#}")));
        let done = right(&last).then(|| last.clone());
        if done.is_none() {
            std::thread::sleep(Duration::from_millis(500));
        }
        done
    });
    found.with_context(|| format!("at last: {:#}", without_processes(&last)))
}

fn without_processes(metrics: &Value) -> Value {
    let mut metrics = metrics.clone();
    if let Some(fields) = metrics.as_object_mut() {
        fields.remove("processes");
    }
    metrics
}

/// What a test does with a gateway `team` with shares `team` and `work`, for alice and bob.
fn counts(place: &dyn Place, gateway: &Gateway) -> Result<()> {
    let lab = place.lab();
    let file = |name: &str, mib: u64| -> Result<PathBuf> {
        let path = lab.directory().join(name);
        files::random_file(&path, mib)?;
        Ok(path)
    };
    let (three, five) = (file("three", 3)?, file("five", 5)?);
    let none = place.metrics()?;
    for share in ["team", "work"] {
        ensure!(
            of_share(&none, share) == Some((0, 0)),
            "{share} has traffic: {:#}",
            without_processes(&none)
        );
    }

    // two clients from one address, each in a share of its own
    let mut alice = Connection::open(gateway, "team", "alice")?;
    let mut bob = Connection::open(gateway, "work", "bob")?;
    alice.put(&three, "a.bin")?;
    alice.get("a.bin")?;
    bob.put(&five, "b.bin")?;
    bob.get("b.bin")?;
    bob.get("b.bin")?;
    let (of_alice, of_bob) = ((3 * MIB, 3 * MIB), (10 * MIB, 5 * MIB));
    let now = settle(place, "what alice and bob did", |now| {
        equal(of_share(now, "team"), of_alice) && equal(of_share(now, "work"), of_bob)
    })?;
    for (user, share, expected) in [("alice", "team", of_alice), ("bob", "work", of_bob)] {
        let client = of_client(&now, user).with_context(|| format!("no {user} in {:#}", now["clients"]))?;
        ensure!(
            equal(load(&client["traffic"]), expected) && equal(load(&client["by_share"][share]), expected),
            "of {user}: {client:#}"
        );
        ensure!(client["shares"] == serde_json::json!([share]) && client["signed"] == true, "{client:#}");
    }
    ensure!(equal(load(&now["traffic"]), (13 * MIB, 8 * MIB)), "in all: {:#}", now["traffic"]);
    let services = serde_json::json!([{"name": "smbd", "state": "active"}]);
    ensure!(
        now["services"] == services && now["problems"] == serde_json::json!([]),
        "{:#}",
        without_processes(&now)
    );

    // what they did right before they went
    alice.put(&three, "a2.bin")?;
    alice.close()?;
    bob.get("b.bin")?;
    bob.close()?;
    let (of_team, of_work) = ((3 * MIB, 6 * MIB), (15 * MIB, 5 * MIB));
    settle(place, "what they did last", |now| {
        equal(of_share(now, "team"), of_team)
            && equal(of_share(now, "work"), of_work)
            && now["clients"] == serde_json::json!([])
    })?;

    // many who come and go, some at once
    for _ in 0..8 {
        let clients: Vec<Child> = (0..4)
            .map(|number| {
                let (share, user) = [("team", "alice"), ("work", "bob")][number % 2];
                Command::new("smbclient")
                    .arg(format!("//{}/{share}", gateway.address))
                    .env("PASSWD", PASSWORD)
                    .args(["-U", user, "-c", &format!("put {} c{number}.bin", three.display())])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
            })
            .collect::<std::io::Result<_>>()?;
        for mut client in clients {
            ensure!(client.wait()?.success(), "a client failed");
        }
    }
    let (of_team, of_work) = ((3 * MIB, (6 + 48) * MIB), (15 * MIB, (5 + 48) * MIB));
    let busy = settle(place, "what many did", |now| {
        equal(of_share(now, "team"), of_team) && equal(of_share(now, "work"), of_work)
    })?;
    ensure!(equal(load(&busy["traffic"]), (18 * MIB, 107 * MIB)), "in all: {:#}", busy["traffic"]);

    // an agent that starts anew knows all that, and of clients who stay
    let mut alice = Connection::open(gateway, "team", "alice")?;
    alice.get("a.bin")?;
    place.restart_agent()?;
    alice.get("a.bin")?;
    settle(place, "the same from a new agent", |now| {
        equal(of_share(now, "team"), (9 * MIB, 54 * MIB))
            && equal(of_share(now, "work"), of_work)
            && of_client(now, "alice")
                .is_some_and(|alice| equal(load(&alice["by_share"]["team"]), (6 * MIB, 0)))
    })?;

    // both shares in one connection: nobody can tell
    alice.run("tcon work")?;
    alice.put(&five, "d.bin")?;
    settle(place, "that nobody can tell", |now| {
        of_share(now, "team").is_none() && of_share(now, "work").is_none()
    })?;
    let client = place.metrics()?;
    let client = of_client(&client, "alice").context("no alice")?;
    ensure!(client["by_share"].as_object().is_none_or(serde_json::Map::is_empty), "{client:#}");
    ensure!(equal(load(&client["traffic"]), (6 * MIB, 5 * MIB)), "{client:#}");
    let mut bob = Connection::open(gateway, "work", "bob")?;
    bob.get("b.bin")?;
    alice.close()?;
    let again = settle(place, "shares that are alone again", |now| {
        of_share(now, "team").is_some() && of_share(now, "work").is_some()
    })?;
    ensure!(of_share(&again, "team") == Some((0, 0)), "{:#}", again["share_traffic"]);
    let before = of_share(&again, "work").context("no work")?;
    bob.get("b.bin")?;
    bob.get("b.bin")?;
    bob.close()?;
    settle(place, "what was done since", |now| {
        equal(of_share(now, "work"), (before.0 + 10 * MIB, before.1))
    })?;
    Ok(())
}

fn logons(place: &dyn Place, gateway: &Gateway) -> Result<()> {
    let count = |metrics: &Value| {
        let failed = &metrics["failed_logons"];
        failed["total"].as_u64().zip(failed["ntlmv1"].as_u64())
    };
    let before = count(&place.metrics()?).context("no failed logons")?;
    let directory = place.lab().directory();
    for (user, password) in [("alice", "wrong"), ("bob", "wrong"), ("mallory", PASSWORD)] {
        Client::new(directory, &gateway.address, "team", user, password)?
            .refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    }
    Client::new(directory, &gateway.address, "team", "alice", PASSWORD)?
        .option("--option=clientntlmv2auth=no")
        .refused("ls", "NT_STATUS_LOGON_FAILURE")?;
    place.lab().round_trip(gateway, "team", "alice")?;
    settle(place, "the logons that failed", |now| count(now) == Some((before.0 + 4, before.1 + 1)))?;
    Ok(())
}

/// Text forms, events, and ending a session.
fn tells(place: &dyn Place, gateway: &Gateway) -> Result<()> {
    let plain = place.curl(&["--include", "http://agent/metrics"])?.ok()?.stdout;
    ensure!(plain.contains("text/plain; version=0.0.4") && !plain.contains("# EOF"), "{plain}");
    ensure!(plain.contains("smbgw_sessions ") && !plain.contains("user="), "{plain}");
    let open =
        ["--header", "Accept: application/openmetrics-text; version=1.0.0", "http://agent/metrics?clients"];
    let open = place.curl(&open)?.ok()?.stdout;
    ensure!(open.ends_with("# EOF\n"), "{open}");

    let socket = "/var/lib/pve-smbgateway/links/team/agent.sock";
    let (output, write) = std::io::pipe()?;
    let mut listener = Command::new("curl")
        .args([
            "--silent",
            "--no-buffer",
            "--max-time",
            "25",
            "--unix-socket",
            socket,
            "http://agent/v1/events",
        ])
        .stdout(write)
        .spawn()?;
    std::thread::sleep(Duration::from_secs(2));
    let mut alice = Connection::open(gateway, "team", "alice")?;
    alice.run("ls")?;
    let mut lines = BufReader::new(output).lines();
    let next = |lines: &mut dyn Iterator<Item = std::io::Result<String>>| -> Result<Value> {
        loop {
            let line = lines.next().context("the events have ended")??;
            if let Some(data) = line.strip_prefix("data: ") {
                return Ok(serde_json::from_str(data)?);
            }
        }
    };
    let opened = next(&mut lines)?;
    ensure!(opened["event"] == "session-opened" && opened["user"] == "alice", "{opened}");
    let sessions = place.ask("GET", "/v1/sessions")?.ok()?.json()?;
    let id = sessions[0]["id"].as_str().context("no session")?.to_owned();
    let ended = place.ask("DELETE", &format!("/v1/sessions/{id}"))?.ok()?.json()?;
    ensure!(ended["changed"] == true, "{ended}");
    let closed = next(&mut lines)?;
    ensure!(closed["event"] == "session-closed" && closed["user"] == "alice", "{closed}");
    let again = place.ask("DELETE", &format!("/v1/sessions/{id}"))?;
    ensure!(again.code != 0 && again.json()?["kind"] == "not_found", "{again}");
    let _ = listener.kill();
    listener.wait()?;
    Ok(())
}

/// Milliseconds of a whole `smbclient`, from its start over one tree connect to its end: the median of some.
fn connect_ms(gateway: &Gateway) -> Result<f64> {
    let once = || -> Result<Duration> {
        let start = Instant::now();
        let done = Command::new("smbclient")
            .arg(format!("//{}/team", gateway.address))
            .env("PASSWD", PASSWORD)
            .args(["-U", "alice", "-c", "exit"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(done.success(), "smbclient failed");
        Ok(start.elapsed())
    };
    let mut times = (0..30).map(|_| once()).collect::<Result<Vec<_>>>()?;
    times.sort();
    Ok(times[times.len() / 2].as_secs_f64() * 1e3)
}

/// Says what it costs.
fn costs(place: &dyn Place, gateway: &Gateway) -> Result<()> {
    std::thread::sleep(Duration::from_secs(3));
    for _ in 0..3 {
        let now = place.metrics()?;
        println!("-- cost of figures: {}, processes {}", now["agent"], now["processes"]);
        std::thread::sleep(Duration::from_millis(1500));
    }
    let agent = &place.metrics()?["agent"];
    ensure!(agent["resident_bytes"].as_u64().is_some_and(|bytes| bytes <= 12 << 20), "too large: {agent}");
    println!("-- median of a connection, ms: {:.1}", connect_ms(gateway)?);
    let script = "sed -i '/^.root p.*exec = /d' /etc/samba/smb.conf && smbcontrol all reload-config";
    if place.smbd() == "smbd.service" {
        place.lab().attach("team", ["sh", "-c", script])?.ok()?;
        std::thread::sleep(Duration::from_secs(1));
        println!("-- the same without being told of it, ms: {:.1}", connect_ms(gateway)?);
    }
    Ok(())
}

fn container(template: &str) -> Result<()> {
    let lab = Lab::enter(template)?;
    let gateway = lab.create("team", &["--template", template, "--user", "bob"])?;
    let work = lab.data("work")?.display().to_string();
    lab.host([
        "share", "add", "team", "work", "--path", &work, "--user", "alice", "--user", "bob", "--grant",
    ])?
    .ok()?;
    let place = Container(lab);
    counts(&place, &gateway)?;
    logons(&place, &gateway)?;
    tells(&place, &gateway)?;
    costs(&place, &gateway)?;
    place.0.leave()
}

#[test]
fn debian_13_counts() -> Result<()> {
    container("debian-13")
}

#[test]
fn debian_12_counts() -> Result<()> {
    container("debian-12")
}

#[test]
#[ignore = "monitor_native has a load in every run: cargo xtask test --thorough"]
fn a_gateway_on_a_node_counts() -> Result<()> {
    let node = NativeNode::enter("debian-13")?;
    let (address, passwords) = (node.address(200)?, "/root/passwords");
    node.write(passwords, &format!("alice:{PASSWORD}\nbob:{PASSWORD}\n"))?;
    let (path, work) = (node.data("team")?, node.data("work")?);
    let create = ["create", "team", "--mode", "native", "--path", &path, "--user", "alice", "--user", "bob"];
    node.host(create.into_iter().chain(["--listen", &address, "--grant", "--password-file", passwords]))?
        .ok()?;
    node.host([
        "share", "add", "team", "work", "--path", &work, "--user", "alice", "--user", "bob", "--grant",
    ])?
    .ok()?;
    let gateway = node.gateway("team", &address);
    let place = Node(node);
    counts(&place, &gateway)?;
    logons(&place, &gateway)?;
    costs(&place, &gateway)?;
    place.0.host(["delete", "team"])?.ok()?;
    place.0.leave()
}
