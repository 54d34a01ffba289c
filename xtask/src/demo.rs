//! The main job, for real: a template from Debian packages, a gateway from it, a file over SMB there and back, and
//! nothing left of the gateway but the data.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_command::Interrupt;
use smbgw_lab::{Answer, Client, Environment, Inside, Product, Snapshot, environment, files, lab, memory};

use crate::programs::target;
use crate::templates::Level;
use crate::{Mode, packages, programs, say, templates, test};

/// Size of the file that goes there and back, in MiB.
const FILE_MIB: u64 = 256;
/// The demo's password. It travels in files of mode 0600 only.
const PASSWORD: &str = "demo-Password-1";
/// For everything inside the environment.
const DEADLINE: Duration = Duration::from_secs(20 * 60);

/// From outside: brings what is needed, builds, and enters the environment.
pub(crate) fn run(mode: Mode, keep: bool, interrupt: &Interrupt) -> Result<i32> {
    let mut needs = vec![packages::COMPILER, packages::BUILDER, packages::NODE, packages::CLIENT];
    if mode == Mode::Vm {
        needs.extend([packages::QEMU, packages::VIRTIOFS]);
    }
    packages::install(&needs)?;
    programs::build()?;
    let template = match mode {
        Mode::Lxc => templates::build("debian-13", Level::Quick)?,
        Mode::Vm => templates::build_image("debian-13", Level::Quick)?,
    };
    ensure!(!interrupt.is_set(), "interrupted");
    say::step("environment", "private namespaces with a pure cgroup2: this machine stays as it is");
    let environment = Environment::create(&target(), keep)?;
    let built = format!("{} in {}", say::megabytes(template.size), say::seconds(template.took));
    let args: Vec<OsString> =
        vec!["demo-inside".into(), word(mode).into(), template.file.into(), built.into()];
    let (xtask, env) = (programs::own(&environment)?, test::variables(Level::Quick));
    let inside =
        Inside { runner: &xtask, program: &xtask, args: &args, env: &env, output: None, deadline: DEADLINE };
    let code = environment.run(&inside, interrupt)?;
    ensure!(code == 0, "the demo failed (exit code {code})");
    Ok(0)
}

/// A mode, as the host command has it.
fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Lxc => "lxc",
        Mode::Vm => "vm",
    }
}

/// What the demo measured, for the summary.
struct Measured {
    create: Duration,
    first_byte: Duration,
    put: Duration,
    get: Duration,
    memory: (Vec<(String, memory::Memory)>, memory::Memory),
}

