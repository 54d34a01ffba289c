//! SMB throughput through a gateway, beside the same smbd with the same configuration on the same directory, in a chroot and on the
//! same bridge, but without a container.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use smbgw_lab::{Client, files, memory, product};

use super::gateway::{Bench, NAME};
use super::{Figures, median};
use crate::programs::succeed;
use crate::say;

/// Size of the file, in MiB.
const FILE_MIB: u64 = 1024;
/// Rounds; each server in each, in turn first.
const ROUNDS: usize = 4;
/// Cgroup of the bare smbd.
const GROUP: &str = "/sys/fs/cgroup/bench.bare";

/// One server as it is measured.
struct Server {
    name: &'static str,
    client: Client,
    cgroup: PathBuf,
    puts: Vec<Duration>,
    gets: Vec<Duration>,
    put_cpu: Vec<Duration>,
    get_cpu: Vec<Duration>,
}

impl Server {
    fn new(name: &'static str, client: Client, cgroup: PathBuf) -> Self {
        Self { name, client, cgroup, puts: vec![], gets: vec![], put_cpu: vec![], get_cpu: vec![] }
    }

    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(self.cgroup.join("cpu.stat"))?;
        let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(Duration::from_micros(usage.context("no usage_usec in cpu.stat")?.parse()?))
    }

    fn round(&mut self, sent: &Path, got: &Path, share: &Path) -> Result<()> {
        let _ = fs::remove_file(share.join("big.bin"));
        let _ = fs::remove_file(got);
        succeed(&mut Command::new("sync"))?;
        let before = self.cpu()?;
        let ((), took) = say::timed(|| self.client.put(sent, "big.bin"))?;
        let between = self.cpu()?;
        self.puts.push(took);
        self.put_cpu.push(between.saturating_sub(before));
        let ((), took) = say::timed(|| self.client.get("big.bin", got))?;
        self.gets.push(took);
        self.get_cpu.push(self.cpu()?.saturating_sub(between));
        ensure!(fs::metadata(got)?.len() == FILE_MIB << 20, "{}: not all came back", self.name);
        Ok(())
    }
}

/// smbd without a gateway; ended when dropped.
struct Bare {
    smbd: Child,
    root: PathBuf,
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.smbd.id().to_string()).status();
        let _ = self.smbd.wait();
        for mount in [&format!("srv/smb/{NAME}"), "proc", "dev"] {
            let _ = Command::new("umount").arg("-R").arg(self.root.join(mount)).status();
        }
        let _ = Command::new("ip").args(["netns", "delete", "bare"]).status();
    }
}

pub(super) fn run(bench: &Bench, template: &Path, figures: &mut Figures) -> Result<()> {
    say::step(
        "throughput",
        &format!(
            "{FILE_MIB} MiB put and get, {ROUNDS} rounds, through the gateway and through a bare smbd in turn"
        ),
    );
    bench.create()?;
    let address = bench.address()?;
    let bare_address = neighbour(&address)?;
    let bare = start_bare(bench, template, &bare_address)?;
    let gateway_group = product::cgroup(NAME);
    let mut gateway = Server::new("gateway", bench.client(&address)?, gateway_group);
    let mut plain = Server::new("bare smbd", bench.client(&bare_address)?, GROUP.into());
    wait_serving(&plain.client)?;

    let (sent, got) = (bench.directory.join("sent"), bench.directory.join("got"));
    files::random_file(&sent, FILE_MIB)?;
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            gateway.round(&sent, &got, &bench.data)?;
            plain.round(&sent, &got, &bench.data)?;
        } else {
            plain.round(&sent, &got, &bench.data)?;
            gateway.round(&sent, &got, &bench.data)?;
        }
    }
    ensure!(files::sha256(&sent)? == files::sha256(&got)?, "what came back is not what was sent");
    drop(bare);

    let gib = FILE_MIB as f64 / 1024.0;
    let mut rates = Vec::new();
    for server in [&mut gateway, &mut plain] {
        let (put, get) = (median(&mut server.puts), median(&mut server.gets));
        let rate = |time: Duration| FILE_MIB as f64 / time.as_secs_f64();
        let cpu = |times: &mut Vec<Duration>| median(times).as_secs_f64() / gib;
        let (put_cpu, get_cpu) = (cpu(&mut server.put_cpu), cpu(&mut server.get_cpu));
        let text = format!(
            "put {:.0} MiB/s, get {:.0} MiB/s; CPU-seconds per GiB: {put_cpu:.2}, {get_cpu:.2}",
            rate(put),
            rate(get)
        );
        let key = server.name.replace(' ', "_");
        let value = json!({"put_mib_s": rate(put), "get_mib_s": rate(get), "put_cpu_s_per_gib": put_cpu, "get_cpu_s_per_gib": get_cpu});
        figures.add(&format!("throughput_{key}"), &format!("SMB through {}", server.name), text, value);
        rates.push((rate(put), rate(get)));
    }
    let (put, get) = (rates[0].0 / rates[1].0, rates[0].1 / rates[1].1);
    figures.add(
        "throughput_ratio",
        "gateway / bare smbd",
        format!("put {put:.2}, get {get:.2}"),
        json!({"put": put, "get": get}),
    );
    bench.host(&["delete", NAME])?;
    Ok(())
}

