//! Which share what was read and written belongs to. Pure.
//!
//! A process counts for all its shares together. What it did between two looks belongs to a share when it had that one open
//! alone in between. When it had more of them open, nothing is known of any of them: they are *spoiled*, and begin anew at zero
//! when each is alone again in all processes that have it open.
//!
//! A process writes its counters down up to a second late, so a share that was just closed counts as open for a while.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use smbgw_api::v1::{ShareFigures, Traffic};

use super::event::{Event, Process, What};
use super::tally;

/// For how long a share still counts as open, in milliseconds.
const SETTLES: u64 = tally::SETTLES.as_millis() as u64;
/// How long the word of a process' end may take, in milliseconds.
const GRACE: u64 = 2_000;

/// All that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// Since when, in seconds since 1970.
    since: i64,
    shares: BTreeMap<String, Share>,
    processes: Vec<Account>,
}

/// A share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    since: i64,
    traffic: Traffic,
    spoiled: bool,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    process: Process,
    /// Its shares, and how often each is open.
    open: BTreeMap<String, u32>,
    /// When those were closed that may still have something to come.
    closed: BTreeMap<String, u64>,
    /// Counters at the last look.
    last: Traffic,
    /// What it did in each share.
    by_share: BTreeMap<String, Traffic>,
    /// Shares of which that cannot be told.
    mixed: BTreeSet<String>,
    /// It was seen from its begin.
    whole: bool,
    /// Since when nothing is known of it but what it has open.
    unknown: Option<u64>,
    /// Last word of it.
    heard: u64,
    /// Since when it is gone without a word.
    gone: Option<u64>,
}

/// What is there now.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// In milliseconds since the boot.
    pub(super) now: u64,
    /// In seconds since 1970.
    pub(super) clock: i64,
    /// Processes that run, with their counters as far as they could be read. Read before the events were taken.
    pub(super) alive: BTreeMap<Process, Option<Traffic>>,
    /// What Samba says that each has open; asked before that.
    pub(super) open: BTreeMap<u32, BTreeSet<String>>,
}

impl Account {
    fn new(process: Process, at: u64) -> Self {
        Self {
            process,
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
            last: Traffic::default(),
            by_share: BTreeMap::new(),
            mixed: BTreeSet::new(),
            whole: true,
            unknown: None,
            heard: at,
            gone: None,
        }
    }

    /// Shares that what it does, or did just now, can belong to.
    fn candidates(&self) -> BTreeSet<String> {
        self.open.keys().chain(self.closed.keys()).cloned().collect()
    }

    fn forget(&mut self, at: u64, open: &BTreeSet<String>) {
        self.unknown = Some(at);
        self.whole = false;
        self.closed.clear();
        self.open = open.iter().map(|share| (share.clone(), 1)).collect();
    }
}

impl Ledger {
    /// One in which nothing is written.
    pub(super) fn new(clock: i64) -> Self {
        Self { since: clock, ..Self::default() }
    }

    /// Takes events in, and then what is seen.
    pub(super) fn step(&mut self, events: &[Event], look: &Look) {
        let mut heard = BTreeSet::new();
        for event in events {
            heard.insert(event.process);
            self.event(event);
        }
        self.see(look, &heard);
        self.reconcile(look, &heard);
        for account in self.processes.iter().filter(|account| account.unknown.is_some()) {
            spoil(&mut self.shares, &account.candidates());
        }
        self.begin_anew(look.clock);
    }

    /// What was done in a share; nothing when that cannot be told.
    pub(super) fn share(&self, share: &str) -> Option<ShareFigures> {
        match self.shares.get(share) {
            Some(known) if known.spoiled => None,
            Some(known) => Some(ShareFigures { since: known.since, traffic: known.traffic }),
            None => Some(ShareFigures { since: self.since, traffic: Traffic::default() }),
        }
    }

    /// What a process did in each share, as far as that can be told.
    pub(super) fn by_share(&self, process: Process) -> BTreeMap<String, Traffic> {
        let account = self.processes.iter().find(|account| account.process == process && account.whole);
        let shares = account
            .into_iter()
            .flat_map(|account| account.by_share.iter().filter(|(share, _)| !account.mixed.contains(*share)));
        shares.map(|(share, traffic)| (share.clone(), *traffic)).collect()
    }

    /// Processes that are looked after.
    pub(super) fn processes(&self) -> impl Iterator<Item = Process> {
        self.processes.iter().map(|account| account.process)
    }

