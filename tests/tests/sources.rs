//! Where packages come from: mirrors that lack them, stall, lie or hang up; a store that was damaged; downloads that are
//! stopped. Each is told by its name, nothing is left, and the next build goes on from there.

#![allow(clippy::disallowed_methods, reason = "a test: it starts programs")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::product::template_in;
use smbgw_lab::{Answer, Lab, files};

const RECIPE: &str = "debian-13";
/// Small packages of every template.
const LACKING: [&str; 3] = ["acl", "attr", "netbase"];
/// For a build to notice a signal, and to end.
const SOON: Duration = Duration::from_secs(20);

/// One package, as the lock has it.
#[derive(Debug, Clone)]
struct Package {
    name: String,
    path: String,
    sha256: String,
    size: usize,
}

/// A cache of our own, with packages and lock of the real one and without trees.
struct Cache {
    directory: PathBuf,
    packages: Vec<Package>,
}

impl Cache {
    /// Makes one in `data`.
    fn make(lab: &Lab, data: &Path) -> Result<Self> {
        let real = PathBuf::from(std::env::var_os("SMBGW_CACHE").context("SMBGW_CACHE is not set")?);
        let directory = data.join("cache");
        fs::create_dir_all(&directory)?;
        for part in ["store", "locks"] {
            // hard links where the file system can: what is changed here is removed first
            let status = Command::new("cp").arg("-al").arg(real.join(part)).arg(&directory).status()?;
            ensure!(status.success(), "copying {part}");
        }
        let file = format!("{RECIPE}.lock.json");
        let places = [lab.product.source.join("images").join(&file), directory.join("locks").join(&file)];
        let place = places.iter().find(|place| place.exists()).context("no lock")?;
        let lock: Value = serde_json::from_slice(&fs::read(place)?)?;
        let text = |package: &Value, field: &str| package[field].as_str().unwrap_or_default().to_owned();
        let packages = lock["packages"].as_array().context("no packages")?.iter().map(|package| Package {
            name: text(package, "name"),
            path: text(package, "path"),
            sha256: text(package, "sha256"),
            size: package["size"].as_u64().unwrap_or_default() as usize,
        });
        Ok(Self { directory, packages: packages.collect() })
    }

    fn package(&self, name: &str) -> Result<&Package> {
        self.packages
            .iter()
            .find(|package| package.name == name)
            .with_context(|| format!("no {name} in the lock"))
    }

    fn path(&self, package: &Package) -> PathBuf {
        self.directory.join("store/sha256").join(&package.sha256[..2]).join(&package.sha256)
    }

    /// Takes packages out of the store; gives path in the archive and content of each.
    fn take_out(&self, names: &[&str]) -> Result<HashMap<String, Vec<u8>>> {
        let mut taken = HashMap::new();
        for name in names {
            let package = self.package(name)?;
            let file = self.path(package);
            taken.insert(format!("/{}", package.path), fs::read(&file)?);
            fs::remove_file(file)?;
        }
        Ok(taken)
    }

    fn lacks(&self, names: &[&str]) -> Result<bool> {
        names.iter().try_fold(true, |all, name| Ok(all && !self.path(self.package(name)?).exists()))
    }

    /// Files that are still being written, or were left.
    fn unfinished(&self) -> usize {
        fs::read_dir(self.directory.join("store/incoming")).map_or(0, Iterator::count)
    }
}

/// What a mirror does with every request.
#[derive(Clone)]
enum Way {
    /// Gives what it has, 404 for the rest.
    Good,
    /// A web page.
    Page,
    /// Half of the file, and then nothing.
    Stall,
    /// Half of the file, and the end of the connection.
    HangUp,
    /// As many bytes as asked for, but others.
    Lie,
}

/// A mirror on loopback, until it is dropped.
struct Mirror {
    address: String,
    ended: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    fn start(way: Way, has: HashMap<String, Vec<u8>>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let mirror = Self { address, ended: Arc::default(), asked: Arc::default() };
        let (ended, asked) = (Arc::clone(&mirror.ended), Arc::clone(&mirror.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (way, has, ended, asked) =
                    (way.clone(), has.clone(), Arc::clone(&ended), Arc::clone(&asked));
                // whoever hangs up in the middle is no matter of ours
                std::thread::spawn(move || serve(stream, &way, &has, &ended, &asked).ok());
            }
        });
        Ok(mirror)
    }

    /// The paths that were asked for so far.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // wakes the listener
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
    }
}

