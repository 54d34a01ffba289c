//! What a test holds while it runs: one at a time, with the templates installed, and nothing left when it ends.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Command, Interrupt, wait_until};

use crate::{Answer, Client, Product, Snapshot, environment, files, product, qemu};

static ONE: Mutex<()> = Mutex::new(());
/// A virtual machine of little memory and one processor: emulated ones wait for each other.
pub const SMALL_MACHINE: [&str; 6] = ["--mode", "vm", "--vm-memory", "640M", "--vm-cores", "1"];
/// The password of every user of a test, but where the test is about passwords.
pub const PASSWORD: &str = "Correct-horse-7";

/// Whether every test runs (`cargo xtask test --thorough`): then a test that goes through many cases goes through all of them.
pub fn thorough() -> bool {
    std::env::args().any(|arg| arg == "--include-ignored")
}

/// Of these ways to fail at a step, all of them in a thorough run, else one, another for each step.
pub fn ways<'a>(step: usize, all: &'a [&'a str]) -> &'a [&'a str] {
    if thorough() || all.is_empty() {
        return all;
    }
    let one = step % all.len();
    &all[one..=one]
}

/// The lab, held by one test.
#[derive(Debug)]
pub struct Lab {
    /// The programs under test.
    pub product: Product,
    directory: PathBuf,
    before: Option<Snapshot>,
    _one: MutexGuard<'static, ()>,
}

/// A gateway that a test made.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// The directory it shares.
    pub path: PathBuf,
}

impl Lab {
    /// Enters the lab and installs this template, as `debian-13`.
    ///
    /// # Errors
    /// Outside the environment, and when a test before this one left something.
    pub fn enter(template: &str) -> Result<Self> {
        Self::enter_with(&format!("{template}_"), |product| product.template(template))
    }

