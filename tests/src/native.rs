//! A node that was started by systemd, for gateways on the node itself: a container of the lab's, with a Samba of its own that
//! has a share, and the product's programs in it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smbgw_command::Command;

use crate::{Answer, Client, Gateway, Lab, files, product};

/// Name of the container.
const NODE: &str = "node";
/// Where its share is inside, on the lab's own file system.
const DATA: &str = "/srv/smb/node";
/// The product inside: beside it lies the agent's program, where the package has it.
const HOST: &str = "/usr/bin/pve-smbgateway";
const FAULTS: &str = "/usr/local/bin/pve-smbgateway-faults";
/// What the deletion of a gateway must leave as it was: configuration, accounts, what starts with the node, what runs, and
/// where programs listen. Backups of account files (`passwd-`) are not in it, nor what a gateway
/// that runs keeps in memory, nor the
/// ids that are kept for the next gateway of that name.
const LOOK: &str = "cd / && find etc run/smbgw var/lib/samba/private usr/lib/systemd/system srv -xdev \
     ! -name '*-' ! -path 'srv/smb/node/*' ! -path 'run/smbgw/*/samba/*' ! -path 'run/smbgw/*/sizes/*' -printf '%y %m %U:%G %p %l\\n' 2>/dev/null | sort; \
     find etc -xdev -type f ! -name '*-' -exec sha256sum {} + | sort -k 2; \
     systemctl list-unit-files --no-legend --no-pager | sort; \
     systemctl list-units --all --no-legend --no-pager --plain 'smb*' | awk '{print $1, $2, $3, $4}' | sort; \
     cat /proc/mounts; find /var/lib/pve-smbgateway ! -type d ! -path '*/operations*' ! -path '*/ids/*' ! -path '*/locks*' 2>/dev/null; true";