    /// Forgets shares that are no longer there.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        let open: BTreeSet<String> = self.processes.iter().flat_map(Account::candidates).collect();
        self.shares.retain(|share, _| wanted(share) || open.contains(share));
    }

    fn event(&mut self, event: &Event) {
        let index = match self.processes.iter().position(|account| account.process == event.process) {
            Some(index) => index,
            // of one that is gone already
            None if matches!(event.what, What::End | What::Rest) => return,
            None => {
                let mut account = Account::new(event.process, event.at);
                // one that has done something, or closes, was opened unseen
                let begins =
                    matches!(event.what, What::Open(_)) && event.counters == Some(Traffic::default());
                if !begins {
                    account.forget(event.at, &BTreeSet::new());
                }
                self.processes.push(account);
                self.processes.len() - 1
            }
        };
        let Some(account) = self.processes.get_mut(index) else { return };
        account.heard = event.at;
        account.gone = None;
        if account.unknown.is_some() {
            account.unknown = Some(event.at);
        } else if let Some(counters) = event.counters {
            read(&mut self.shares, self.since, account, counters, event.at);
        }
        match &event.what {
            What::Open(share) => {
                *account.open.entry(share.clone()).or_default() += 1;
                account.closed.remove(share);
            }
            What::Close(share) => match account.open.get_mut(share) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) => {
                    account.open.remove(share);
                    account.closed.insert(share.clone(), event.at);
                }
                // it was opened unseen
                None if account.unknown.is_none() => {
                    let all = account.candidates().into_iter().chain([share.clone()]).collect();
                    spoil(&mut self.shares, &all);
                    let open = account.open.keys().cloned().collect();
                    account.forget(event.at, &open);
                }
                None => spoil(&mut self.shares, &BTreeSet::from([share.clone()])),
            },
            What::Rest => account.closed.retain(|_, closed| *closed > event.at),
            What::End => {
                spoil(&mut self.shares, &account.candidates());
                self.processes.remove(index);
            }
        }
    }

    /// Takes in the counters of now, and that processes have gone.
    fn see(&mut self, look: &Look, heard: &BTreeSet<Process>) {
        let Self { since, shares, processes } = self;
        processes.retain_mut(|account| {
            match look.alive.get(&account.process) {
                Some(counters) => {
                    account.gone = None;
                    if let (Some(counters), None) = (counters, account.unknown) {
                        let late = counters.since(account.last).is_none();
                        // a look before the last event may say less than that
                        if !late {
                            read(shares, *since, account, *counters, look.now);
                        } else if !heard.contains(&account.process) {
                            spoil(shares, &account.candidates());
                            account.last = *counters;
                            account.whole = false;
                        }
                    }
                    true
                }
                // it may have begun after the look
                None if heard.contains(&account.process) => true,
                None if account.candidates().is_empty() => false,
                None => {
                    let gone = *account.gone.get_or_insert(look.now);
                    let wait = look.now.saturating_sub(gone) < GRACE;
                    if !wait {
                        spoil(shares, &account.candidates());
                    }
                    wait
                }
            }
        });
    }

    /// Compares with what Samba says is open.
    fn reconcile(&mut self, look: &Look, heard: &BTreeSet<Process>) {
        let nothing = BTreeSet::new();
        for (process, counters) in &look.alive {
            // what happens just now is not seen by all alike
            if heard.contains(process) {
                continue;
            }
            let open = look.open.get(&process.pid).unwrap_or(&nothing);
            let Some(account) = self.processes.iter_mut().find(|account| account.process == *process) else {
                if !open.is_empty() {
                    let mut account = Account::new(*process, look.now);
                    account.forget(look.now, open);
                    self.processes.push(account);
                }
                continue;
            };
            let known: BTreeSet<String> = account.open.keys().cloned().collect();
            let quiet = look.now.saturating_sub(account.heard) >= SETTLES;
            match account.unknown {
                None if known.is_superset(open) => {
                    // a tree connect that failed after we were told of it
                    if quiet {
                        account.open.retain(|share, _| open.contains(share));
                    }
                }
                None => {
                    let all = account.candidates().union(open).cloned().collect();
                    spoil(&mut self.shares, &all);
                    account.forget(look.now, open);
                }
                Some(since) if known == *open => {
                    // it has written down what it did in other shares, so from here on all is known
                    if let (Some(counters), true) = (counters, look.now.saturating_sub(since) >= SETTLES) {
                        account.unknown = None;
                        account.last = *counters;
                    }
                }
                Some(_) => {
                    spoil(&mut self.shares, &known.union(open).cloned().collect());
                    account.forget(look.now, open);
                }
            }
        }
    }

    /// Spoiled shares that are alone again begin at zero.
    fn begin_anew(&mut self, clock: i64) {
        let mut together = BTreeSet::new();
        for account in &self.processes {
            let candidates = account.candidates();
            if account.unknown.is_some() || account.gone.is_some() || candidates.len() > 1 {
                together.extend(candidates);
            }
        }
        for (name, share) in &mut self.shares {
            if share.spoiled && !together.contains(name) {
                *share = Share { since: clock, traffic: Traffic::default(), spoiled: false };
            }
        }
    }
}

/// A look at a process' counters.
fn read(shares: &mut BTreeMap<String, Share>, since: i64, account: &mut Account, counters: Traffic, at: u64) {
    let Some(done) = counters.since(account.last) else { return };
    if done != Traffic::default() {
        account.last = counters;
        let candidates = account.candidates();
        if candidates.len() > 1 {
            spoil(shares, &candidates);
            account.mixed.extend(candidates);
        } else if let Some(share) = candidates.into_iter().next() {
            let entry = account.by_share.entry(share.clone()).or_default();
            *entry = *entry + done;
            let entry =
                shares.entry(share).or_insert(Share { since, traffic: Traffic::default(), spoiled: false });
            entry.traffic = entry.traffic + done;
        }
    }
    account.closed.retain(|_, closed| closed.saturating_add(SETTLES) > at);
}

/// Nothing is known of these shares for now.
fn spoil(shares: &mut BTreeMap<String, Share>, which: &BTreeSet<String>) {
    for name in which {
        let share = shares.entry(name.clone());
        share.or_insert(Share { since: 0, traffic: Traffic::default(), spoiled: true }).spoiled = true;
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
