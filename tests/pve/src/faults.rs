//! What goes wrong next: `control/faults`, one line each.
//!
//! `TIMES FAULT WORDS…`: TIMES is a number or `*`; the words must all be arguments of the call, in this order, the program first.
//! A fault may have a value: `fail=TEXT` with `_` for blanks.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};

use rustix::fs::{FlockOperation, flock};

use crate::world::Node;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The guest's lock is held by somebody for too long.
    LockTimeout,
    /// No room for a volume.
    StorageFull,
    /// The quorum is lost before the call begins.
    QuorumBefore,
    /// The quorum is lost in the middle of the call.
    QuorumMiddle,
    /// The quorum is lost when the call has done its work.
    QuorumAfter,
    /// The task ends with a warning.
    Warning,
    /// The task has done its work and fails then.
    TaskError,
    /// The call is killed in the middle.
    Kill,
    /// The call is killed when what it makes is half made: its volumes are there, its configuration is not.
    KillLate,
    /// The call is killed when it has done its work, before it says so.
    KillAfter,
    /// The call never ends.
    Hang,
    /// The call does its work and never ends.
    HangAfter,
    /// The id is taken between the question for a free one and the call.
    Taken,
    /// The guest agent does not answer; at `qm start`, the guest has none.
    NoAgent,
    /// What the guest agent was told to run does not end in time.
    AgentTimeout,
    /// The call fails with these words, before it has done anything.
    Fail(String),
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Some(match name {
            "lock-timeout" => Self::LockTimeout,
            "storage-full" => Self::StorageFull,
            "quorum-before" => Self::QuorumBefore,
            "quorum-middle" => Self::QuorumMiddle,
            "quorum-after" => Self::QuorumAfter,
            "warning" => Self::Warning,
            "task-error" => Self::TaskError,
            "kill" => Self::Kill,
            "kill-late" => Self::KillLate,
            "kill-after" => Self::KillAfter,
            "hang" => Self::Hang,
            "hang-after" => Self::HangAfter,
            "taken" => Self::Taken,
            "no-agent" => Self::NoAgent,
            "agent-timeout" => Self::AgentTimeout,
            "fail" => Self::Fail(value.replace('_', " ")),
            _ => return None,
        })
    }
}

/// Takes the first fault that is meant for this call, and counts it.
pub fn take(node: &Node, argv: &[String]) -> Option<Fault> {
    let mut file = OpenOptions::new().read(true).write(true).open(node.control("faults")).ok()?;
    flock(&file, FlockOperation::LockExclusive).ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let (left, fault) = pick(&text, argv);
    fault.as_ref()?;
    rewrite(&mut file, &left).ok()?;
    fault
}

fn rewrite(file: &mut File, text: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// The lines that are left, and the fault. Pure.
fn pick(text: &str, argv: &[String]) -> (String, Option<Fault>) {
    let mut left = String::new();
    let mut taken = None;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (times, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let fault = Fault::parse(name);
        if taken.is_none() && fault.is_some() && in_order(words, argv) {
            taken = fault;
            match times.parse::<u32>() {
                Ok(0 | 1) => {}
                Ok(more) => left.push_str(&line.replacen(times, &(more - 1).to_string(), 1)),
                Err(_) => left.push_str(line),
            }
            if times != "1" {
                left.push('\n');
            }
            continue;
        }
        left.push_str(line);
        left.push('\n');
    }
    (left, taken)
}

fn in_order<'a>(words: impl Iterator<Item = &'a str>, argv: &[String]) -> bool {
    let mut rest = argv.iter();
    words.into_iter().all(|word| rest.any(|argument| argument == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn used_once_or_more() {
        let text = "1 kill pct create\n2 warning pct start 101\n* hang qm\n";
        let (left, fault) = pick(text, &argv("pct create 100 x"));
        assert_eq!((left.as_str(), fault), ("2 warning pct start 101\n* hang qm\n", Some(Fault::Kill)));
        let (left, fault) = pick(&left, &argv("pct start 101"));
        assert_eq!((left.as_str(), fault), ("1 warning pct start 101\n* hang qm\n", Some(Fault::Warning)));
        assert_eq!(pick(&left, &argv("pct start 102")), (left.clone(), None));
        assert_eq!(pick(&left, &argv("qm list")), (left.clone(), Some(Fault::Hang)));
    }
}
