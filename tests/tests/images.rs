//! Virtual machine images under other firmware: they boot, are what they should be, and have none of the traps.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::qemu::{Firmware, Machine, tail};
use smbgw_lab::{Answer, Product, Snapshot, environment};

/// For the end of a boot and for smbd, under emulation and on a busy machine.
const DEADLINE: Duration = Duration::from_secs(600);
/// Machine ids of all machines of this run: each boots as if it was the first.
static IDS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// What a shell, or a prompt for one, looks like on a console.
const PROMPTS: &[&str] = &["root@", "Press Enter for maintenance", "(initramfs)", "BusyBox", "sh-5", "# \n"];

/// Shells of root on a terminal. There is no `ps` in an image.
const SHELLS: &str = r#"for process in /proc/[0-9]*; do
    case "$(readlink "$process/exe")" in
        */bash | */dash | */sh | */busybox) readlink "$process/fd/0" | grep -E '^/dev/(console|tty)' ;;
    esac
done; true"#;

fn boots(image: &str, firmware: Firmware) -> Result<()> {
    let directory = environment::require()?;
    let product = Product::from_environment()?;
    let before = Snapshot::take(&directory)?;
    let start = Instant::now();
    let file = product.image(image)?;
    let mut machine = Machine::boot(&file, &directory.join("machine"), "lab-image", "8G", firmware)?;
    machine.wait_agent()?;
    let agent = start.elapsed();
    let health = serves(&machine)?;
    let ready = start.elapsed();
    comes_up(&machine)?;
    println!(
        "{image} with {firmware:?}: guest agent after {:.1} s, gateway agent ready after {:.1} s, booted after {:.1} s",
        agent.as_secs_f64(),
        ready.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
    ensure!(health.stdout.contains("no configuration was applied yet"), "{health}");
    started_by(&machine, firmware)?;
    is_itself(&machine)?;
    lets_nobody_in(&machine)?;
    machine.quit()?;
    before.expect_same(&directory)
}

/// The gateway's agent says that smbd answers.
fn serves(machine: &Machine) -> Result<Answer> {
    let mut last = None;
    let ready = wait_until("the gateway's agent to be ready", DEADLINE, &Interrupt::new(), || {
        let answer = machine.run("/usr/bin/smbgw-agent", ["call", "GET", "/v1/health"]).ok()?;
        let ready = answer.code == 0 && answer.json().is_ok_and(|health| health["ready"] == true);
        last = Some(answer.clone());
        ready.then_some(answer)
    });
    ready.with_context(|| last.map_or("it never answered".to_owned(), |last| last.to_string()))
}

/// It boots to the end, with no unit that failed.
fn comes_up(machine: &Machine) -> Result<()> {
    let state = wait_until("the end of the boot", DEADLINE, &Interrupt::new(), || {
        let state = machine.run("/usr/bin/systemctl", ["is-system-running"]).ok()?.stdout.trim().to_owned();
        (!["", "initializing", "starting"].contains(&state.as_str())).then_some(state)
    });
    let failed = machine.shell("systemctl --failed --no-legend --plain; systemctl list-jobs --no-legend")?;
    ensure!(state? == "running", "{failed}\n{}", tail(&machine.console(), 30));
    Ok(())
}

/// By the firmware that was meant, and with its rules in force.
fn started_by(machine: &Machine, firmware: Firmware) -> Result<()> {
    // the last byte of a variable of one byte; source: UEFI specification, SecureBoot
    let script = "test -d /sys/firmware/efi || { echo none; exit; }
        od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let answer = machine.shell(script)?.ok()?;
    let expected = match firmware {
        Firmware::SeaBios => "none",
        Firmware::Uefi => "0",
        Firmware::SecureBoot => "1",
    };
    ensure!(answer.stdout.trim() == expected, "SecureBoot is not {expected}: {answer}");
    if firmware == Firmware::SecureBoot {
        // what Debian's kernel does then: only signed modules, no writing to memory
        let lockdown = machine.shell("cat /sys/kernel/security/lockdown")?.ok()?;
        ensure!(lockdown.stdout.contains("[integrity]"), "{lockdown}");
    }
    Ok(())
}

/// Its root fills the disk, and what must differ between machines does.
fn is_itself(machine: &Machine) -> Result<()> {
    let size = machine.shell("df --block-size=1 --output=size / | tail -n 1")?.ok()?;
    let bytes: u64 = size.stdout.trim().parse().with_context(|| format!("{size}"))?;
    // 8 GiB less the partition for the firmware, and what the file system needs for itself
    ensure!(bytes > 7 << 30, "the root file system has {bytes} bytes of a disk of 8 GiB");
    let name = machine.shell("hostname")?.ok()?;
    ensure!(name.stdout.trim() == "lab-image", "{name}");
    let id = machine.shell("cat /etc/machine-id")?.ok()?.stdout.trim().to_owned();
    ensure!(id.len() == 32, "machine-id: {id}");
    let mut ids = IDS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    ensure!(!ids.contains(&id), "two machines have the machine-id {id}");
    ids.push(id);
    Ok(())
}

/// No way in but ours: no shell on a console, no password, no port but that of SMB.
fn lets_nobody_in(machine: &Machine) -> Result<()> {
    let shells = machine.shell(SHELLS)?.ok()?;
    ensure!(shells.stdout.trim().is_empty(), "a shell on a terminal: {shells}");
    let console = machine.console();
    for prompt in PROMPTS {
        if console.contains(prompt) {
            bail!("{prompt:?} on the console:\n{}", tail(&console, 30));
        }
    }
    let shadow = machine.shell("cut -d: -f1,2 /etc/shadow")?.ok()?.stdout;
    for line in shadow.lines() {
        let (user, hash) = line.split_once(':').context("shadow")?;
        ensure!(hash.starts_with('!') || hash.starts_with('*'), "{user} has a password");
    }
    ensure!(machine.shell("ls /etc/ssh/ssh_host_*_key")?.code != 0, "host keys");
    let listening = machine.shell("ss -Hltn")?.ok()?.stdout;
    for line in listening.lines() {
        let local = line.split_whitespace().nth(3).unwrap_or_default();
        ensure!(
            local.ends_with(":445") || local.starts_with("127.") || local.starts_with("[::1]"),
            "listens on {local}"
        );
    }
    Ok(())
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn debian_13_boots_with_seabios() -> Result<()> {
    boots("debian-13", Firmware::SeaBios)
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn debian_13_boots_with_uefi() -> Result<()> {
    boots("debian-13", Firmware::Uefi)
}

#[test]
fn debian_13_boots_with_secure_boot() -> Result<()> {
    boots("debian-13", Firmware::SecureBoot)
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn debian_12_boots_with_seabios() -> Result<()> {
    boots("debian-12", Firmware::SeaBios)
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn debian_12_boots_with_uefi() -> Result<()> {
    boots("debian-12", Firmware::Uefi)
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn debian_12_boots_with_secure_boot() -> Result<()> {
    boots("debian-12", Firmware::SecureBoot)
}