fn serve(
    mut stream: TcpStream,
    way: &Way,
    has: &HashMap<String, Vec<u8>>,
    ended: &AtomicBool,
    asked: &Mutex<Vec<String>>,
) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let Some(path) = request.split(' ').nth(1) else { return Ok(()) };
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        let Some(content) = has.get(path) else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let head = |kind: &str, length: usize| {
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes()
        };
        let deb = |content: &[u8], length| {
            [&head("application/vnd.debian.binary-package", length), content].concat()
        };
        let half = deb(&content[..content.len() / 2], content.len());
        match way {
            Way::Good => stream.write_all(&deb(content, content.len()))?,
            Way::Lie => stream.write_all(&deb(&vec![b'?'; content.len()], content.len()))?,
            Way::Page => {
                let page = b"<html>Please log in</html>";
                stream.write_all(&[&head("text/html", page.len()), &page[..]].concat())?;
            }
            Way::HangUp => return Ok(stream.write_all(&half)?),
            Way::Stall => {
                stream.write_all(&half)?;
                while !ended.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
        }
    }
}

/// A build of the container's template with this cache, and more arguments.
fn build(lab: &Lab, cache: &Cache, out: &Path, more: &[&str]) -> smbgw_command::Command {
    let text = |path: &Path| path.display().to_string();
    let (recipe, agent) =
        (lab.product.source.join(format!("images/{RECIPE}.yaml")), lab.product.program("smbgw-agent"));
    let (recipe, out, cache) = (text(&recipe), text(out), text(&cache.directory));
    let args = ["build", &recipe, "--out", &out, "--cache", &cache, "--agent", &agent, "--json"];
    lab.product.builder().args(args).args(lab.product.level()).args(more.iter().copied())
}

/// Expects this exit code, all of these words, a hint, and nothing in the output directory.
fn refused(answer: Answer, out: &Path, code: i32, words: &[&str]) -> Result<()> {
    let answer = answer.exits(code)?;
    let error = &answer.json()?["error"];
    ensure!(error["hint"].is_string(), "no hint: {answer}");
    let message = format!("{}\n{}", error["message"], error["hint"]);
    for word in words {
        ensure!(message.contains(word), "`{word}` is not in the message: {answer}");
    }
    let files: Vec<_> =
        fs::read_dir(out).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    ensure!(files.is_empty(), "{files:?} in the output directory: {answer}");
    Ok(())
}

/// The template that was built is the one that was built elsewhere from the same lock.
fn same_as_elsewhere(lab: &Lab, out: &Path) -> Result<()> {
    let (here, elsewhere) = (template_in(out, RECIPE)?, lab.product.template(RECIPE)?);
    ensure!(files::sha256(&here)? == files::sha256(&elsewhere)?, "the template is another one");
    Ok(())
}

#[test]
fn a_bad_mirror_is_told_and_a_good_one_helps() -> Result<()> {
    let lab = Lab::enter(RECIPE)?;
    let data = lab.data("build")?;
    let (cache, out) = (Cache::make(&lab, &data)?, data.join("out"));
    let has = cache.take_out(&LACKING)?;
    let hash = cache.package("acl")?.sha256.clone();
    let before = lab.snapshot()?;
    let size = format!("instead of {}", cache.package("acl")?.size);
    let cases: [(Way, bool, i32, &[&str]); 5] = [
        (Way::Good, false, 4, &["could not be fetched", "snapshot.debian.org"]),
        (Way::Page, true, 3, &["a web page and not the package", &size, "login page"]),
        (Way::Stall, true, 3, &["nothing came for 1 s (3 times)", "--mirror"]),
        (Way::HangUp, true, 3, &["(3 times)", "http_proxy"]),
        (Way::Lie, true, 3, &["its SHA-256 is", &hash, "(twice)"]),
    ];
    for (way, full, code, words) in cases {
        let mirror = Mirror::start(way, if full { has.clone() } else { HashMap::new() })?;
        let answer =
            Answer::of(&build(&lab, &cache, &out, &["--mirror", &mirror.address, "--stall-seconds", "1"]))?;
        // every package and the mirror are named
        let words: Vec<&str> =
            words.iter().copied().chain(LACKING).chain([mirror.address.as_str()]).collect();
        refused(answer, &out, code, &words)?;
        ensure!(cache.lacks(&LACKING)? && cache.unfinished() == 0, "something of {words:?} is in the store");
        before.expect_same(lab.directory()).with_context(|| format!("after {words:?}"))?;
    }
    // nobody is there
    let address = Mirror::start(Way::Good, HashMap::new())?.address.clone();
    let answer = Answer::of(&build(&lab, &cache, &out, &["--mirror", &address]))?;
    refused(answer, &out, 3, &["refused", "acl", &address])?;
    let answer = Answer::of(&build(&lab, &cache, &out, &["--offline"]))?;
    refused(answer, &out, 4, &["offline", "acl", "attr", "netbase"])?;

    let mirror = Mirror::start(Way::Good, has.clone())?;
    Answer::of(&build(&lab, &cache, &out, &["--mirror", &mirror.address]))?.ok()?;
    let (mut asked, mut lacking) = (mirror.asked(), has.into_keys().collect::<Vec<_>>());
    asked.sort();
    lacking.sort();
    ensure!(asked == lacking, "{asked:?} were asked for, and not {lacking:?}");
    ensure!(cache.unfinished() == 0, "something is left in the store");
    same_as_elsewhere(&lab, &out)?;
    lab.leave()
}

