//! The product on simulated Proxmox VE nodes: installed as by its package, with a template, and a way to its gateways.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Command, Interrupt, wait_until};

use super::{Call, PveNode};
use crate::lab::{PASSWORD, find_address, strings};
use crate::{Answer, Client, Gateway, Product, Snapshot, environment, files};

static ONE: Mutex<()> = Mutex::new(());
/// Where the package has the program; containers' hooks call it there.
pub(super) const PROGRAM: &str = "/usr/bin/pve-smbgateway";
/// For one run of the host command: an emulated machine that boots on a busy node takes minutes.
const DEADLINE: Duration = Duration::from_secs(900);

/// The nodes of one cluster with the product on them, held by one test.
#[derive(Debug)]
pub struct NodeLab {
    /// The nodes.
    pub nodes: Vec<PveNode>,
    product: Product,
    directory: PathBuf,
    before: Option<Snapshot>,
    _one: MutexGuard<'static, ()>,
}

impl NodeLab {
    /// A node of this version, as `9.2`, with the product and a template for containers on it.
    ///
    /// # Errors
    /// When it does not come up, or the template cannot be installed.
    pub fn enter(release: &str) -> Result<Self> {
        Self::cluster(release, &["pve1"])
    }

    /// Nodes of one cluster; the first has the template.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn cluster(release: &str, names: &[&str]) -> Result<Self> {
        Self::with(release, names, |product| product.template("debian-13"))
    }

    /// As [`Self::enter`], with the template for virtual machines.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn enter_vm(release: &str) -> Result<Self> {
        Self::with(release, &["pve1"], |product| product.image("debian-13"))
    }

    fn with(release: &str, names: &[&str], template: impl Fn(&Product) -> Result<PathBuf>) -> Result<Self> {
        let directory = environment::require()?;
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let product = Product::from_environment()?;
        let nodes = PveNode::cluster(&product, &directory, release, names)?;
        let mut lab = Self { nodes, product, directory, before: None, _one: one };
        // as people set it up who keep guests there
        let content = "content vztmpl,iso,backup,rootdir,images,import,snippets";
        lab.node().storage("dir", "local", &["path /var/lib/vz", content])?;
        // it is there for good once there was a mapping
        std::fs::write(lab.node().stored("mapping/directory.cfg"), "")?;
        let program = PathBuf::from(lab.product.program("pve-smbgateway"));
        for node in &lab.nodes {
            node.install(&program, PROGRAM)?;
            notification_templates(node, &lab.product)?;
            node.line("pvesm status")?.ok()?;
        }
        let file = template(&lab.product)?.display().to_string();
        for index in 0..lab.nodes.len() {
            // the directories that all gateways of a node have in common are no leftovers
            lab.host_on(index, ["doctor", "--fix"])?;
            lab.host_on(index, ["template", "install", &file])?.ok()?;
        }
        lab.node().forget_calls()?;
        lab.before = Some(lab.snapshot()?);
        Ok(lab)
    }

    /// The first node.
    pub fn node(&self) -> &PveNode {
        &self.nodes[0]
    }

    /// The run directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A directory of this test's own, empty at first; the same on all nodes.
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

    /// A file with [`PASSWORD`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn password_file(&self) -> Result<String> {
        let path = self.directory.join("password");
        files::secret_file(&path, &format!("{PASSWORD}\n"))?;
        Ok(path.display().to_string())
    }

    /// `pve-smbgateway --output json` on a node.
    pub fn command(&self, index: usize) -> Command {
        self.nodes[index].command(PROGRAM).args(["--output", "json"]).deadline(DEADLINE)
    }

    /// Runs it on the first node.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn host<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        self.host_on(0, args)
    }

    /// Runs it on a node.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn host_on<'a>(&self, index: usize, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&self.command(index).args(args))
    }

    /// Runs the build that heeds faults, with this one, on the first node.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn host_with_fault<'a>(
        &self,
        fault: &str,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<Answer> {
        let program = self.product.program("faults/pve-smbgateway");
        let command = self.node().command(&program).env("SMBGW_FAULT", fault).deadline(DEADLINE);
        Answer::of(&command.args(["--output", "json"]).args(args))
    }

    /// Arguments that create a gateway `name` over a new directory, with user `alice` and this address.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn create_arguments(&self, name: &str, ip: &str) -> Result<Vec<String>> {
        let path = self.data(name)?.display().to_string();
        let password = self.password_file()?;
        let args = ["create", name, "--path", &path, "--ip", ip, "--user", "alice", "--password-file"];
        Ok(args.into_iter().chain([password.as_str(), "--grant"]).map(str::to_owned).collect())
    }

    /// Creates a gateway over a new directory, with user `alice` and this address, and more arguments.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(&self, name: &str, ip: &str, more: &[&str]) -> Result<Gateway> {
        let args = self.create_arguments(name, ip)?;
        self.host(args.iter().map(String::as_str).chain(more.iter().copied()))?.ok()?;
        self.gateway(name)
    }

    /// A gateway that is there.
    ///
    /// # Errors
    /// When it is not, or has no address.
    pub fn gateway(&self, name: &str) -> Result<Gateway> {
        let status = self.host(["status", name])?.ok()?.data()?;
        let address = find_address(&status).with_context(|| format!("no address in {status}"))?;
        Ok(Gateway { name: name.to_owned(), address, path: self.directory.join("data").join(name) })
    }

    /// Names of the gateways, as a node sees them.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn gateways(&self, index: usize) -> Result<Vec<String>> {
        Ok(strings(&self.host_on(index, ["list"])?.ok()?.data()?, "name"))
    }

    /// Id of a gateway's guest, as the cluster's file has it.
    ///
    /// # Errors
    /// When it has none.
    pub fn guest_id(&self, name: &str) -> Result<u32> {
        let text = std::fs::read_to_string(self.node().stored("smbgateway.cfg"))?;
        let section = text.split("gateway: ").find(|section| section.lines().next() == Some(name));
        let id = section.and_then(|section| {
            section.lines().find_map(|line| line.trim().strip_prefix("vmid ")?.parse().ok())
        });
        id.with_context(|| format!("no id of {name} in {text}"))
    }

    /// A client of a gateway's share, as `alice`.
    ///
    /// # Errors
    /// When its password file cannot be written.
    pub fn client(&self, gateway: &Gateway, share: &str) -> Result<Client> {
        Client::new(&self.directory, &gateway.address, share, "alice", PASSWORD)
    }

    /// Writes a file through a gateway, reads it back, and compares; on the node it belongs to `alice`.
    ///
    /// # Errors
    /// When they differ or anything fails.
    pub fn round_trip(&self, gateway: &Gateway, share: &str) -> Result<()> {
        use std::os::unix::fs::MetadataExt;

        let (sent, got) = (self.directory.join("sent"), self.directory.join("got"));
        files::random_file(&sent, 2)?;
        let _ = std::fs::remove_file(&got);
        let client = self.client(gateway, share)?;
        wait_until(&format!("share {share}"), Duration::from_secs(600), &Interrupt::new(), || {
            client.run("ls").ok().filter(|answer| answer.code == 0)
        })?;
        client.put(&sent, "round-trip.bin")?;
        client.get("round-trip.bin", &got)?;
        ensure!(files::sha256(&sent)? == files::sha256(&got)?, "what was read is not what was written");
        if share == gateway.name {
            let owner = std::fs::metadata(gateway.path.join("round-trip.bin"))?.uid();
            ensure!(owner == 10_000, "on the node the file belongs to {owner}");
        }
        client.run("del round-trip.bin")?.ok().map(drop)
    }

    /// The machine and all nodes, as they are now.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.node().snapshot(&self.directory)
    }

    /// Expects that nothing has changed since then.
    ///
    /// # Errors
    /// With each thing that differs.
    pub fn expect_same(&self, before: &Snapshot) -> Result<()> {
        self.node().expect_same(before, &self.directory)
    }

    /// Program, verb and exit code of each call of Proxmox VE since they were last forgotten.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn calls(&self) -> Result<Vec<String>> {
        Ok(self.node().calls()?.iter().map(Call::verb).collect())
    }

    /// Value of `field` in `status`.
    ///
    /// # Errors
    /// When there is no status.
    pub fn status(&self, name: &str) -> Result<Value> {
        self.host(["status", name])?.ok()?.data()
    }

    /// Ends the test: deletes its gateways, and expects that nothing is left.
    ///
    /// # Errors
    /// With what is left.
    pub fn leave(self) -> Result<()> {
        for index in 0..self.nodes.len() {
            for name in self.gateways(index)? {
                let _ = self.host_on(index, ["delete", &name])?;
            }
        }
        let left = self.gateways(0)?;
        ensure!(left.is_empty(), "these gateways could not be deleted: {}", left.join(", "));
        match &self.before {
            Some(before) => self.expect_same(before),
            None => Ok(()),
        }
    }
}

/// As the package has them.
fn notification_templates(node: &PveNode, product: &Product) -> Result<()> {
    let place = node.path("/usr/share/pve-manager/templates/default");
    for entry in std::fs::read_dir(product.source.join("debian/notification-templates"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), place.join(entry.file_name()))?;
    }
    Ok(())
}
