//! One command and the faults that it meets on a node: ours, at its steps, and Proxmox VE's, at its calls. After each, all is as
//! before.

use anyhow::{Context, Result, ensure};

use super::NodeLab;
use crate::lab::ways;
use crate::{Answer, Gateway, Snapshot};

/// A command, in a world that `gateway` is part of or not.
#[derive(Debug)]
pub struct FaultCase<'a> {
    lab: &'a NodeLab,
    args: Vec<String>,
    gateway: Option<Gateway>,
    before: Snapshot,
}

impl<'a> FaultCase<'a> {
    /// In the world as it is now.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn new(lab: &'a NodeLab, args: Vec<String>, gateway: Option<Gateway>) -> Result<Self> {
        Ok(Self { lab, args, gateway, before: lab.snapshot()? })
    }

    /// Its words.
    pub fn args(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(String::as_str)
    }

    /// The verb, as messages name it.
    pub fn verb(&self) -> &str {
        &self.args[0]
    }

    /// Labels of its steps.
    ///
    /// # Errors
    /// When it would not run.
    pub fn labels(&self) -> Result<Vec<String>> {
        let plan = self.lab.host(self.args().chain(["--dry-run"]))?.ok()?.data()?;
        let steps = plan["steps"].as_array().context("no steps")?;
        let labels: Vec<_> =
            steps.iter().filter_map(|step| step["label"].as_str()).map(str::to_owned).collect();
        eprintln!("steps of {}: {}", self.verb(), labels.join(", "));
        ensure!(!labels.is_empty(), "the plan names no steps: {plan}");
        Ok(labels)
    }

    /// Expects the world as before; a gateway that was there serves.
    ///
    /// # Errors
    /// With what differs.
    pub fn expect_before(&self, what: &str, said: &Answer) -> Result<()> {
        self.lab.expect_same(&self.before).with_context(|| format!("{what}: {said}"))?;
        if let Some(gateway) = &self.gateway {
            self.lab.round_trip(gateway, &gateway.name).with_context(|| format!("{what}: {said}"))?;
        }
        Ok(())
    }

    /// Runs it with faults of ours, from whose kind its exit code follows; after a kill, and where an undo failed, a recovery
    /// has to put things right.
    ///
    /// # Errors
    /// When it goes through, ends otherwise, or leaves something.
    pub fn faulted(&self, fault: &str) -> Result<()> {
        let start = std::time::Instant::now();
        let what = format!("{} with {fault}", self.verb());
        let answer = self.lab.host_with_fault(fault, self.args())?;
        ensure!(answer.code != 0, "{what}: it went through: {answer}");
        let code = match () {
            () if fault.contains("kill") => Some(-9),
            () if fault.contains("undo-fail") => Some(6),
            () => None,
        };
        if let Some(code) = code {
            ensure!(answer.code == code, "{what}: {code} was expected: {answer}");
            self.lab.host(["ops", "recover"])?.ok().context(what.clone())?;
        }
        self.expect_before(&what, &answer)?;
        eprintln!("{what}: {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Every fault at every of these steps (those of [`ways`], where the run is not thorough), and all of them done and undone twice.
    ///
    /// # Errors
    /// As [`Self::faulted`].
    pub fn survives(&self, labels: &[String]) -> Result<()> {
        let last = labels.last().context("no steps")?;
        for (step, label) in labels.iter().enumerate() {
            for fault in ["fail"].iter().chain(ways(step, &["kill-after", "kill-before"])) {
                self.faulted(&format!("{fault}@{label}"))?;
            }
        }
        self.faulted(&format!("double,fail@{last}"))
    }

    /// The last of these steps fails, and then the undo of each of them.
    ///
    /// # Errors
    /// As [`Self::faulted`].
    pub fn undos_survive(&self, labels: &[String]) -> Result<()> {
        let last = labels.last().context("no steps")?;
        for (step, label) in labels.iter().enumerate() {
            for fault in ways(step, &["undo-fail", "undo-kill"]) {
                self.faulted(&format!("fail@{last},{fault}@{label}"))?;
            }
        }
        Ok(())
    }

    /// Is killed after a step past which there is no return: a recovery goes on to the end, and the world is this one.
    ///
    /// # Errors
    /// When it is not.
    pub fn goes_on_after(&self, last: &str, end: &Snapshot) -> Result<()> {
        let killed = self.lab.host_with_fault(&format!("kill-after@{last}"), self.args())?;
        ensure!(killed.code == -9, "{killed}");
        self.lab.host(["ops", "recover"])?.ok()?;
        self.lab.expect_same(end)
    }

    /// Has a call of Proxmox VE meet a fault, runs the command (with a fault of ours, too, if one is given), and puts the
    /// node right as a person would. Gives the answer.
    ///
    /// # Errors
    /// When the call does not come, or a recovery fails.
    pub fn met(&self, fault: &str, call: &str, ours: Option<&str>) -> Result<Answer> {
        let what = format!("{} with {fault} at {call}", self.verb());
        let node = self.lab.node();
        node.fault(&format!("1 {fault} {call}"))?;
        let answer = match ours {
            Some(ours) => self.lab.host_with_fault(ours, self.args())?,
            None => self.lab.host(self.args())?,
        };
        ensure!(node.faults().is_empty(), "{what}: it was not met: {answer}");
        eprintln!("{what}: exit code {}", answer.code);
        node.quorum(true)?;
        self.lab.host(["ops", "recover"])?.ok().with_context(|| format!("{what}: {answer}"))?;
        Ok(answer)
    }
}

/// Words of a command line.
pub fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// What Proxmox VE can show at a call that makes something.
pub const PROXMOX_FAULTS: &[&str] = &[
    "lock-timeout",
    "storage-full",
    "quorum-before",
    "quorum-middle",
    "quorum-after",
    "warning",
    "task-error",
    "kill",
    "kill-after",
];
