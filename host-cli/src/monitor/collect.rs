//! Asking all gateways. Each is asked in a thread of its own, so that none holds up another; one that has not answered yet is not
//! asked again; one that answers slowly is asked less often. They are asked one shortly after the other: all at once would have as
//! many programs start in the same moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use smbgw_api::GatewayName;

use super::fit::fit;
use super::sample::Look;
use crate::operation::{Context, Secrets};
use crate::platform::GuestState;
use crate::record::RecordState;
use crate::{Error, Result};

/// Stack of a thread that asks, in bytes.
const STACK: usize = 256 << 10;
/// A gateway that answers is asked at most this part of the time: on Proxmox VE a question to a virtual machine costs a second of a processor.
const SHARE: u32 = 8;
/// But at least this often.
const SELDOM: Duration = Duration::from_secs(60);
/// From one question of a round to the next, at most: an answer takes about a tenth of a second of a processor.
const APART: Duration = Duration::from_millis(250);

/// A gateway that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: GatewayName,
    /// Where it runs: lxc, vm or native.
    pub mode: String,
    /// Its shares.
    pub shares: Vec<String>,
}

/// Who can be asked.
pub trait Ask: Send + Sync + 'static {
    /// Gateways of this node.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn targets(&self) -> Result<Vec<Target>>;

    /// Looks at one; ends in bounded time.
    fn look(&self, target: &Target) -> Look;
}

/// The gateways of a platform.
pub struct Gateways(pub Context);

impl Ask for Gateways {
    fn targets(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for record in self.0.platform.records()? {
            if record.state == RecordState::Active && self.0.platform.is_here(&record)? {
                let shares = record.spec.shares.iter().map(|share| share.name.to_string()).collect();
                let (name, mode) = (record.name().clone(), record.spec.mode.to_string());
                targets.push(Target { name, mode, shares });
            }
        }
        Ok(targets)
    }

    fn look(&self, target: &Target) -> Look {
        let asked = self.0.world(Secrets::new()).agent(&target.name).and_then(|agent| agent.metrics());
        let error = match asked {
            Ok(metrics) => return Look::Answer(Box::new(fit(metrics, &target.shares))),
            Err(error) => error,
        };
        // asked only then: on each platform it costs a program
        match self.0.platform.guest_state(&target.name) {
            Ok(GuestState::Absent | GuestState::Stopped) => Look::Off,
            Ok(GuestState::Running { .. }) | Err(_) => silent(&error),
        }
    }
}

fn silent(error: &Error) -> Look {
    Look::Silent { code: error.code.to_owned(), message: error.chain() }
}

/// What came of asking one.
#[derive(Debug)]
pub struct Answered {
    /// Who.
    pub target: Target,
    /// What.
    pub look: Look,
    /// How long it took.
    pub took: Duration,
    /// When it came.
    pub seen: Instant,
}

/// Asks.
pub struct Collector<A> {
    ask: Arc<A>,
    busy: BTreeMap<GatewayName, Instant>,
    /// Who is asked in this round, and when.
    turns: VecDeque<(Instant, Target)>,
    due: BTreeMap<GatewayName, Instant>,
    skipped: u64,
    sender: Sender<Answered>,
    receiver: Receiver<Answered>,
}

impl<A: Ask> Collector<A> {
    /// Over these.
    pub fn new(ask: A) -> Self {
        let (sender, receiver) = channel();
        let (busy, turns, due) = Default::default();
        Self { ask: Arc::new(ask), busy, turns, due, skipped: 0, sender, receiver }
    }

    /// Who can be asked.
    pub fn ask(&self) -> &A {
        &self.ask
    }

