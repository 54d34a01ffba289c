//! From a lock to files in the store, over HTTP.
//!
//! The client is ureq: blocking, as all of the builder is, with limits for each read (a slow line is not a stalled one), a way to
//! interrupt requests that run, and few dependencies; TLS by rustls, without OpenSSL. `curl` and `apt-helper` would do as
//! well, but not tell apart what the person has to know: a mirror that is gone, one that stalls, and a login page in its place.
//!
//! * `client`: connections, redirects, TLS · [`proxy`]: proxies of the environment and of apt · [`fault`]: what can go wrong with one package

pub mod fault;
pub mod proxy;

mod client;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use smbgw_command::{Interrupt, Runner, WaitError, wait_until};

use crate::apt;
use crate::build::megabytes;
use crate::error::Error;
use crate::lock::Package;
use crate::store::{Incoming, Store};

use client::Client;
pub use client::Limits;
pub use fault::{Failure, Fault};
use proxy::{Proxies, Settings};

/// Packages at a time. More does not help: mirrors are limited by the line.
const CONNECTIONS: usize = 4;
/// After so many failures in a row, without a package between them, the rest is not asked for.
const ENOUGH: usize = 4;
/// How often the interrupt is looked at, and progress told.
const TICK: Duration = Duration::from_millis(100);
/// For threads to tidy up after an interrupt. One that waits for a name or a connection has nothing to tidy up.
const GRACE: Duration = Duration::from_millis(500);
/// How long a mirror may be silent, if nothing else is said.
pub const STALL: Duration = Duration::from_secs(30);

/// Where packages come from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The mirror, as [`apt::address`] takes it.
    pub mirror: &'a str,
    /// Use no network.
    pub offline: bool,
    /// How long a mirror may take.
    pub limits: Limits,
}

/// What a fetch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Packages that came over the network.
    pub packages: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Brings every one of these packages into the store; without network when `offline`. `note` is told how far it is.
/// `runner` starts `apt-config`, which knows proxies.
///
/// # Errors
/// [`Error::StoreLacks`] when offline and something is missing; [`Error::PackagesGone`] when the mirror does not have some, and
/// [`Error::NotFetched`] when it gives some for other reasons not: the others are in the store then; [`Error::Proxy`],
/// [`Error::Program`], [`Error::Io`], [`Error::Interrupted`].
pub fn fetch(
    packages: &[Package],
    source: &Source<'_>,
    store: &Store,
    runner: &dyn Runner,
    interrupt: &Interrupt,
    note: &dyn Fn(&str),
) -> Result<Fetched, Error> {
    store.sweep();
    let missing: Vec<Package> =
        packages.iter().filter(|package| !store.has(&package.sha256, package.size)).cloned().collect();
    if missing.is_empty() {
        return Ok(Fetched::default());
    }
    if source.offline {
        return Err(Error::StoreLacks { names: missing.iter().map(Package::id).collect() });
    }
    let proxies = Proxies::parse(Settings::of_this_machine(source.mirror, runner)?)?;
    download(missing, source, proxies, store, interrupt, note)
}

fn download(
    mut missing: Vec<Package>,
    source: &Source<'_>,
    proxies: Proxies,
    store: &Store,
    interrupt: &Interrupt,
    note: &dyn Fn(&str),
) -> Result<Fetched, Error> {
    let whole = Fetched { packages: missing.len(), bytes: missing.iter().map(|package| package.size).sum() };
    // the big ones first, so that all connections end at about the same time
    missing.sort_by(|a, b| (b.size, &a.name).cmp(&(a.size, &b.name)));
    let connections = CONNECTIONS.min(missing.len());
    let fetching = Arc::new(Fetching {
        client: Client::new(proxies, source.limits, connections),
        limits: source.limits,
        mirror: source.mirror.to_owned(),
        store: store.clone(),
        interrupt: interrupt.clone(),
        queue: Mutex::new(missing.into()),
        received: AtomicU64::new(0),
        in_a_row: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    });
    let (sender, ended) = channel();
    // not scoped: whoever waits for a name or a connection cannot be woken, and is left behind at an interrupt
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let (fetching, sender) = (Arc::clone(&fetching), sender.clone());
            std::thread::spawn(move || fetching.work(&sender))
        })
        .collect();
    drop(sender);
    let outcomes = fetching.watch(&ended, whole, note)?;
    for thread in threads {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    outcomes.verdict(whole, source.mirror)
}

/// What all connections share.
struct Fetching {
    client: Client,
    limits: Limits,
    mirror: String,
    store: Store,
    interrupt: Interrupt,
    queue: Mutex<VecDeque<Package>>,
    /// Bytes of packages, those that are half here included.
    received: AtomicU64,
    /// Failures since a package came.
    in_a_row: AtomicUsize,
    /// Whether nothing more is to be asked for.
    stopped: AtomicBool,
}

/// How it ended with one package.
enum Ended {
    Stored,
    Failed(Failure),
    /// Nothing that the mirror can do anything about.
    Broken(Error),
}

