//! A gateway in a virtual machine: how fast it is there beside the bare image, how fast its agent answers through the guest
//! agent, and SMB over virtio-fs and over a disk beside the same smbd in a container.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use smbgw_lab::qemu::{self, Firmware};
use smbgw_lab::{Client, Machine, files, product};

use super::gateway::{Bench, NAME};
use super::{Figures, median};
use crate::{say, templates};

/// Name of the gateway in a virtual machine.
const VM: &str = "bench-vm";
/// Boots of each kind.
const BOOTS: usize = 2;
/// Requests through the guest agent.
const REQUESTS: usize = 20;
/// Size of the file that goes there and back, in MiB; emulation is slow.
const FILE_MIB: u64 = 64;
/// Rounds of it.
const ROUNDS: usize = 3;

/// From outside: the image, cold and cached.
pub(super) fn builds(figures: &mut Figures) -> Result<()> {
    let directory = crate::programs::target().join("bench").join(format!("image-{}", std::process::id()));
    let (cache, out) = (directory.join("cache"), directory.join("out"));
    say::step("image", "cold: nothing in the cache, packages from the mirror");
    let cold = templates::build_image_into("debian-13", &out, &cache, &[])?;
    figures.time("image_cold_s", "VM image, cold (with downloads)", cold.took);
    let cached = templates::build_image_into("debian-13", &out, &cache, &[])?;
    figures.time("image_cached_s", "VM image, installed packages in the cache", cached.took);
    figures.add(
        "image_bytes",
        "VM image size, level for CI",
        say::megabytes(cached.size),
        json!(cached.size),
    );
    std::fs::remove_dir_all(&directory).context("removing the bench's cache")
}

/// In the environment.
pub(super) fn run(bench: &Bench, image: &Path, figures: &mut Figures) -> Result<()> {
    bench.host(&["template", "install", &image.display().to_string()])?;
    let data = bench.data.display().to_string();
    let disk = bench.directory.join("data/bench.img");
    let mut bare = Vec::new();
    let (mut creates, mut firsts) = (Vec::new(), Vec::new());
    for round in 0..BOOTS {
        say::step(
            "machine",
            &format!("the bare image to guest-ping, and create to first byte ({})", round + 1),
        );
        let start = Instant::now();
        let mut machine =
            Machine::boot(image, &bench.directory.join("bare-machine"), "bare", "8G", Firmware::SeaBios)?;
        machine.wait_agent()?;
        bare.push(start.elapsed());
        machine.quit()?;

        // the probe for KVM is made once for each boot of the node
        let start = Instant::now();
        std::fs::File::create(&disk)?.set_len(1 << 30)?;
        let path = disk.display().to_string();
        bench.create_vm(VM, &["--path", &data, "--grant", "--disk", &path, "--format"])?;
        creates.push(start.elapsed());
        let client = bench.client_of(VM, VM)?;
        client.get("first.txt", &bench.directory.join("first"))?;
        firsts.push(start.elapsed());
        if round + 1 < BOOTS {
            bench.host(&["delete", VM])?;
        }
    }
    figures.times("bare_ping", "bare image to guest-ping", &mut bare);
    figures.times("vm_create", "VM: create", &mut creates);
    figures.times("vm_first_byte", "VM: create to first byte over SMB", &mut firsts);
    let ratio = median(&mut firsts).as_secs_f64() / median(&mut bare).as_secs_f64();
    figures.add(
        "vm_ratio",
        "VM: create to first byte / bare guest-ping",
        format!("{ratio:.2}"),
        json!(ratio),
    );
    memory(bench, figures)?;
    requests(figures)?;
    throughput(bench, figures)?;
    bench.host(&["delete", VM])?;
    Ok(())
}

fn memory(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let status = bench.host(&["status", VM])?.data()?;
    for (key, what) in [
        ("memory_resident_bytes", "VM: its processes on the node"),
        ("memory_pss_bytes", "VM: its processes in the guest"),
    ] {
        let bytes = status[key].as_u64().with_context(|| format!("status has no {key}: {status}"))?;
        figures.add(&format!("vm_{key}"), what, say::mib(bytes / 1024), json!(bytes));
    }
    Ok(())
}

fn requests(figures: &mut Figures) -> Result<()> {
    say::step("machine", &format!("{REQUESTS} requests through the guest agent"));
    let directory = PathBuf::from(product::GUESTS).join(product::container(VM));
    let ask = |args: &[&str], program: &str| -> Result<Duration> {
        let start = Instant::now();
        let answer = qemu::run_in(&directory, program, args.iter().copied())?;
        ensure!(answer.code == 0, "{answer}");
        Ok(start.elapsed())
    };
    let mut nothing = (0..REQUESTS).map(|_| ask(&[], "/bin/true")).collect::<Result<Vec<_>>>()?;
    figures.times("vm_exec", "VM: guest-exec of /bin/true", &mut nothing);
    let gateway = ["call", "GET", "/v1/gateway"];
    let mut state =
        (0..REQUESTS).map(|_| ask(&gateway, "/usr/bin/smbgw-agent")).collect::<Result<Vec<_>>>()?;
    figures.times("vm_request", "VM: GET /v1/gateway through the guest agent", &mut state);
    Ok(())
}

fn throughput(bench: &Bench, figures: &mut Figures) -> Result<()> {
    say::step(
        "machine",
        &format!("{FILE_MIB} MiB put and get over virtio-fs, over a disk, and through a container"),
    );
    bench.host(&["share", "add", VM, "block", "--folder", "block"])?;
    bench.create()?;
    let address = bench.address_of(VM)?;
    let (sent, got) = (bench.directory.join("sent"), bench.directory.join("got"));
    files::random_file(&sent, FILE_MIB)?;
    let mut servers: Vec<(&str, Client, Vec<Duration>, Vec<Duration>)> = vec![
        ("container", bench.client(&bench.address_of(NAME)?)?, vec![], vec![]),
        ("VM over virtio-fs", bench.client_at(&address, VM)?, vec![], vec![]),
        ("VM over a disk", bench.client_at(&address, "block")?, vec![], vec![]),
    ];
    for _ in 0..ROUNDS {
        for (name, client, puts, gets) in &mut servers {
            let _ = std::fs::remove_file(&got);
            puts.push(say::timed(|| client.put(&sent, "big.bin"))?.1);
            gets.push(say::timed(|| client.get("big.bin", &got))?.1);
            ensure!(
                files::sha256(&sent)? == files::sha256(&got)?,
                "{name}: what came back is not what was sent"
            );
            client.run("del big.bin")?.ok()?;
        }
    }
    let rate = |times: &mut Vec<Duration>| FILE_MIB as f64 / median(times).as_secs_f64();
    let mut container = None;
    for (name, _, puts, gets) in &mut servers {
        let (put, get) = (rate(puts), rate(gets));
        let (base_put, base_get) = *container.get_or_insert((put, get));
        let text = format!(
            "put {put:.1} MiB/s, get {get:.1} MiB/s; ratio {:.2}, {:.2}",
            put / base_put,
            get / base_get
        );
        let key = format!("vm_throughput_{}", name.to_lowercase().replace([' ', '-'], "_"));
        figures.add(&key, &format!("SMB: {name}"), text, json!({ "put_mib_s": put, "get_mib_s": get }));
    }
    bench.host(&["delete", NAME])?;
    Ok(())
}