    /// Begins a round of this length with all of these whose turn it is. They are asked while [`Self::next`] waits, all in the
    /// first half of it.
    pub fn start(&mut self, targets: &[Target], now: Instant, round: Duration) {
        self.due.retain(|name, _| targets.iter().any(|target| target.name == *name));
        self.skipped += self.turns.len() as u64;
        self.turns.clear();
        let apart = APART.min(round / 2 / u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1));
        let mut turn = now;
        for target in targets {
            let early = self.due.get(&target.name).is_some_and(|due| *due > now);
            if early || self.busy.contains_key(&target.name) {
                self.skipped += 1;
                continue;
            }
            self.turns.push_back((turn, target.clone()));
            turn += apart;
        }
    }

    /// Asks those whose turn has come.
    fn take_turns(&mut self) {
        let now = Instant::now();
        while self.turns.front().is_some_and(|(turn, _)| *turn <= now) {
            let Some((_, target)) = self.turns.pop_front() else { return };
            let (ask, sender) = (Arc::clone(&self.ask), self.sender.clone());
            let name = target.name.clone();
            let work = move || {
                let start = Instant::now();
                let look = ask.look(&target);
                let seen = Instant::now();
                // nobody listens any more when the service ends
                let _ = sender.send(Answered { target, look, took: seen - start, seen });
            };
            match std::thread::Builder::new().name("look".into()).stack_size(STACK).spawn(work) {
                Ok(_) => drop(self.busy.insert(name, now)),
                Err(error) => tracing::warn!(%error, gateway = %name, "no thread to look at it with"),
            }
        }
    }

    /// The next answer, if one comes in this time.
    pub fn next(&mut self, patience: Duration) -> Option<Answered> {
        let end = Instant::now() + patience;
        let answered = loop {
            self.take_turns();
            let turn = self.turns.front().map_or(end, |(turn, _)| (*turn).min(end));
            match self.receiver.recv_timeout(turn.saturating_duration_since(Instant::now())) {
                Ok(answered) => break answered,
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        };
        self.busy.remove(&answered.target.name);
        // a silence is mostly waiting, and its end is wanted soon
        let rest = match answered.look {
            Look::Answer(_) => (answered.took * SHARE).min(SELDOM),
            Look::Off | Look::Silent { .. } => Duration::ZERO,
        };
        self.due.insert(answered.target.name.clone(), answered.seen - answered.took + rest);
        Some(answered)
    }

    /// Looks that were left out, since the one before had not ended, or had taken so long.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether all have answered.
    pub fn is_idle(&self) -> bool {
        self.busy.is_empty() && self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    #[derive(Default)]
    struct Three {
        looks: AtomicU32,
        released: AtomicBool,
    }

    impl Ask for Arc<Three> {
        fn targets(&self) -> Result<Vec<Target>> {
            let target = |name: &str| Target {
                name: GatewayName::parse(name).unwrap(),
                mode: "lxc".into(),
                shares: vec![],
            };
            Ok(["hung", "a", "b"].map(target).to_vec())
        }

        fn look(&self, target: &Target) -> Look {
            if target.name.as_str() == "hung" {
                self.looks.fetch_add(1, Ordering::SeqCst);
            }
            while target.name.as_str() == "hung" && !self.released.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            Look::Answer(Box::default())
        }
    }

    #[test]
    fn a_hung_one_holds_up_nobody_and_is_not_asked_twice() {
        let three = Arc::new(Three::default());
        let mut collector = Collector::new(Arc::clone(&three));
        let targets = three.targets().unwrap();
        for _ in 0..3 {
            collector.due.clear();
            collector.start(&targets, Instant::now(), Duration::from_millis(60));
            let mut names =
                [(); 2].map(|()| collector.next(Duration::from_secs(5)).unwrap().target.name.to_string());
            names.sort();
            assert_eq!(names, ["a", "b"]);
            assert!(!collector.is_idle());
        }
        three.released.store(true, Ordering::SeqCst);
        let late = collector.next(Duration::from_secs(5)).unwrap();
        assert_eq!((late.target.name.as_str(), three.looks.load(Ordering::SeqCst)), ("hung", 1));
        assert_eq!(collector.skipped(), 2);
        assert!(collector.is_idle());
        // who was slow is left alone for a while
        collector.start(&targets[..1], late.seen, SELDOM);
        assert!(collector.is_idle());
        collector.start(&targets[..1], late.seen + SELDOM, SELDOM);
        assert!(!collector.is_idle());
    }

    #[test]
    fn they_are_asked_one_after_the_other() {
        let three = Arc::new(Three::default());
        let mut collector = Collector::new(Arc::clone(&three));
        let targets = three.targets().unwrap();
        let begun = Instant::now();
        collector.start(&targets[1..], begun, Duration::from_secs(2));
        let first = collector.next(Duration::from_secs(5)).unwrap();
        let second = collector.next(Duration::from_secs(5)).unwrap();
        assert_eq!([first.target.name.as_str(), second.target.name.as_str()], ["a", "b"]);
        assert!(second.seen - begun >= APART, "{:?}", second.seen - begun);
        assert!(collector.is_idle() && collector.next(Duration::from_millis(1)).is_none());
    }
}
