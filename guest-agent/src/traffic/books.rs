//! The ledger of this gateway, and what it is filled from.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use smbgw_api::v1::{ShareFigures, Traffic};
use smbgw_command::Command;

use super::event::Process;
use super::ledger::{Ledger, Look};
use super::profile::{self, Counts, Layout};
use super::spool::{self, Taken};
use crate::agent::Agent;
use crate::error::{Doing, Result, internal};
use crate::samba::status::Status;
use crate::{files, system};

/// More events than fit into this wait for nobody: they are taken (bytes).
const MANY: u64 = 256 << 10;
/// A file of counters that is shorter has nothing in it yet.
const SHORT: u64 = 168;

/// What the agent remembers between two looks.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    layout: Option<Layout>,
    /// What stood for a layout whose names could not be learned.
    refused: Option<Option<u64>>,
    page: Option<Page>,
}

/// What outlives the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    taken: Taken,
    ledger: Ledger,
}

/// What was read and written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// In all.
    pub(crate) total: Option<Traffic>,
    /// By process, and by share within it.
    pub(crate) processes: BTreeMap<u32, (Traffic, BTreeMap<String, Traffic>)>,
    /// By share.
    pub(crate) shares: BTreeMap<String, ShareFigures>,
}

impl Books {
    /// Whether there are many events that nobody has asked for.
    pub(crate) fn overflow(agent: &Agent) -> bool {
        spool::waiting(&agent.paths) > MANY
    }

    /// Asks for the names of counters, so that they are known before the first client is there.
    pub(crate) fn learn(&self, agent: &Agent) -> Result<bool> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.layout.is_none() {
            inner.learn(agent, None)?;
        }
        Ok(inner.layout.is_some())
    }

    /// Brings everything up to date, with what Samba has just said.
    pub(crate) fn update(&self, agent: &Agent, status: &Status, shares: &[String]) -> Result<Figures> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = inner.counts(agent)?;
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let mut page = match inner.page.take() {
            Some(page) => page,
            None => {
                load(agent).unwrap_or_else(|| Page { taken: Taken::default(), ledger: Ledger::new(clock) })
            }
        };
        let before = page.clone();
        let now = system::since_boot_ms();
        let alive = alive(agent, &page.ledger, counts.as_ref(), status);
        let events = spool::take(&agent.paths, &mut page.taken)?;
        page.ledger.step(&events, &Look { now, clock, alive: alive.clone(), open: status.open.clone() });
        page.ledger.keep(|share| shares.iter().any(|known| known == share));
        let mut figures = Figures::default();
        if let Some(counts) = counts {
            figures.total = Some(counts.processes.values().fold(Traffic::default(), |sum, one| sum + *one));
            for share in shares {
                figures.shares.extend(page.ledger.share(share).map(|known| (share.clone(), known)));
            }
            for (process, counters) in alive {
                figures
                    .processes
                    .insert(process.pid, (counters.unwrap_or_default(), page.ledger.by_share(process)));
            }
        }
        if page != before {
            save(agent, &page)?;
        }
        inner.page = Some(page);
        Ok(figures)
    }
}

impl Inner {
    /// What all processes have counted; nothing where Samba does not count.
    fn counts(&mut self, agent: &Agent) -> Result<Option<Counts>> {
        let Ok(file) = File::open(agent.paths.profile()) else { return Ok(None) };
        if self.layout.is_none() && self.refused.is_none() {
            self.learn(agent, None)?;
        }
        let Some(layout) = &self.layout else { return Ok(None) };
        let Some(counts) = profile::read(&file, layout) else { return Ok(None) };
        if counts.foreign && self.refused != Some(counts.magic) {
            // another version of Samba has taken over
            self.layout = None;
            self.learn(agent, counts.magic)?;
            let Some(layout) = &self.layout else { return Ok(None) };
            return Ok(profile::read(&file, layout));
        }
        if !layout.is_known() && counts.magic.is_some() && !counts.processes.is_empty() {
            let layout = layout.clone().known_by(counts.magic);
            publish(agent, &layout)?;
            self.layout = Some(layout);
        }
        Ok(Some(counts))
    }

    fn learn(&mut self, agent: &Agent, magic: Option<u64>) -> Result<()> {
        // asked too early, smbstatus would make the file itself
        if !std::fs::metadata(agent.paths.profile()).is_ok_and(|meta| meta.len() > SHORT) {
            return Ok(());
        }
        let command = Command::new("smbstatus").arg("-P");
        let doing = || "asking Samba for the names of its counters".to_owned();
        let printed = agent.runner.run(&command).and_then(|output| output.text(&command)).doing(doing)?;
        match Layout::learn(&printed) {
            Some(layout) => {
                let layout = layout.known_by(magic);
                publish(agent, &layout)?;
                (self.layout, self.refused) = (Some(layout), None);
            }
            None => self.refused = Some(magic),
        }
        Ok(())
    }
}

/// Tells [`super::tally`] where the counters are.
fn publish(agent: &Agent, layout: &Layout) -> Result<()> {
    let path = agent.paths.counters();
    let doing = || format!("writing {}", path.display());
    spool::make(&agent.paths).doing(doing)?;
    files::replace(&path, layout.render().as_bytes(), 0o600).doing(doing)
}

/// Processes that run, of those that anybody speaks of.
fn alive(
    agent: &Agent,
    ledger: &Ledger,
    counts: Option<&Counts>,
    status: &Status,
) -> BTreeMap<Process, Option<Traffic>> {
    let counted = counts.into_iter().flat_map(|counts| counts.processes.keys().copied());
    let known = ledger.processes().map(|process| process.pid);
    let pids = counted.chain(known).chain(status.open.keys().copied());
    let one = |pid: u32| {
        let process = Process { pid, start: system::start_of(&agent.paths, pid)? };
        // one that is in a whole file of counters not at all has done nothing yet
        Some((process, counts.map(|counts| counts.processes.get(&pid).copied().unwrap_or_default())))
    };
    pids.filter_map(one).collect()
}

/// What an agent before us knew; nothing when that is missing or damaged.
fn load(agent: &Agent) -> Option<Page> {
    let text = files::read_optional(&agent.paths.ledger()).ok()??;
    let page = serde_json::from_str(&text);
    if let Err(error) = &page {
        tracing::warn!(%error, "the ledger of traffic is damaged: it begins anew");
    }
    page.ok()
}

fn save(agent: &Agent, page: &Page) -> Result<()> {
    let path = agent.paths.ledger();
    let doing = || format!("writing {}", path.display());
    let text = serde_json::to_vec(page).map_err(|error| internal(format!("the ledger: {error}")))?;
    spool::make(&agent.paths).doing(doing)?;
    files::replace(&path, &text, 0o600).doing(doing)
}
