//! A gateway on the node itself, in a domain: with a winbindd and a Kerberos configuration of its own, beside the Samba that the node has.
//! When it goes the node is as before.

#![allow(clippy::print_stdout, reason = "a test tells what it does")]

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::domain::lab::holds;
use smbgw_lab::domain::{self, GATEWAYS_OU, JOINER, JOINER_PASSWORD};
use smbgw_lab::lab::PASSWORD;
use smbgw_lab::{Client, DomainController, Gateway, NativeNode};

/// The share's name, and the gateway's.
const NAME: &str = "files";
const JOINER_FILE: &str = "/root/joiner";

struct Domain {
    node: NativeNode,
    domain: DomainController,
    gateway: Gateway,
}

impl Domain {
    fn host(&self, line: &str) -> Result<smbgw_lab::Answer> {
        self.node.host(line.split_whitespace())
    }

    fn by_ticket(&self, user: &str) -> Result<Client> {
        Ok(Client::kerberos(&self.gateway.address, "files.lab.test", NAME, self.domain.ticket(user)?))
    }

    fn by_password(&self, user: &str) -> Result<Client> {
        let user = format!("{}\\{user}", domain::WORKGROUP);
        let scratch = self.node.lab.directory();
        let client = Client::new(scratch, &self.gateway.address, NAME, &user, PASSWORD)?;
        Ok(client.option("--use-kerberos=off"))
    }

    fn wait_healthy(&self) -> Result<Value> {
        let mut last = Value::Null;
        let healthy = || {
            last = self.host("ad status files").ok()?.data().ok()?;
            holds(&last, "healthy", &true.into()).then(|| last.clone())
        };
        let waited = wait_until(
            "the gateway to be well in its domain",
            Duration::from_secs(60),
            &Interrupt::new(),
            healthy,
        );
        waited.map_err(|error| anyhow::anyhow!("{error}: {last}"))
    }

    /// A member of the group reads and writes, whoever else does not; files belong to whom they do on every gateway.
    fn serves(&self) -> Result<()> {
        let id = self.domain.id_of("alice")?;
        for client in [self.by_ticket("alice")?, self.by_password("alice")?] {
            let owner = client.owner_of_new(&self.gateway, self.node.lab.directory(), "file.bin")?;
            ensure!(owner == id, "a file of alice, who is {id}, belongs to {owner}");
            client.run("del file.bin")?.ok()?;
        }
        self.by_ticket("bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")?;
        self.by_password("bob")?.refused("ls", "NT_STATUS_ACCESS_DENIED")
    }
}

fn beside_a_samba(template: &str) -> Result<()> {
    let node = NativeNode::enter(template)?;
    let ids = node.with_all_ids()?;
    let domain = DomainController::start(node.lab.directory())?;
    let (address, path) = (node.address(200)?, node.data(NAME)?);
    node.script(&format!(
        "printf 'search lab.test\\nnameserver {}\\n' > /etc/resolv.conf; echo '# of the node' > /etc/krb5.conf",
        domain.address()
    ))?;
    node.write(JOINER_FILE, &format!("{JOINER_PASSWORD}\n"))?;
    node.own_serves()?;
    let before = node.look()?;
    let gateway = node.gateway(NAME, &address);
    let lab = Domain { node, domain, gateway };

    let line = format!(
        "create files --mode native --path {path} --listen {address} --grant --allow LAB\\Team --ad-domain {} --ad-ou {GATEWAYS_OU} \
         --ad-user {JOINER} --ad-password-file {JOINER_FILE}",
        domain::REALM
    );
    // refused by the domain, nothing is left
    let wrong = line.replace(JOINER_FILE, "/root/wrong");
    lab.node.write("/root/wrong", "not-the-password\n")?;
    let refused_before = lab.node.look()?;
    lab.host(&wrong)?.fails("ad-wrong-password")?.exits(5)?;
    lab.node.expect_same(&refused_before)?;
    ensure!(lab.domain.computers()?.is_empty(), "an account is left in the domain");

    let start = Instant::now();
    lab.host(&line)?.ok()?;
    println!("{template}: created and joined after {:.1} s", start.elapsed().as_secs_f64());
    println!("{}", lab.wait_healthy()?);
    lab.serves()?;
    lab.node.own_serves()?;
    ensure!(lab.node.script("! id LAB\\\\alice").is_ok(), "the node itself knows users of the domain");

    // in the background, as docs/active-directory.md has it: a member that joins again is the same
    lab.node.script(&format!(
        "systemd-run --quiet --wait --pipe -p LoadCredential=joiner:{JOINER_FILE} pve-smbgateway ad join {NAME} --wait --ad-user {JOINER} \
         --ad-password-credential joiner"
    ))?;
    lab.wait_healthy()?;

    // its services come back by themselves, and with the node
    let services = "smbgw-files-smbd.service smbgw-files-winbind.service smbgw-files-agent.service";
    lab.node.script(&format!("systemctl kill --signal=KILL {services}"))?;
    lab.wait_healthy()?;
    lab.serves()?;
    lab.host("stop files")?.ok()?;
    let runs = lab.node.script("systemctl is-active smbgw-files-winbind.service || true")?;
    ensure!(runs.trim() == "inactive", "winbindd of a gateway that was stopped is {runs}");
    lab.host("start files")?.ok()?;
    lab.wait_healthy()?;
    lab.serves()?;

    lab.node.script("rm -f /root/wrong")?;
    lab.host(&format!("delete files --ad-user {JOINER} --ad-password-file {JOINER_FILE}"))?.ok()?;
    lab.node.expect_same(&before)?;
    ensure!(lab.domain.computers()?.is_empty(), "a deleted gateway is still in the domain");
    lab.node.own_serves()?;
    lab.domain.stop()?;
    ids.restore()?;
    lab.node.leave()
}

#[test]
fn in_a_domain_on_debian_13() -> Result<()> {
    beside_a_samba("debian-13")
}

#[test]
fn in_a_domain_on_debian_12() -> Result<()> {
    beside_a_samba("debian-12")
}
