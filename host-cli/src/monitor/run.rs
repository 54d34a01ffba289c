//! All of it together: looks, samples, alerts, history, and what is served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::alert::tell::Teller;
use super::alert::{Alerts, Condition, Kind, Scope, Severity, rules};
use super::collect::{Answered, Ask, Collector, Target};
use super::live::{Board, Live};
use super::sample::Sample;
use super::settings::Settings;
use super::store::{BUCKET, Store, StoreError};

/// How often it is looked whether the service is to end.
const ATTENTIVE: Duration = Duration::from_millis(500);
/// Time until a history that could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// How far the clock may stray from even time, in seconds, before it is said.
const STRAY: i64 = 60;
/// How long it must have gone evenly before anything is dropped for its age.
const STEADY: Duration = Duration::from_secs(3600);

/// Where the history is.
pub fn database(directory: &Path) -> PathBuf {
    directory.join("figures.db")
}

/// The clock that people set, beside one that nobody does.
#[derive(Debug, Clone, Copy)]
struct Clock {
    wall: i64,
    even: Instant,
    steady_since: Instant,
}

impl Clock {
    fn new(wall: i64, even: Instant) -> Self {
        Self { wall, even, steady_since: even }
    }

    /// Takes the time again; says by how many seconds it was set meanwhile.
    fn tick(&mut self, wall: i64, even: Instant) -> Option<i64> {
        let expected = self.wall + even.saturating_duration_since(self.even).as_secs() as i64;
        (self.wall, self.even) = (wall, even);
        let strayed = wall - expected;
        (strayed.abs() >= STRAY).then(|| {
            self.steady_since = even;
            strayed
        })
    }

    fn is_steady(&self) -> bool {
        self.even.saturating_duration_since(self.steady_since) >= STEADY
    }
}

/// The service.
pub struct Monitor<A> {
    settings: Settings,
    directory: PathBuf,
    collector: Collector<A>,
    board: Arc<Board>,
    teller: Teller,
    alerts: Alerts,
    store: Option<Store>,
    tried: Option<Instant>,
    trouble: Option<String>,
    pending: Vec<(String, Sample)>,
    targets: Vec<Target>,
    clock: Clock,
    tidied: i64,
    now: fn() -> i64,
}

impl<A: Ask> Monitor<A> {
    /// One that has looked at nothing yet. The history is below `directory`; `now` gives seconds since 1970.
    pub fn new(
        settings: Settings,
        directory: PathBuf,
        ask: A,
        board: Arc<Board>,
        teller: Teller,
        now: fn() -> i64,
    ) -> Self {
        let mut monitor = Self {
            settings,
            directory,
            collector: Collector::new(ask),
            board,
            teller,
            alerts: Alerts::default(),
            store: None,
            tried: None,
            trouble: None,
            pending: Vec::new(),
            targets: Vec::new(),
            clock: Clock::new(now(), Instant::now()),
            tidied: 0,
            now,
        };
        monitor.open();
        if let Some(store) = &monitor.store {
            match store.alerts() {
                Ok(alerts) => monitor.alerts = Alerts::restore(alerts),
                Err(error) => tracing::warn!(%error, "alerts of before are not known"),
            }
            if let Ok(Some(newest)) = store.newest()
                && newest > (monitor.now)() + STRAY
            {
                let ahead = newest - (monitor.now)();
                monitor.note(
                    None,
                    "clock",
                    &format!("the history goes {ahead} s beyond now: the clock was set back"),
                );
            }
        }
        monitor
    }

    /// Looks at all gateways again and again, until it is to end.
    pub fn run(&mut self, ends: impl Fn() -> bool) {
        while !ends() {
            let start = Instant::now();
            self.begin(start);
            let mut idle = false;
            while start.elapsed() < self.settings.interval() && !ends() {
                let left = self.settings.interval().saturating_sub(start.elapsed());
                if let Some(answered) = self.collector.next(left.min(ATTENTIVE)) {
                    self.take(answered);
                }
                if !idle && self.collector.is_idle() {
                    idle = true;
                    self.end_round(start);
                }
            }
            if !idle {
                self.end_round(start);
            }
        }
        tracing::info!("ending");
    }

    /// All have answered, or it is time for the next round: what there is is written, in one piece.
    fn end_round(&mut self, start: Instant) {
        self.board.lock().own.round = start.elapsed();
        self.flush();
    }

    /// Begins a round.
    fn begin(&mut self, start: Instant) {
        let wall = (self.now)();
        if let Some(strayed) = self.clock.tick(wall, start) {
            let word = if strayed < 0 { "back" } else { "ahead" };
            self.note(None, "clock", &format!("the clock was set {word} by {} s", strayed.abs()));
        }
        match self.collector.ask().targets() {
            Ok(targets) => {
                self.targets = targets;
                let names: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
                self.alerts.keep(&names);
                let mut board = self.board.lock();
                board.gateways.retain(|name, _| names.contains(&name.as_str()));
                board.alerts = self.alerts.standing();
            }
            // those that were there are asked on
            Err(error) => tracing::warn!(error = error.chain(), "the gateways cannot be listed"),
        }
        if self.store.is_none() && self.tried.is_none_or(|tried| tried.elapsed() >= AGAIN) {
            self.open();
        }
        if wall.div_euclid(BUCKET) != self.tidied {
            self.tidied = wall.div_euclid(BUCKET);
            self.tidy(wall);
        }
        self.collector.start(&self.targets, start, self.settings.interval());
        self.board.lock().own.skipped_looks = self.collector.skipped();
    }