/// In the environment.
pub(crate) fn inside(mode: Mode, template: &Path, built: &str) -> Result<()> {
    let directory = environment::require()?;
    let product = Product::from_environment()?;
    let told = |args: &[&str]| -> Result<Answer> {
        say::line(&format!("$ pve-smbgateway {}", args.join(" ")));
        let answer = Answer::of(&product.host().args(args.iter().copied()))?;
        for text in answer.stderr.lines().chain(answer.stdout.lines()) {
            say::line(&format!("  {text}"));
        }
        Ok(answer)
    };
    let host = |args: &[&str]| told(args)?.ok();

    say::step("node", "what it has and lacks, and the template installed");
    // it lacks the template still, and says so
    told(&["doctor", "--fix"])?;
    host(&["template", "install", &template.display().to_string()])?;
    host(&["doctor"])?;

    let data = directory.join("data/demo");
    files::directory(&data, 0)?;
    std::fs::write(data.join("first.txt"), "x")?;
    let password = directory.join("password");
    files::secret_file(&password, &format!("{PASSWORD}\n"))?;
    let before = Snapshot::take(&directory)?;

    say::step("gateway", "create: from nothing to the first byte over SMB");
    let (path, file) = (data.display().to_string(), password.display().to_string());
    let start = Instant::now();
    host(&[
        "create",
        "demo",
        "--mode",
        word(mode),
        "--path",
        &path,
        "--user",
        "demo",
        "--password-file",
        &file,
        "--grant",
    ])?;
    let create = start.elapsed();
    let address = address(&product)?;
    let client = Client::new(&directory, &address, "demo", "demo", PASSWORD)?;
    let first = directory.join("first");
    client.get("first.txt", &first)?;
    let first_byte = start.elapsed();
    ensure!(std::fs::read(&first)? == b"x", "the first byte is not the one on the disk");
    say::line(&format!(
        "first byte after {} (create itself: {})",
        say::seconds(first_byte),
        say::seconds(create)
    ));

    say::step("file", &format!("{FILE_MIB} MiB of random bytes, put and get with smbclient as user demo"));
    let (sent, got) = (directory.join("sent"), directory.join("got"));
    files::random_file(&sent, FILE_MIB)?;
    let hash = files::sha256(&sent)?;
    let ((), put) = say::timed(|| client.put(&sent, "random.bin"))?;
    let ((), get) = say::timed(|| client.get("random.bin", &got))?;
    let there = files::sha256(&data.join("random.bin"))?;
    ensure!(there == hash, "what lies in the share is not what was sent");
    ensure!(files::sha256(&got)? == hash, "what came back is not what was sent");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(data.join("random.bin"))?);
    ensure!(owner != 0 && owner < 65_534, "the file's owner on the node is {owner}");
    say::line(&format!("sha256 {hash}, the same in the share and back; owner on the node: uid {owner}"));
    say::line(&format!(
        "put {} ({}), get {} ({})",
        say::seconds(put),
        rate(put),
        say::seconds(get),
        rate(get)
    ));

    say::step("look", "list, status, and idle memory by process as the node sees it");
    host(&["list"])?;
    host(&["status", "demo"])?;
    let memory = idle_memory("demo")?;
    for (name, one) in &memory.0 {
        say::line(&format!("{name:<18} {:>2} × {:>10} PSS", one.count, say::mib(one.pss)));
    }

    say::step("delete", "the gateway goes, the data stays");
    host(&["delete", "demo"])?;
    ensure!(files::sha256(&data.join("random.bin"))? == hash, "the data changed");
    ensure!(data.join("first.txt").exists(), "the data is gone");
    drop(client);
    before.expect_same(&directory)?;
    say::line(&format!("compared with before create: {}; all the same", before.summary()));

    summary(mode, built, &path, &Measured { create, first_byte, put, get, memory });
    Ok(())
}

fn summary(mode: Mode, built: &str, path: &str, measured: &Measured) {
    let sum = measured.memory.1;
    println!("\n== demo: passed");
    for (what, value) in [
        ("template debian-13", format!("for mode {}, {built}", word(mode))),
        ("create", say::seconds(measured.create)),
        ("create to first byte over SMB", say::seconds(measured.first_byte)),
        (
            "put / get",
            format!("{FILE_MIB} MiB, bit-identical, {} / {}", rate(measured.put), rate(measured.get)),
        ),
        (
            "idle memory",
            format!(
                "{} PSS in {} processes ({} anon, {} shmem)",
                say::mib(sum.pss),
                sum.count,
                say::mib(sum.anon),
                say::mib(sum.shmem)
            ),
        ),
        ("after delete", format!("data unchanged in {path}")),
        ("", "no guest, mount, bridge port, socket, process, cgroup or record is left".to_owned()),
    ] {
        println!("   {what:<31} {value}");
    }
}

fn rate(duration: Duration) -> String {
    format!("{:.0} MiB/s", FILE_MIB as f64 / duration.as_secs_f64())
}

fn address(product: &Product) -> Result<String> {
    let status = Answer::of(&product.host().args(["--output", "json", "status", "demo"]))?.ok()?.data()?;
    lab::find_address(&status).with_context(|| format!("no address in {status}"))
}

/// Memory of a gateway that has nothing to do: once the session has ended and the sum has stopped falling.
pub(crate) fn idle_memory(gateway: &str) -> Result<(Vec<(String, memory::Memory)>, memory::Memory)> {
    let mut last = memory::by_process(gateway)?;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(500));
        let now = memory::by_process(gateway)?;
        let settled = now.1.pss.abs_diff(last.1.pss) < 64 && now.1.count == last.1.count;
        last = now;
        if settled {
            break;
        }
    }
    Ok(last)
}