#[test]
fn the_proxy_of_a_node_is_asked() -> Result<()> {
    // where pve-manager writes the data center's `http_proxy` (`update_database` in PVE/API2/APT.pm)
    const DIRECTORY: &str = "/etc/apt/apt.conf.d";
    const PLACE: &str = "/etc/apt/apt.conf.d/76pveproxy";
    const MIRROR: &str = "http://mirror.invalid";
    let lab = Lab::enter(RECIPE)?;
    let data = lab.data("build")?;
    let (cache, out) = (Cache::make(&lab, &data)?, data.join("out"));
    let has: HashMap<_, _> = cache
        .take_out(&LACKING)?
        .into_iter()
        .map(|(path, content)| (format!("{MIRROR}{path}"), content))
        .collect();
    let with_mirror = build(&lab, &cache, &out, &["--mirror", MIRROR]);
    refused(Answer::of(&with_mirror)?, &out, 3, &["mirror.invalid", "acl"])?;

    // laid over for as long as this takes: the lab sees every directory that was written to
    let own = data.join("apt.conf.d");
    fs::create_dir(&own)?;
    let mounted = Command::new("mount").arg("--bind").arg(&own).arg(DIRECTORY).status()?;
    ensure!(mounted.success(), "mounting {DIRECTORY}");
    fs::write(PLACE, "Acquire { http { Proxy \"http://p\"x\"; };\n")?;
    refused(Answer::of(&with_mirror)?, &out, 2, &["apt's configuration", PLACE, "http_proxy"])?;

    let proxy = Mirror::start(Way::Good, has.clone())?;
    fs::write(PLACE, format!("Acquire::http::Proxy \"{}\";\n", proxy.address))?;
    let without = with_mirror.clone().env("no_proxy", "*");
    refused(Answer::of(&without)?, &out, 3, &["mirror.invalid", "acl"])?;
    ensure!(proxy.asked().is_empty(), "{:?} were asked for", proxy.asked());
    Answer::of(&with_mirror)?.ok()?;
    let (mut asked, mut lacking) = (proxy.asked(), has.into_keys().collect::<Vec<_>>());
    asked.sort();
    lacking.sort();
    ensure!(asked == lacking, "{asked:?} were asked for, and not {lacking:?}");
    same_as_elsewhere(&lab, &out)?;

    // apt is given the same, for a lock
    let recipe = lab.product.source.join(format!("images/{RECIPE}.yaml")).display().to_string();
    let lock = lab.product.builder().args(["lock", &recipe, "--mirror", MIRROR, "--json"]);
    let place = data.join("lock.json").display().to_string();
    Answer::of(&lock.args(["--lock", &place]))?.exits(3)?;
    let index = format!("{MIRROR}/debian/dists/trixie/InRelease");
    ensure!(proxy.asked().contains(&index), "{:?} were asked for", proxy.asked());

    ensure!(Command::new("umount").arg(DIRECTORY).status()?.success(), "unmounting {DIRECTORY}");
    lab.leave()
}

