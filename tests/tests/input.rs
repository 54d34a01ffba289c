//! Bad input and bad luck: each with a clear message, the documented exit code, and no change at all.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_command::Command;
use smbgw_lab::{Answer, Lab};

/// Runs it and expects this exit code, all of these words in the message, and no change.
fn refused(lab: &Lab, args: &[&str], code: i32, words: &[&str]) -> Result<Answer> {
    let before = lab.snapshot()?;
    let answer = lab.host(args.iter().copied())?.exits(code)?;
    // what clap refuses is text on stderr, everything else an envelope
    let text = answer.all().to_lowercase();
    for word in words {
        ensure!(text.contains(&word.to_lowercase()), "`{word}` is not in the message: {answer}");
    }
    ensure!(!text.contains("panicked") && !text.contains("rust_backtrace"), "{answer}");
    before.expect_same(lab.directory()).with_context(|| format!("after {answer}"))?;
    Ok(answer)
}

/// As [`refused`], for `create new` with this path and more arguments.
fn create_refused(lab: &Lab, path: &Path, more: &[&str], code: i32, words: &[&str]) -> Result<Answer> {
    let (path, password) = (path.display().to_string(), lab.password_file()?);
    let args = ["create", "new", "--path", &path, "--user", "alice", "--password-file", &password, "--grant"];
    let args: Vec<&str> = args.into_iter().chain(more.iter().copied()).collect();
    refused(lab, &args, code, words)
}

#[test]
fn paths() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("data")?;
    create_refused(&lab, &data.join("missing"), &[], 4, &["missing", "mkdir"])?;
    let file = data.join("file");
    fs::write(&file, "")?;
    create_refused(&lab, &file, &[], 2, &["not a directory"])?;
    fs::create_dir(data.join("real"))?;
    std::os::unix::fs::symlink(data.join("real"), data.join("link"))?;
    create_refused(&lab, &data.join("link"), &[], 2, &["symbolic link", "realpath"])?;
    fs::create_dir(data.join("real/below"))?;
    create_refused(&lab, &data.join("link/below"), &[], 2, &["symbolic link"])?;
    create_refused(&lab, Path::new("relative/path"), &[], 2, &["absolute"])?;
    create_refused(&lab, &data.join("real/../real"), &[], 2, &[".."])?;
    for system in ["/", "/etc", "/var/lib/pve-smbgateway"] {
        create_refused(&lab, Path::new(system), &[], 2, &[])?;
    }
    // a user who cannot get in, and nobody said --grant
    let closed = data.join("closed");
    fs::create_dir(&closed)?;
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700))?;
    let (path, password) = (closed.display().to_string(), lab.password_file()?);
    let args = ["create", "new", "--path", &path, "--user", "alice", "--password-file", &password];
    refused(&lab, &args, 4, &["grant"])?;
    lab.leave()
}

#[test]
fn names_and_values() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("data")?;
    let path = data.display().to_string();
    lab.create("team", &[])?;
    let password = lab.password_file()?;
    let args =
        ["create", "team", "--path", &path, "--user", "alice", "--password-file", &password, "--grant"];
    refused(&lab, &args, 4, &["team", "already"])?;
    for bad in ["Team", "a.b", "-x", "sixteen-letters-", "a/b", "localhost", ""] {
        refused(&lab, &["create", bad, "--path", &path], 2, &[])?;
    }
    create_refused(&lab, &data, &["--quota", "lots"], 2, &["quota", "lots"])?;
    create_refused(&lab, &data, &["--memory", "1M"], 2, &["64 MiB"])?;
    create_refused(&lab, &data, &["--ip", "10.0.0.5"], 2, &["10.0.0.5/24"])?;
    create_refused(&lab, &data, &["--share", "homes"], 2, &["special meaning"])?;
    create_refused(&lab, &data, &["--user", "root"], 2, &["belongs to the system"])?;
    create_refused(&lab, &data, &["--bridge", "no-such-bridge"], 4, &["no-such-bridge"])?;
    create_refused(&lab, &data, &["--mode", "cloud"], 2, &["lxc"])?;
    refused(&lab, &["share", "add", "team", "TEAM", "--path", &path], 4, &["team"])?;
    refused(&lab, &["share", "remove", "team", "none"], 4, &["none"])?;
    refused(&lab, &["user", "remove", "team", "none"], 4, &["none"])?;
    refused(&lab, &["user", "passwd", "team", "none", "--password-file", &password], 4, &["none"])?;
    // passwords that nobody can use, and a file that everybody can read
    let file = lab.directory().join("bad-password");
    for bad in ["", "\n", "with\u{7}bell\n"] {
        fs::write(&file, bad)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        refused(
            &lab,
            &["user", "add", "team", "bob", "--password-file", &file.display().to_string()],
            2,
            &["password"],
        )?;
    }
    let missing = lab.directory().join("no-such-file").display().to_string();
    refused(&lab, &["user", "add", "team", "bob", "--password-file", &missing], 2, &["no-such-file"])?;
    lab.leave()
}