/// Why an attempt brought no package.
enum Problem {
    Fault(Fault),
    Broken(Error),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// How it ended with all packages that were asked for.
#[derive(Default)]
struct Outcomes {
    stored: usize,
    failures: Vec<Failure>,
}

impl Fetching {
    /// Collects what the connections bring, tells progress, and heeds the interrupt.
    fn watch(&self, ended: &Receiver<Ended>, whole: Fetched, note: &dyn Fn(&str)) -> Result<Outcomes, Error> {
        let mut outcomes = Outcomes::default();
        loop {
            match ended.recv_timeout(TICK) {
                Ok(Ended::Stored) => outcomes.stored += 1,
                Ok(Ended::Failed(failure)) => outcomes.failures.push(failure),
                Ok(Ended::Broken(error)) => {
                    self.stop(ended);
                    return Err(error);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.interrupt.is_set() {
                self.stop(ended);
                return Err(Error::Interrupted);
            }
            let received = megabytes(self.received.load(Ordering::Relaxed));
            let (packages, bytes) = (whole.packages, megabytes(whole.bytes));
            note(&format!("{received:.1} of {bytes:.1} MB, {} of {packages} packages", outcomes.stored));
        }
        Ok(outcomes)
    }

    /// Ends all connections and waits, not for long, until they have tidied up.
    fn stop(&self, ended: &Receiver<Ended>) {
        self.stopped.store(true, Ordering::SeqCst);
        self.client.shut_down();
        let end = Instant::now() + GRACE;
        while !matches!(
            ended.recv_timeout(end.saturating_duration_since(Instant::now())),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)
        ) {}
    }

    /// One connection's work.
    fn work(&self, ended: &Sender<Ended>) {
        while let Some(package) = self.next() {
            let end = self.package(&package);
            match &end {
                Ended::Stored => self.in_a_row.store(0, Ordering::SeqCst),
                // a mirror that answers is no reason to stop
                Ended::Failed(Failure { fault: Fault::Gone(_), .. }) => {}
                Ended::Failed(_) if self.in_a_row.fetch_add(1, Ordering::SeqCst) + 1 < ENOUGH => {}
                Ended::Failed(_) | Ended::Broken(_) => self.stopped.store(true, Ordering::SeqCst),
            }
            if ended.send(end).is_err() {
                return;
            }
        }
    }

    fn next(&self) -> Option<Package> {
        if self.is_stopped() {
            return None;
        }
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst) || self.interrupt.is_set()
    }

    /// Asks for a package, again where that may help.
    fn package(&self, package: &Package) -> Ended {
        let first = apt::address(&self.mirror, &package.path);
        for attempt in 1.. {
            let mut address = first.clone();
            let fault = match self.attempt(package, &mut address) {
                Ok(()) => return Ended::Stored,
                Err(Problem::Broken(error)) => return Ended::Broken(error),
                Err(Problem::Fault(fault)) => fault,
            };
            let pause = self.limits.pauses.get(attempt - 1).filter(|_| attempt < fault.attempts());
            // those that run are not cut short when others have failed, but by an interrupt
            if pause.is_none_or(|pause| !self.pause(*pause)) {
                let proxy = self.client.proxy_of(&address);
                let redirected = (address != first).then_some(address);
                let package = package.id();
                return Ended::Failed(Failure {
                    package,
                    address: first,
                    redirected,
                    proxy,
                    fault,
                    attempts: attempt,
                });
            }
        }
        Ended::Broken(Error::Interrupted)
    }

    /// Waits; false when it was interrupted.
    fn pause(&self, pause: Duration) -> bool {
        // for nothing but the time
        let waited = wait_until("the next attempt", pause, &self.interrupt, || None::<()>);
        !matches!(waited, Err(WaitError::Interrupted { .. }))
    }

    fn attempt(&self, package: &Package, address: &mut String) -> Result<(), Problem> {
        let mut answer = self.client.get(address)?;
        let wrong = |detail: String, page: bool| Problem::Fault(Fault::Content { detail, page });
        let expected = package.size;
        if let Some(size) = answer.size.filter(|size| *size != expected) {
            return Err(wrong(format!("{size} bytes instead of {expected}"), answer.page));
        }
        let mut incoming = self.store.incoming()?;
        let mut counted = Counted { total: &self.received, bytes: 0 };
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = answer.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            counted.add(count as u64);
            if counted.bytes > expected {
                return Err(wrong(format!("more than the {expected} bytes it should have"), answer.page));
            }
            write(&mut incoming, &buffer[..count])?;
        }
        let received = incoming.finish();
        if received.size != expected {
            return Err(wrong(format!("{} bytes instead of {expected}", received.size), answer.page));
        }
        if received.sha256 != package.sha256 {
            let (found, expected) = (&received.sha256, &package.sha256);
            return Err(wrong(format!("its SHA-256 is {found}, and should be {expected}"), answer.page));
        }
        received.keep()?;
        counted.keep();
        Ok(())
    }
}

fn write(incoming: &mut Incoming, bytes: &[u8]) -> Result<(), Error> {
    incoming.write_all(bytes).map_err(|source| Error::Io {
        doing: "storing",
        path: incoming.path().to_owned(),
        source,
    })
}

/// The bytes of one attempt, which count for nothing if it fails.
struct Counted<'a> {
    total: &'a AtomicU64,
    bytes: u64,
}

impl Counted<'_> {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Outcomes {
    fn verdict(mut self, whole: Fetched, mirror: &str) -> Result<Fetched, Error> {
        if self.stored == whole.packages {
            return Ok(whole);
        }
        let left = whole.packages.saturating_sub(self.stored + self.failures.len());
        self.failures.sort_by(|a, b| a.package.cmp(&b.package));
        let (gone, others): (Vec<_>, Vec<_>) =
            self.failures.into_iter().partition(|failure| matches!(failure.fault, Fault::Gone(_)));
        if others.is_empty() && left == 0 {
            let names = gone.into_iter().map(|failure| failure.package).collect();
            return Err(Error::PackagesGone { names, mirror: mirror.to_owned() });
        }
        // what is wrong with the mirror first: the hint is about that
        Err(Error::NotFetched { failures: others.into_iter().chain(gone).collect(), left })
    }
}