#[test]
fn a_damaged_store_is_found_told_and_mended() -> Result<()> {
    let lab = Lab::enter(RECIPE)?;
    let data = lab.data("build")?;
    let (cache, out) = (Cache::make(&lab, &data)?, data.join("out"));
    let has = cache.take_out(&["acl", "attr"])?;
    let (short, damaged) = (cache.package("acl")?, cache.package("attr")?);
    let content = |package: &Package| has.get(&format!("/{}", package.path)).context("not taken out");
    fs::write(cache.path(short), &content(short)?[..short.size / 2])?;
    let mut bytes = content(damaged)?.clone();
    bytes[damaged.size / 2] ^= 1;
    fs::write(cache.path(damaged), bytes)?;

    let answer = Answer::of(&build(&lab, &cache, &out, &["--offline"]))?;
    refused(answer, &out, 4, &["the store lacks 1 package: acl_"])?;
    let mirror = Mirror::start(Way::Good, has.clone())?;
    let with_mirror = ["--mirror", mirror.address.as_str()];
    // the short one is mended by the build that finds it; the other is found when it is read
    let path = cache.path(damaged).display().to_string();
    let answer = Answer::of(&build(&lab, &cache, &out, &with_mirror))?;
    refused(answer, &out, 4, &["damaged", &path, "--offline"])?;
    ensure!(mirror.asked() == [format!("/{}", short.path)], "{:?} were asked for", mirror.asked());
    let answer = Answer::of(&build(&lab, &cache, &out, &["--offline"]))?;
    refused(answer, &out, 4, &["the store lacks 1 package: attr_"])?;
    Answer::of(&build(&lab, &cache, &out, &with_mirror))?.ok()?;
    ensure!(mirror.asked().len() == 2, "{:?} were asked for", mirror.asked());
    same_as_elsewhere(&lab, &out)?;
    lab.leave()
}

/// Starts a build, waits until it has asked the mirror for everything that lacks, and sends it a signal.
fn stopped(
    command: &smbgw_command::Command,
    mirror: &Mirror,
    signal: &str,
) -> Result<std::process::ExitStatus> {
    let display = command.display();
    let mut words = display.split(' ');
    let mut child: Child = Command::new(words.next().context("empty")?)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let asked = wait_until("the downloads", Duration::from_secs(60), &Interrupt::new(), || {
        (mirror.asked().len() == LACKING.len()).then_some(())
    });
    Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
    let ended = wait_until(&format!("the end after SIG{signal}"), SOON, &Interrupt::new(), || {
        child.try_wait().transpose()
    });
    if ended.is_err() {
        child.kill()?;
        child.wait()?;
    }
    asked?;
    Ok(ended??)
}

#[test]
fn a_stopped_download_harms_nothing() -> Result<()> {
    let lab = Lab::enter(RECIPE)?;
    let data = lab.data("build")?;
    let (cache, out) = (Cache::make(&lab, &data)?, data.join("out"));
    let has = cache.take_out(&LACKING)?;
    let before = lab.snapshot()?;
    // longer silent than anybody waits here
    let stall =
        |mirror: &Mirror| build(&lab, &cache, &out, &["--mirror", &mirror.address, "--stall-seconds", "600"]);

    let mirror = Mirror::start(Way::Stall, has.clone())?;
    let status = stopped(&stall(&mirror), &mirror, "INT")?;
    ensure!(status.code() == Some(130), "{status}");
    ensure!(cache.lacks(&LACKING)? && cache.unfinished() == 0, "something is left in the store");
    drop(mirror);
    before.expect_same(lab.directory()).context("after SIGINT")?;

    let mirror = Mirror::start(Way::Stall, has.clone())?;
    let status = stopped(&stall(&mirror), &mirror, "KILL")?;
    ensure!(status.code().is_none(), "{status}");
    ensure!(cache.lacks(&LACKING)?, "half a package is in the store");
    drop(mirror);

    let mirror = Mirror::start(Way::Good, has)?;
    Answer::of(&build(&lab, &cache, &out, &["--mirror", &mirror.address]))?.ok()?;
    ensure!(cache.unfinished() == 0, "what the killed build left was not swept");
    same_as_elsewhere(&lab, &out)?;
    drop(mirror);
    before.expect_same(lab.directory()).context("after SIGKILL and a build")?;
    lab.leave()
}