#[test]
fn manifests() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let file = lab.directory().join("bad.yaml");
    let text = file.display().to_string();
    for (yaml, words) in [
        ("gateways:\n- name: a\n  colour: red\n", &["colour", "line 3"][..]),
        ("gateways:\n- name: a\n  users: [{name: b, pass: x}]\n", &["pass", "line 3"]),
        ("gateways:\n- name: A\n", &["gateway name", "line 2"]),
        ("gateways:\n- name: a\n- name: a\n", &["twice"]),
        ("gateways:\n- name: a\n  memory: big\n", &["big", "line"]),
        ("gateways: [\n", &["line"]),
        ("", &[]),
        ("- a\n- b\n", &[]),
    ] {
        fs::write(&file, yaml)?;
        refused(&lab, &["apply", "-f", &text], 2, words).with_context(|| yaml.to_owned())?;
    }
    let missing = lab.directory().join("none.yaml").display().to_string();
    refused(&lab, &["apply", "-f", &missing], 2, &["none.yaml"])?;
    // each gateway is an operation of its own: a bad one does not hold up the others, and leaves nothing
    let good = lab.data("good")?;
    let good = format!("- name: good\n  shares: [{{name: x, path: {}}}]\n", good.display());
    let bad = "- name: bad\n  shares: [{name: x, path: /no/such}]\n";
    fs::write(&file, format!("gateways:\n{good}{bad}"))?;
    let answer = lab.host(["apply", "-f", &text])?.exits(4)?;
    ensure!(answer.all().contains("/no/such"), "{answer}");
    ensure!(lab.gateways()? == ["good"], "{answer}");
    refused(&lab, &["apply", "-f", &text], 4, &["/no/such"])?;
    lab.leave()
}

#[test]
fn templates() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("data")?;
    create_refused(
        &lab,
        &data,
        &["--template", "debian-99"],
        4,
        &["debian-99", "template build", "template install"],
    )?;
    let missing = data.join("none.tar.zst").display().to_string();
    refused(&lab, &["template", "install", &missing], 4, &["none.tar.zst"])?;

    // one byte of a finished template is another one
    let source = lab.product.template("debian-13")?;
    for entry in fs::read_dir(source.parent().context("no directory")?)? {
        let entry = entry?;
        fs::copy(entry.path(), data.join(entry.file_name()))?;
    }
    let copy = data.join(source.file_name().context("no name")?);
    let mut bytes = fs::read(&copy)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&copy, &bytes)?;
    let copy = copy.display().to_string();
    refused(&lab, &["template", "install", &copy], 4, &["checksum"])
        .or_else(|_| refused(&lab, &["template", "install", &copy], 4, &["sha-256"]))?;
    bytes.truncate(middle);
    fs::write(&copy, &bytes)?;
    refused(&lab, &["template", "install", &copy], 4, &[])?;
    lab.leave()
}

/// A small file system mounted over the directory of containers: it is full before the container is there.
#[test]
fn no_room() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("data")?;
    let guests = "/var/lib/pve-smbgateway/guests";
    fs::create_dir_all(guests)?;
    lab.tool("mount", ["-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", guests])?;
    let full =
        Command::new("sh").args(["-c", "head -c 1M /dev/zero > /var/lib/pve-smbgateway/guests/filler"]);
    let _ = Answer::of(&full);
    let refused = create_refused(&lab, &data, &[], 4, &["space"]);
    lab.tool("umount", [guests])?;
    refused?;
    // with room again, all is well
    lab.create("new", &[])?;
    lab.leave()
}

#[test]
fn not_root() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    // the checkout may lie where nobody may look
    let program = PathBuf::from("/run/pve-smbgateway-copy");
    fs::copy(lab.product.program("pve-smbgateway"), &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut answers = Vec::new();
    for args in [&["list"][..], &["delete", "team"], &["create", "new", "--path", "/srv"]] {
        let command =
            Command::new(program.display().to_string()).args(["--output", "json"]).args(args.iter().copied());
        answers.push(Answer::of(&command.user(65_534, 65_534))?);
    }
    fs::remove_file(&program)?;
    for answer in answers {
        ensure!(answer.code == 3, "exit code 3 was expected: {answer}");
        ensure!(answer.all().contains("root"), "{answer}");
    }
    lab.leave()
}

/// What a lost gateway may put where its agent was.
enum Rogue {
    Silent,
    Garbage,
    NotHttp,
    Endless,
    Drip,
}

