//! Host program, agent or container killed in the middle of a join: then the gateway is joined, or it is what it was.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::domain::lab::{holds, words};
use smbgw_lab::domain::{GATEWAYS_OU, REALM};
use smbgw_lab::{Answer, DomainLab, product};

/// Kills for each of the three, spread over the time that a join takes.
const MOMENTS: u32 = 8;

#[derive(Debug, Clone, Copy)]
enum Victim {
    Host,
    Agent,
    Container,
}

impl Victim {
    fn kill(self, host: &mut Child) -> Result<()> {
        match self {
            Self::Host => host.kill().context("killing the host program"),
            Self::Agent => {
                let kill = ["systemctl", "kill", "--signal=KILL", "smbgw-agent.service"];
                Answer::of(&product::attach("team").args(kill)).map(drop)
            }
            Self::Container => {
                let name = product::container("team");
                let stop = ["-P", "/var/lib/pve-smbgateway/guests", "-n", &name, "--kill"];
                Answer::of(&smbgw_command::Command::new("lxc-stop").args(stop)).map(drop)
            }
        }
    }
}

/// The gateway serves its local user, whatever became of the domain.
fn serves(lab: &DomainLab) -> Result<()> {
    let gateway = lab.gateway("team")?;
    lab.lab.wait_serving(&gateway, "team", "alice")
}

fn survives(victim: Victim) -> Result<()> {
    let lab = DomainLab::enter("debian-13")?;
    lab.lab.create("team", &["--nameserver", &lab.domain.address(), "--searchdomain", "lab.test"])?;
    let mut join = words(&["ad", "join", "team", "--ad-domain", REALM, "--ad-ou", GATEWAYS_OU]);
    join.extend(lab.leaver()?);
    let mut leave = words(&["ad", "leave", "team"]);
    leave.extend(lab.leaver()?);

    // the first one also adds ids to the container's map; all later ones are like the second
    lab.host(&join)?.ok()?;
    lab.host(&leave)?.ok()?;
    let before = lab.membership("team")?;
    let start = Instant::now();
    lab.host(&join)?.ok()?;
    let whole = start.elapsed();
    lab.host(&leave)?.ok()?;

    let mut joined = 0;
    for moment in 0..MOMENTS {
        let after = whole * moment / MOMENTS + whole / (2 * MOMENTS);
        let what = format!("{victim:?} killed after {} ms of {}", after.as_millis(), whole.as_millis());
        let mut host = Command::new(lab.lab.product.program("pve-smbgateway"))
            .args(&join)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(after);
        victim.kill(&mut host)?;
        let ended = || host.try_wait().ok().flatten();
        wait_until("the end of the host program", Duration::from_secs(120), &Interrupt::new(), ended)
            .with_context(|| what.clone())?;
        if matches!(victim, Victim::Container) {
            lab.lab.host(["start", "team"])?;
        }
        lab.lab.host(["ops", "recover"])?.ok().with_context(|| what.clone())?;
        serves(&lab).with_context(|| what.clone())?;
        // an agent that was killed is back a second later
        let status = lab.status_soon("team").with_context(|| what.clone())?;
        if holds(&status, "membership", &"joined".into()) {
            joined += 1;
            lab.wait_healthy("team").with_context(|| what.clone())?;
            lab.host(&leave)?.ok().with_context(|| what.clone())?;
        } else {
            ensure!(
                holds(&status, "membership", &"none".into()),
                "{what}: neither joined nor clean: {status}"
            );
            // without the password nobody can delete the account: the next join takes it over
            if lab.domain.computer("team")?.is_some() {
                println!("{what}: the computer account stays in the domain");
            }
        }
        let now = lab.membership("team")?;
        ensure!(now == before, "{what}: the gateway is not what it was:\n{now}\nbefore:\n{before}");
        println!("{what}: ok");
    }
    println!("{MOMENTS} kills of {victim:?}, {joined} of them when it had joined");
    lab.lab.host(["delete", "team"])?.ok()?;
    if lab.domain.computer("team")?.is_some() {
        lab.domain.samba_tool(&["computer", "delete", "team"])?;
    }
    lab.leave()
}

#[test]
#[ignore = "minutes: cargo xtask test --thorough"]
fn a_join_survives_kills_of_the_host_program() -> Result<()> {
    survives(Victim::Host)
}

#[test]
#[ignore = "minutes: cargo xtask test --thorough"]
fn a_join_survives_kills_of_the_agent() -> Result<()> {
    survives(Victim::Agent)
}

#[test]
#[ignore = "minutes: cargo xtask test --thorough"]
fn a_join_survives_kills_of_the_container() -> Result<()> {
    survives(Victim::Container)
}
