//! Host ids for a domain's accounts: lines of root in `/etc/subuid` and `/etc/subgid` (subuid(5)).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Action;
use crate::platform::subid;
use crate::world::World;
use crate::{Error, Result, durable};

const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// Gives root a range of host ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WidenIds {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl WidenIds {
    fn line(&self) -> String {
        format!("root:{}:{}", self.first, self.count)
    }
}

impl Action for WidenIds {
    const NAME: &'static str = "host-ids";

    fn describe(&self) -> String {
        let last = u64::from(self.first) + u64::from(self.count) - 1;
        format!("give root the host ids {}-{last} in /etc/subuid and /etc/subgid", self.first)
    }

    fn perform(&self, _: &World) -> Result<()> {
        FILES.iter().try_for_each(|path| {
            edit(path, |text| {
                let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                let is_there = text.lines().any(|line| line.trim() == self.line());
                (!is_there).then(|| format!("{text}{newline}{}\n", self.line()))
            })
        })
    }

    /// Unless another gateway has come to use it meanwhile.
    fn undo(&self, world: &World) -> Result<()> {
        let uses = |record: &crate::record::Record| {
            record.guest.ids().is_ok_and(|ids| ids.domain.is_some_and(|domain| domain.outside == self.first))
        };
        // the record of this operation's own gateway goes after this step has been taken back
        if world.platform.records()?.iter().filter(|record| uses(record)).count() > 1 {
            return Ok(());
        }
        FILES.iter().try_for_each(|path| {
            edit(path, |text| {
                let rest: String = text
                    .lines()
                    .filter(|line| line.trim() != self.line())
                    .map(|line| format!("{line}\n"))
                    .collect();
                (rest != text).then_some(rest)
            })
        })
    }

    fn by_hand(&self) -> Vec<String> {
        FILES.iter().map(|path| format!("sed -i '/^{}$/d' {path}", self.line())).collect()
    }
}

fn edit(path: &str, change: impl FnOnce(&str) -> Option<String>) -> Result<()> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.map_err(|source| Error::io(format!("reading {path}"), source))?,
    };
    debug_assert!(subid::parse(&text).len() <= text.lines().count());
    match change(&text) {
        Some(new) => durable::replace(Path::new(path), 0o644, new.as_bytes()),
        None => Ok(()),
    }
}