/// Ids that a container has not, and host ids that nobody has.
const FIRST_MORE: u32 = 65_536;
const MORE_IDS: u32 = 2_000_000;
const OUTSIDE: u32 = 800_000_000;
/// Where nodes say which host ids root may give to containers (subuid(5)).
const HOST_IDS: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// What root might give to containers before.
#[derive(Debug)]
pub struct HostIds([(&'static str, String); 2]);

impl HostIds {
    /// Makes it so again.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn restore(&self) -> Result<()> {
        self.0.iter().try_for_each(|(file, text)| Ok(std::fs::write(file, text)?))
    }
}

/// The node, as long as a test has it.
pub struct NativeNode {
    /// The lab that it is in.
    pub lab: Lab,
    /// The Samba that was there before.
    pub own: Gateway,
}

impl NativeNode {
    /// Makes the node.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn enter(template: &str) -> Result<Self> {
        let lab = Lab::enter(template)?;
        let own = lab.create(NODE, &["--memory", "1G", "--template", template])?;
        let node = Self { lab, own };
        let product = &node.lab.product;
        node.place(&product.program("pve-smbgateway"), HOST)?;
        node.place(&product.program("faults/pve-smbgateway"), FAULTS)?;
        node.place(&product.program("smbgw-agent"), "/usr/lib/pve-smbgateway/smbgw-agent")?;
        // users of its shares walk through it
        node.script(&format!("chmod o+rx {DATA} && mkdir -p /etc/pve-smbgateway"))?;
        Ok(node)
    }

    /// Gives the node, which is a container here, ids as any machine has them: those of a domain's accounts lie beyond a container's
    /// usual ones. Gives what takes that back.
    ///
    /// # Errors
    /// When the node does not start again.
    pub fn with_all_ids(&self) -> Result<HostIds> {
        let before = HostIds(HOST_IDS.map(|file| (file, std::fs::read_to_string(file).unwrap_or_default())));
        for (file, text) in &before.0 {
            std::fs::write(file, format!("{text}root:{OUTSIDE}:{MORE_IDS}\n"))?;
        }
        self.lab.host(["stop", NODE])?.ok()?;
        let config = format!("/var/lib/pve-smbgateway/guests/{}/config", product::container(NODE));
        let mut text = std::fs::read_to_string(&config).with_context(|| config.clone())?;
        for kind in ["u", "g"] {
            text.push_str(&format!("lxc.idmap = {kind} {FIRST_MORE} {OUTSIDE} {MORE_IDS}\n"));
        }
        std::fs::write(&config, text)?;
        self.lab.host(["start", NODE])?.ok()?;
        self.lab.wait_serving(&self.own, NODE, "alice")?;
        Ok(before)
    }

    /// Copies a program into the node, by the directory that it shares.
    fn place(&self, from: &str, to: &str) -> Result<()> {
        let name = Path::new(to).file_name().and_then(|name| name.to_str()).context("no name")?;
        std::fs::copy(from, self.own.path.join(name)).with_context(|| format!("copying {from}"))?;
        let directory = Path::new(to).parent().context("no directory")?.display();
        self.script(&format!(
            "mkdir -p {directory} && mv {DATA}/{name} {to} && chown 0:0 {to} && chmod 0755 {to}"
        ))
        .map(drop)
    }

    /// An empty directory on the node, on the lab's own file system.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn data(&self, name: &str) -> Result<String> {
        files::directory(&self.own.path.join(name), 0)?;
        let path = format!("{DATA}/{name}");
        // nothing of what the node's own share gives to its users
        let command =
            product::attach(NODE).args(["setfacl", "--remove-all", "--remove-default", "--", &path]);
        Answer::of(&command)?.ok()?;
        Ok(path)
    }

    /// Runs a script of `sh` on the node.
    ///
    /// # Errors
    /// When it fails.
    pub fn script(&self, script: &str) -> Result<String> {
        Ok(self.lab.attach(NODE, ["/bin/sh", "-c", script])?.ok()?.stdout)
    }

    /// Gives the node another address, in the network of its own.
    ///
    /// # Errors
    /// When it cannot be given.
    pub fn address(&self, last: u8) -> Result<String> {
        let network = self.own.address.rsplit_once('.').context("no address")?.0;
        let address = format!("{network}.{last}");
        self.script(&format!("ip address add {address}/24 dev eth0"))?;
        Ok(address)
    }

    fn command<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>) -> Command {
        product::attach(NODE)
            .args([program, "--output", "json"])
            .args(args)
            .deadline(Duration::from_secs(120))
    }

    /// Runs `pve-smbgateway` on the node; passwords that it asks for are the lab's.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn host<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&self.command(HOST, args))
    }

    /// The build that heeds faults, with this one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn host_with_fault<'a>(
        &self,
        fault: &str,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<Answer> {
        let fault = format!("SMBGW_FAULT={fault}");
        let command = product::attach(NODE).args(["env", &*fault, FAULTS, "--output", "json"]).args(args);
        Answer::of(&command.deadline(Duration::from_secs(120)))
    }

    /// Writes a file of root's on the node.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let script = format!("umask 077 && cat > {path}");
        let command = product::attach(NODE).args(["/bin/sh", "-c", &script]).stdin(text);
        Answer::of(&command)?.ok().map(drop)
    }

    /// A file with the lab's password, on the node.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn password_file(&self) -> Result<String> {
        let path = "/root/password";
        self.write(path, &format!("{}\n", crate::lab::PASSWORD))?;
        Ok(path.to_owned())
    }

    /// A gateway on the node, as its clients see it.
    pub fn gateway(&self, name: &str, address: &str) -> Gateway {
        Gateway { name: name.to_owned(), address: address.to_owned(), path: self.own.path.join(name) }
    }

    /// A client of a share at an address of the node.
    ///
    /// # Errors
    /// When its password file cannot be written.
    pub fn client(&self, gateway: &Gateway, share: &str, user: &str) -> Result<Client> {
        self.lab.client(gateway, share, user)
    }

    /// The Samba that was there before serves its share.
    ///
    /// # Errors
    /// When it does not.
    pub fn own_serves(&self) -> Result<()> {
        self.lab.round_trip(&self.own, NODE, "alice").context("the Samba that was there before")
    }

    /// What of the node must be as before when a gateway has gone.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn look(&self) -> Result<String> {
        self.script(LOOK)
    }

    /// Expects that nothing differs.
    ///
    /// # Errors
    /// With each line that does.
    pub fn expect_same(&self, before: &str) -> Result<()> {
        let after = self.look()?;
        let only = |these: &str, those: &str, mark: &str| -> String {
            let lines = these.lines().filter(|line| !those.lines().any(|other| other == *line));
            lines.map(|line| format!("{mark} {line}\n")).collect()
        };
        let differences = only(before, &after, "-") + &only(&after, before, "+");
        ensure!(differences.is_empty(), "the node is not what it was:\n{differences}");
        Ok(())
    }

    /// Ends the test.
    ///
    /// # Errors
    /// With what is left.
    pub fn leave(self) -> Result<()> {
        self.lab.leave()
    }
}
