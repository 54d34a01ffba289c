//! A gateway: how fast it is there, what it costs while it does nothing, and how fast its agent answers.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use smbgw_lab::{Answer, Client, Product, files, lab, product};

use super::Figures;
use crate::{demo, say};

/// Creations.
const RUNS: usize = 9;
/// Requests to the agent.
const REQUESTS: usize = 100;
/// Requests for figures.
const FIGURES: usize = 10;
/// Longer than the agent keeps figures.
const KEPT: Duration = Duration::from_millis(1200);
/// Password of the benchmark's user.
const PASSWORD: &str = "bench-Password-1";
/// Name of gateway, share and user.
pub(super) const NAME: &str = "bench";

/// A node with the template installed.
pub(super) struct Bench {
    product: Product,
    pub(super) directory: PathBuf,
    pub(super) data: PathBuf,
    password: PathBuf,
}

impl Bench {
    pub(super) fn prepare(directory: &Path, template: &Path) -> Result<Self> {
        let product = Product::from_environment()?;
        let data = directory.join("data").join(NAME);
        files::directory(&data, 0)?;
        fs::write(data.join("first.txt"), "x")?;
        let password = directory.join("password");
        files::secret_file(&password, &format!("{PASSWORD}\n"))?;
        let bench = Self { product, directory: directory.to_owned(), data, password };
        // before anything else: the ids of containers, which the installation needs
        Answer::of(&bench.product.host().args(["doctor", "--fix"]))?;
        bench.host(&["template", "install", &template.display().to_string()])?;
        Ok(bench)
    }

    pub(super) fn host(&self, args: &[&str]) -> Result<Answer> {
        Answer::of(&self.product.host().args(["--output", "json"]).args(args.iter().copied()))?.ok()
    }

    pub(super) fn create(&self) -> Result<()> {
        let (data, password) = (self.data.display().to_string(), self.password.display().to_string());
        self.host(&[
            "create",
            NAME,
            "--path",
            &data,
            "--user",
            NAME,
            "--password-file",
            &password,
            "--grant",
        ])?;
        Ok(())
    }

    /// Creates a gateway in a virtual machine, with more arguments.
    pub(super) fn create_vm(&self, name: &str, more: &[&str]) -> Result<()> {
        let password = self.password.display().to_string();
        let args = ["create", name, "--mode", "vm", "--vm-memory", "1G", "--user", NAME, "--password-file"];
        self.host(&[&args[..], &[&password], more].concat())?;
        Ok(())
    }

    pub(super) fn address(&self) -> Result<String> {
        self.address_of(NAME)
    }

    pub(super) fn address_of(&self, name: &str) -> Result<String> {
        let status = self.host(&["status", name])?.data()?;
        lab::find_address(&status).with_context(|| format!("no address in {status}"))
    }

    pub(super) fn client_of(&self, gateway: &str, share: &str) -> Result<Client> {
        self.client_at(&self.address_of(gateway)?, share)
    }

    pub(super) fn client_at(&self, address: &str, share: &str) -> Result<Client> {
        Client::new(&self.directory, address, share, NAME, PASSWORD)
    }

    pub(super) fn client(&self, address: &str) -> Result<Client> {
        Client::new(&self.directory, address, NAME, NAME, PASSWORD)
    }
}

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result<()> {
    say::step("gateway", &format!("create to first byte, {RUNS} times"));
    let (mut creates, mut firsts, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
    let mut address = None;
    for _ in 0..RUNS {
        let start = Instant::now();
        bench.create()?;
        let created = start.elapsed();
        // the address is the same each time: asking for it is not part of what a person waits for
        let asked = Instant::now();
        let address = match &address {
            Some(known) => known,
            None => address.insert(bench.address()?),
        };
        let asked = asked.elapsed();
        let got = bench.directory.join("first");
        bench.client(address)?.get("first.txt", &got)?;
        firsts.push(start.elapsed() - asked);
        creates.push(created);
        let ((), took) = say::timed(|| bench.host(&["delete", NAME]).map(drop))?;
        deletes.push(took);
    }
    figures.times("first_byte", "create to first byte over SMB", &mut firsts);
    figures.times("create", "create alone", &mut creates);
    figures.times("delete", "delete", &mut deletes);

    bench.create()?;
    say::step("gateway", "idle memory");
    let (processes, sum) = demo::idle_memory(NAME)?;
    let text = format!(
        "{} PSS ({} anon, {} shmem) in {} processes",
        say::mib(sum.pss),
        say::mib(sum.anon),
        say::mib(sum.shmem),
        sum.count
    );
    figures.add("idle_pss_kib", "idle memory", text, json!(sum.pss));
    figures.add(
        "idle_anon_kib",
        "idle anon + shmem",
        say::mib(sum.anon + sum.shmem),
        json!(sum.anon + sum.shmem),
    );
    for (name, one) in &processes {
        let text = format!("{} ×{}", say::mib(one.pss), one.count);
        figures.add(&format!("idle_pss_kib_{name}"), &format!("  {name}"), text, json!(one.pss));
    }
    cgroup(figures);

    say::step("gateway", &format!("the agent's answers, {REQUESTS} of each, {FIGURES} with figures"));
    for path in ["/v1/health", "/v1/gateway", "/v1/sessions", "/v1/metrics"] {
        // the agent gives the same figures for a second: what is measured is how they are collected
        let (count, pause) = if path == "/v1/metrics" { (FIGURES, KEPT) } else { (REQUESTS, Duration::ZERO) };
        let asked = |_| {
            std::thread::sleep(pause);
            request(path)
        };
        let mut times = (0..count).map(asked).collect::<Result<Vec<_>>>()?;
        figures.times(&format!("agent_{}", &path[4..]), &format!("agent: GET {path}"), &mut times);
    }
    let mut smbstatus = Vec::new();
    for _ in 0..10 {
        let script = "s=$(date +%s%N); smbstatus --json >/dev/null 2>&1 || smbstatus >/dev/null 2>&1; e=$(date +%s%N); echo $((e-s))";
        let command = product::attach(NAME).args(["sh", "-c", script]);
        let nanos: u64 = Answer::of(&command)?.ok()?.stdout.trim().parse()?;
        smbstatus.push(Duration::from_nanos(nanos));
    }
    figures.times("smbstatus", "smbstatus itself, in the gateway", &mut smbstatus);
    bench.host(&["delete", NAME])?;
    Ok(())
}

/// One request over the socket, on a connection of its own, as the host makes them.
fn request(path: &str) -> Result<Duration> {
    let start = Instant::now();
    let mut stream = UnixStream::connect(format!("/var/lib/pve-smbgateway/links/{NAME}/agent.sock"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let took = start.elapsed();
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    Ok(took)
}

/// What the kernel charges the container, where the machine has the controller.
fn cgroup(figures: &mut Figures) {
    let Ok(stat) = fs::read_to_string(product::cgroup(NAME).join("memory.stat")) else {
        say::line("no memory controller in this machine's cgroup2: no charge by kind");
        return;
    };
    for field in ["anon", "shmem", "kernel", "file"] {
        let line = stat.lines().find_map(|line| line.strip_prefix(&format!("{field} ")));
        if let Some(bytes) = line.and_then(|text| text.parse::<u64>().ok()) {
            figures.add(
                &format!("cgroup_{field}_bytes"),
                &format!("  charged: {field}"),
                say::mib(bytes / 1024),
                json!(bytes),
            );
        }
    }
}