/// A free address in the same network.
fn neighbour(address: &str) -> Result<String> {
    let (network, host) = address.rsplit_once('.').context("not an IPv4 address")?;
    Ok(format!("{network}.{}", if host == "250" { 251 } else { 250 }))
}

/// The template's own Samba in a chroot, with the gateway's configuration, users and passwords.
fn start_bare(bench: &Bench, template: &Path, address: &str) -> Result<Bare> {
    let root = bench.directory.join("bare");
    fs::create_dir(&root)?;
    succeed(
        Command::new("tar")
            .args(["-I", "zstd", "--numeric-owner", "-xpf"])
            .arg(template)
            .arg("-C")
            .arg(&root),
    )?;
    let pids = memory::processes(NAME)?;
    let init = pids.iter().min().context("the gateway does not run")?;
    let gateway = PathBuf::from(format!("/proc/{init}/root"));
    for file in ["etc/passwd", "etc/group", "etc/samba/smb.conf", "etc/hostname"] {
        fs::copy(gateway.join(file), root.join(file))
            .with_context(|| format!("copying {file} of the gateway"))?;
    }
    fs::create_dir_all(root.join("var/lib/samba/private"))?;
    for entry in fs::read_dir(gateway.join("var/lib/samba/private"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), root.join("var/lib/samba/private").join(entry.file_name()))?;
        }
    }
    for directory in
        ["proc", "dev", "run/samba", "var/log/samba", "var/cache/samba", &format!("srv/smb/{NAME}")]
    {
        fs::create_dir_all(root.join(directory))?;
    }
    succeed(Command::new("mount").args(["-t", "proc", "proc"]).arg(root.join("proc")))?;
    succeed(Command::new("mount").args(["--rbind", "/dev"]).arg(root.join("dev")))?;
    succeed(Command::new("mount").arg("--bind").arg(&bench.data).arg(root.join(format!("srv/smb/{NAME}"))))?;

    let bridge = bridge()?;
    for script in [
        "netns add bare",
        "link add bare0 type veth peer name eth0 netns bare",
        &format!("link set bare0 master {bridge} up"),
        "-n bare link set lo up",
        "-n bare link set eth0 up",
        &format!("-n bare addr add {address}/24 dev eth0"),
    ] {
        succeed(Command::new("ip").args(script.split(' ')))?;
    }
    fs::create_dir_all(GROUP)?;
    let script = "echo 0 >\"$1/cgroup.procs\"; exec ip netns exec bare chroot \"$2\" smbd --foreground --no-process-group --debug-stdout";
    let log = fs::File::create(bench.directory.join("bare.log"))?;
    let smbd = Command::new("sh")
        // smbd ends its whole process group with itself, which must not be ours
        .process_group(0)
        .args(["-c", script, "sh", GROUP])
        .arg(&root)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Bare { smbd, root })
}

/// The bridge of the gateway: the only one here.
fn bridge() -> Result<String> {
    for entry in fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        if entry.path().join("bridge").is_dir() {
            return Ok(entry.file_name().to_string_lossy().into_owned());
        }
    }
    bail!("there is no bridge")
}

fn wait_serving(client: &Client) -> Result<()> {
    let start = Instant::now();
    loop {
        let answer = client.run("ls")?;
        if answer.code == 0 {
            return Ok(());
        }
        ensure!(start.elapsed() < Duration::from_secs(20), "the bare smbd does not serve: {answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