    /// Takes in an answer.
    fn take(&mut self, Answered { target, look, took, seen }: Answered) {
        if !self.targets.iter().any(|known| known.name == target.name) {
            return;
        }
        let at = (self.now)();
        let name = target.name.to_string();
        let (scope, conditions) = {
            let mut board = self.board.lock();
            let live = match board.gateways.get_mut(&name) {
                Some(live) => {
                    let sample = live.look_again(look, took, at, seen);
                    self.pending.extend(sample.map(|sample| (name.clone(), sample)));
                    live
                }
                None => board.gateways.entry(name.clone()).or_insert(Live::new(
                    &target.mode,
                    look,
                    took,
                    at,
                    seen,
                )),
            };
            rules::conditions(&self.settings.alerts, live)
        };
        self.alert(&name, scope, conditions, at);
    }

    /// Says what is new of what is wrong.
    fn alert(&mut self, gateway: &str, scope: Scope, conditions: Vec<Condition>, at: i64) {
        let changes = self.alerts.update(gateway, scope, conditions, at);
        if changes.is_empty() {
            return;
        }
        self.board.lock().alerts = self.alerts.standing();
        for change in changes {
            let alert = change.alert();
            let text = match alert.subject.as_str() {
                "" => format!("{}: {}", alert.kind.as_str(), alert.text),
                subject => format!("{} {subject}: {}", alert.kind.as_str(), alert.text),
            };
            let gateway = (!gateway.is_empty()).then_some(gateway);
            let kind = format!("alert-{}", change.word());
            if let Some(store) = &mut self.store
                && let Err(error) = store.note(at, gateway, &kind, &text)
            {
                tracing::warn!(%error, "an alert is not in the history");
            }
            self.teller.tell(change);
        }
        if let Some(store) = &mut self.store
            && let Err(error) = store.keep_alerts(&self.alerts.standing())
        {
            tracing::warn!(%error, "the alerts that stand are not kept");
        }
    }

    /// Writes what was gathered.
    fn flush(&mut self) {
        let samples = std::mem::take(&mut self.pending);
        if samples.is_empty() {
            return;
        }
        let written = match &mut self.store {
            Some(store) => store.write(&samples),
            None => {
                self.lose(samples.len());
                return;
            }
        };
        match written {
            Ok(()) => self.well(),
            Err(error) => {
                self.lose(samples.len());
                self.fail(error);
            }
        }
        if let Some(Ok(bytes)) = self.store.as_ref().map(Store::bytes) {
            self.board.lock().own.database_bytes = bytes;
        }
    }

    fn tidy(&mut self, wall: i64) {
        let steady = self.clock.is_steady();
        if let Some(store) = &mut self.store
            && let Err(error) = store.tidy(wall, steady)
        {
            self.fail(error);
        }
    }

    fn lose(&mut self, count: usize) {
        self.board.lock().own.lost_samples += count as u64;
    }

    /// The history was written: if it was in trouble, that is over.
    fn well(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("the history is written again");
        }
        self.alert("", Scope::All, Vec::new(), (self.now)());
    }

    /// The history cannot be written.
    fn fail(&mut self, error: StoreError) {
        self.unwell(error_text(&error).chain());
        if matches!(error, StoreError::Damaged(_) | StoreError::Sqlite(_)) {
            // opening it again saves what can be saved
            self.store = None;
            self.tried = None;
        }
    }

    /// Opens the history, and says what was lost of it.
    fn open(&mut self) {
        self.tried = Some(Instant::now());
        let opened = crate::durable::make_directory(&self.directory, 0o700)
            .map_err(|error| error.chain())
            .and_then(|()| {
                Store::open(&database(&self.directory), &self.settings.history)
                    .map_err(|error| crate::Error::from(error).chain())
            });
        match opened {
            Ok((store, said)) => {
                self.store = Some(store);
                for line in said {
                    self.note(None, "history", &line);
                }
            }
            Err(text) => self.unwell(text),
        }
    }

    /// There is no history, or none is written: said in the log when it is new, and as an alert.
    fn unwell(&mut self, text: String) {
        if self.trouble.as_deref() != Some(&text) {
            tracing::error!(error = text, "the history is not written");
            self.trouble = Some(text.clone());
        }
        let (kind, severity) = (Kind::History, Severity::Critical);
        let condition = Condition { kind, subject: String::new(), severity, looks: 1, level: 0, text };
        self.alert("", Scope::All, vec![condition], (self.now)());
    }

    /// Notes that something happened, in the log and in the history.
    fn note(&mut self, gateway: Option<&str>, kind: &str, text: &str) {
        tracing::warn!(kind, "{text}");
        let at = (self.now)();
        if let Some(store) = &mut self.store
            && let Err(error) = store.note(at, gateway, kind, text)
        {
            tracing::warn!(%error, "that is not in the history");
        }
    }
}

/// An error whose cause cannot be moved, as one that can.
fn error_text(error: &StoreError) -> crate::Error {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    crate::Error::resource("history", text)
}