    /// As [`Self::enter`], with the form of the template for virtual machines.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn enter_vm(template: &str) -> Result<Self> {
        Self::enter_with(&format!("{template}-vm_"), |product| product.image(template))
    }

    fn enter_with(prefix: &str, file: impl Fn(&Product) -> Result<PathBuf>) -> Result<Self> {
        let directory = environment::require()?;
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let product = Product::from_environment()?;
        let mut lab = Self { product, directory, before: None, _one: one };
        lab.sweep();
        // what users of an earlier test had is no matter of this one
        let _ = std::fs::remove_dir_all("/var/lib/pve-smbgateway/ids");
        // what a node gets once and keeps, the ids of containers, is no leftover
        lab.host(["doctor", "--fix"])?;
        if !lab.templates()?.iter().any(|name| name.starts_with(prefix)) {
            let file = file(&lab.product)?;
            lab.host(["template", "install", &file.display().to_string()])?.ok()?;
        }
        lab.before = Some(Snapshot::take(&lab.directory)?);
        Ok(lab)
    }

    /// A directory of this test's own, empty at first.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn data(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join("data").join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        files::directory(&path, 0)?;
        Ok(path)
    }

    /// The run directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs `pve-smbgateway` with `--output json`.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn host<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&self.product.host().args(["--output", "json"]).args(args))
    }

    /// Runs `pve-smbgateway` as a person does.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn host_plain<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&self.product.host().args(args))
    }

    /// Runs the build that heeds faults, with this one.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn host_with_fault<'a>(
        &self,
        fault: &str,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<Answer> {
        Answer::of(
            &self.product.host_with_faults().env("SMBGW_FAULT", fault).args(["--output", "json"]).args(args),
        )
    }

    /// Runs a tool of the machine.
    ///
    /// # Errors
    /// When it fails.
    pub fn tool<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&Command::new(program).args(args))?.ok()
    }

    /// Names of installed templates.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn templates(&self) -> Result<Vec<String>> {
        let list = self.host(["template", "list"])?.ok()?.data()?;
        Ok(strings(&list, "name"))
    }

    /// Names of the gateways.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn gateways(&self) -> Result<Vec<String>> {
        Ok(strings(&self.host(["list"])?.ok()?.data()?, "name"))
    }

    /// A file with [`PASSWORD`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn password_file(&self) -> Result<String> {
        let path = self.directory.join("password");
        files::secret_file(&path, &format!("{PASSWORD}\n"))?;
        Ok(path.display().to_string())
    }

    /// A file with [`PASSWORD`] for each of these users.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn passwords_file(&self, users: &[&str]) -> Result<String> {
        let path = self.directory.join("passwords");
        let lines: String = users.iter().map(|user| format!("{user}:{PASSWORD}\n")).collect();
        files::secret_file(&path, &lines)?;
        Ok(path.display().to_string())
    }

    /// Creates a gateway over a new directory, with user `alice`, and more arguments.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(&self, name: &str, more: &[&str]) -> Result<Gateway> {
        let path = self.data(name)?;
        let text = path.display().to_string();
        let users = more.windows(2).filter(|pair| pair[0] == "--user").map(|pair| pair[1]);
        let users: Vec<&str> = std::iter::once("alice").chain(users).collect();
        let password = if users.len() == 1 { self.password_file()? } else { self.passwords_file(&users)? };
        let args =
            ["create", name, "--path", &text, "--user", "alice", "--password-file", &password, "--grant"];
        self.host(args.into_iter().chain(more.iter().copied()))?.ok()?;
        self.gateway(name, path)
    }

    /// Creates a gateway in a [`SMALL_MACHINE`], with user `alice`, and more arguments.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create_vm(&self, name: &str, more: &[&str]) -> Result<Gateway> {
        let password = self.password_file()?;
        let args = ["create", name].into_iter().chain(SMALL_MACHINE);
        let args = args.chain(["--user", "alice", "--password-file", &password]).chain(more.iter().copied());
        self.host(args)?.ok()?;
        self.gateway(name, self.directory.join("data").join(name))
    }

    /// Runs a script of `sh` in a gateway's virtual machine, past the product.
    ///
    /// # Errors
    /// When the guest agent does not answer.
    pub fn in_guest(&self, gateway: &str, script: &str) -> Result<Answer> {
        let directory = Path::new(product::GUESTS).join(product::container(gateway));
        qemu::run_in(&directory, "/bin/sh", ["-c", script])
    }

    /// A gateway that is there.
    ///
    /// # Errors
    /// When it is not, or has no address.
    pub fn gateway(&self, name: &str, path: PathBuf) -> Result<Gateway> {
        let status = self.host(["status", name])?.ok()?.data()?;
        let address = find_address(&status).with_context(|| format!("no address in {status}"))?;
        Ok(Gateway { name: name.to_owned(), address, path })
    }

    /// A client of a gateway's share, as this user with [`PASSWORD`].
    ///
    /// # Errors
    /// When its password file cannot be written.
    pub fn client(&self, gateway: &Gateway, share: &str, user: &str) -> Result<Client> {
        Client::new(&self.directory, &gateway.address, share, user, PASSWORD)
    }

    /// Writes a file through a gateway, reads it back, and compares.
    ///
    /// # Errors
    /// When they differ or anything fails.
    pub fn round_trip(&self, gateway: &Gateway, share: &str, user: &str) -> Result<()> {
        let (sent, got) = (self.directory.join("sent"), self.directory.join("got"));
        files::random_file(&sent, 2)?;
        let _ = std::fs::remove_file(&got);
        let client = self.client(gateway, share, user)?;
        client.put(&sent, "round-trip.bin")?;
        client.get("round-trip.bin", &got)?;
        ensure!(files::sha256(&sent)? == files::sha256(&got)?, "what was read is not what was written");
        client.run("del round-trip.bin")?.ok()?;
        Ok(())
    }

    /// Waits until a share can be read again.
    ///
    /// # Errors
    /// When it cannot in the time that an emulated machine takes to boot on a busy node.
    pub fn wait_serving(&self, gateway: &Gateway, share: &str, user: &str) -> Result<()> {
        let client = self.client(gateway, share, user)?;
        wait_until(
            &format!("share {share} of {}", gateway.name),
            Duration::from_secs(600),
            &Interrupt::new(),
            || client.run("ls").ok().filter(|answer| answer.code == 0),
        )?;
        Ok(())
    }

    /// Runs a command in a gateway's container.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn attach<'a>(&self, gateway: &str, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&product::attach(gateway).args(args))
    }

    /// What differs from when the test began, as of now.
    ///
    /// # Errors
    /// With each difference.
    pub fn expect_untouched(&self) -> Result<()> {
        match &self.before {
            Some(before) => before.expect_same(&self.directory),
            None => Ok(()),
        }
    }

    /// A snapshot of now.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(&self.directory)
    }

    /// Ends the test: deletes its gateways, and expects that nothing is left.
    ///
    /// # Errors
    /// With what is left.
    pub fn leave(self) -> Result<()> {
        for name in self.gateways()? {
            self.host(["delete", &name])?.ok()?;
        }
        self.expect_untouched()
    }

    /// Removes what a failed test left, by the product where it can, by force where not, so that the next begins clean.
    fn sweep(&self) {
        let _ = self.host(["ops", "recover"]);
        for name in self.gateways().unwrap_or_default() {
            // whose domain is gone cannot leave it
            let _ = self.host(["delete", &name, "--keep-account"]);
        }
        let _ = std::fs::remove_dir_all("/var/lib/pve-smbgateway/secrets");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.sweep();
    }
}

/// The values of one field of a list of objects, wherever in `data` the list is.
pub fn strings(data: &Value, field: &str) -> Vec<String> {
    let list = data.as_array().or_else(|| data.as_object()?.values().find_map(Value::as_array));
    list.into_iter().flatten().filter_map(|item| item[field].as_str()).map(str::to_owned).collect()
}

/// The first IPv4 address of a status, without its prefix length.
pub fn find_address(status: &Value) -> Option<String> {
    match status {
        Value::String(text) => {
            let ip = text.split('/').next()?;
            ip.parse::<std::net::Ipv4Addr>().ok().filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string())
        }
        Value::Array(items) => items.iter().find_map(find_address),
        Value::Object(fields) => ["address", "ip", "addresses"]
            .iter()
            .filter_map(|name| fields.get(*name))
            .find_map(find_address)
            .or_else(|| fields.values().find_map(find_address)),
        _ => None,
    }
}