/// A server in a gateway's link directory, until dropped.
struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(socket: &Path, rogue: Rogue) -> Result<Self> {
        let _ = fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        // the host checks that the socket is the container's: this one passes for it
        let link = fs::metadata(socket.parent().context("no directory")?)?;
        let owner = std::os::unix::fs::MetadataExt::uid(&link);
        let owner = if owner == 0 { 100_000 } else { owner };
        std::os::unix::fs::chown(socket, Some(owner), Some(owner))?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut held = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                let _ = stream.set_nonblocking(false);
                let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
                let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                match rogue {
                    Rogue::Silent => held.push(stream),
                    Rogue::Garbage => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\": [1,");
                    }
                    Rogue::NotHttp => {
                        let _ = stream.write_all(&[0xff; 4096]);
                    }
                    Rogue::Endless => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n");
                        let chunk = vec![b' '; 1 << 20];
                        // 10 GB, or until the host hangs up
                        for _ in 0..10_000 {
                            if stopped.load(Ordering::Relaxed) || stream.write_all(&chunk).is_err() {
                                break;
                            }
                        }
                    }
                    Rogue::Drip => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
                        for _ in 0..1000 {
                            if stopped.load(Ordering::Relaxed) || stream.write_all(b" ").is_err() {
                                break;
                            }
                            std::thread::sleep(Duration::from_millis(200));
                        }
                    }
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The agent's socket of a gateway, on the node.
fn socket(gateway: &str) -> PathBuf {
    Path::new("/var/lib/pve-smbgateway/links").join(gateway).join("agent.sock")
}

#[test]
fn an_agent_that_lies() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    let stop = lab.attach("team", ["systemctl", "stop", "smbgw-agent.service"])?;
    ensure!(stop.code == 0, "{stop}");
    for (name, rogue, words) in [
        ("garbage", Rogue::Garbage, &["agent"][..]),
        ("no HTTP", Rogue::NotHttp, &["agent"]),
        ("10 GB", Rogue::Endless, &["agent"]),
        ("silence", Rogue::Silent, &["agent", "answer"]),
        ("a byte now and then", Rogue::Drip, &["agent"]),
    ] {
        let server = Server::start(&socket("team"), rogue)?;
        let start = Instant::now();
        let answer =
            refused(&lab, &["set", "team", "--security", "high"], 3, words).with_context(|| name.to_owned());
        let status = lab.host(["status", "team"]);
        drop(server);
        answer?;
        // it may say that the agent does not answer, or fail; it may not hang
        status?;
        ensure!(
            start.elapsed() < Duration::from_secs(110),
            "{name}: it took {} s",
            start.elapsed().as_secs()
        );
    }
    let _ = fs::remove_file(socket("team"));

    // a link to another socket of the node is not followed
    let bait = lab.directory().join("bait.sock");
    let listener = UnixListener::bind(&bait)?;
    listener.set_nonblocking(true)?;
    std::os::unix::fs::symlink(&bait, socket("team"))?;
    let answer = lab.host(["set", "team", "--security", "high"])?.exits(3)?;
    ensure!(listener.accept().is_err(), "a link in the gateway's directory was followed: {answer}");
    fs::remove_file(socket("team"))?;
    drop(listener);
    fs::remove_file(&bait)?;

    // with the real one back, all is well
    lab.attach("team", ["systemctl", "start", "smbgw-agent.service"])?.ok()?;
    lab.host(["set", "team", "--memory", "256M"])?.ok()?;
    lab.round_trip(&gateway, "team", "alice")?;
    lab.leave()
}

/// A template whose agent never comes up: `create` gives up in time and takes everything back.
#[test]
fn an_agent_that_never_answers() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let data = lab.data("data")?;
    let agent = installed_agent()?;
    let kept = agent.with_extension("kept");
    fs::rename(&agent, &kept)?;
    let metadata = fs::metadata(&kept)?;
    fs::write(&agent, "#!/bin/sh\nexec sleep infinity\n")?;
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755))?;
    use std::os::unix::fs::MetadataExt;
    std::os::unix::fs::chown(&agent, Some(metadata.uid()), Some(metadata.gid()))?;
    let start = Instant::now();
    let answer = create_refused(&lab, &data, &[], 3, &["agent"]);
    println!("gave up after {} s", start.elapsed().as_secs());
    fs::rename(&kept, &agent)?;
    answer?;
    lab.create("new", &[])?;
    lab.leave()
}

/// The agent's program in the installed template.
fn installed_agent() -> Result<PathBuf> {
    fn search(directory: &Path, depth: u32) -> Option<PathBuf> {
        let entries: Vec<_> = fs::read_dir(directory).ok()?.flatten().collect();
        for entry in &entries {
            if entry.file_name() == "smbgw-agent" && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                return Some(entry.path());
            }
        }
        entries
            .iter()
            .filter(|entry| depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .find_map(|entry| search(&entry.path(), depth - 1))
    }
    let templates = Path::new("/var/lib/pve-smbgateway/templates");
    let found = fs::read_dir(templates)?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("debian-13"));
    let root = found.context("no template of debian-13 is installed")?.path();
    search(&root, 6).context("no smbgw-agent in the installed template")
}
