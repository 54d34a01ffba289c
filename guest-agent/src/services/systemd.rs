//! systemd over D-Bus (org.freedesktop.systemd1(5)).
//!
//! A connection lives as long as one call: it costs about 2 ms to make, and nothing while the agent is idle.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use zbus::OwnedObjectPath;
use zbus::export::futures_core::Stream;

use super::{Job, Services};
use crate::error::{Result, internal, samba};

/// For a question; an emulated machine that boots takes more than 5 s (seen).
const ASK: Duration = Duration::from_secs(12);
/// For a job; smbd starts within a second on any machine that is not overloaded, an emulated one that starves took more than
/// 20 s to read its units (seen).
const WORK: Duration = Duration::from_secs(45);
/// For a job of a mount: its own `TimeoutSec`, and once more until systemd gives up a process that cannot be killed.
const MOUNTS: Duration = Duration::from_secs(70);
/// For a job while the machine boots: it waits in the queue for what comes before it, under emulation for minutes.
const BOOT: Duration = Duration::from_secs(240);
/// How long a machine may take from our start, which is early, to its bus: an emulated one on a busy node more than 120 s (seen).
const BOOTS: Duration = Duration::from_secs(240);
/// How long the bus may take to appear: the agent starts before it.
const BUS: Duration = Duration::from_secs(5);

/// `org.freedesktop.systemd1.Manager`, as far as it is needed.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    /// Signals are sent to those only who ask.
    fn subscribe(&self) -> zbus::Result<()>;
    /// Path of a unit's object; loads the unit if need be.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// Forgets a failure, and with it the limit on starts.
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// Reads all unit files again.
    fn reload(&self) -> zbus::Result<()>;

    /// `initializing` and `starting` until the boot has ended.
    #[zbus(property(emits_changed_signal = "false"))]
    fn system_state(&self) -> zbus::Result<String>;

    /// A job ended; `result` is `done` when all is well.
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// `org.freedesktop.systemd1.Unit`, as far as it is needed.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1",
    assume_defaults = false
)]
trait Unit {
    /// `active`, `inactive`, `activating`, `failed` ...
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
}

/// The systemd of this machine.
pub(crate) struct Systemd {
    runtime: tokio::runtime::Handle,
}

impl Systemd {
    /// Calls are made on this runtime; they must come from threads that do not drive it.
    pub(crate) fn new(runtime: tokio::runtime::Handle) -> Self {
        Self { runtime }
    }
}

impl Services for Systemd {
    fn state(&self, unit: &str) -> Result<String> {
        Ok(self.states(&[unit])?.pop().unwrap_or_default())
    }

    fn states(&self, units: &[&str]) -> Result<Vec<String>> {
        let names = units.join(", ");
        let ask = async {
            let bus = connect().await?;
            let manager = ManagerProxy::new(&bus).await?;
            let mut states = Vec::with_capacity(units.len());
            for unit in units {
                let path = manager.load_unit(unit).await?;
                states.push(UnitProxy::builder(&bus).path(path).build().await?.active_state().await?);
            }
            Ok::<_, zbus::Error>(states)
        };
        let answer = self.runtime.block_on(async { tokio::time::timeout(ASK, ask).await });
        answer
            .map_err(|_| {
                internal(format!("systemd did not tell the state of {names} within {} s", ASK.as_secs()))
            })?
            .map_err(|error| internal(format!("asking systemd for the state of {names}: {error}")))
    }

    fn run(&self, unit: &str, job: Job) -> Result<()> {
        let limit = if unit.ends_with(".mount") { MOUNTS } else { WORK };
        let result = self
            .runtime
            .block_on(in_time(limit, run(unit, job)))
            .ok_or_else(|| samba(format!("systemd's {job} of {unit} did not end in time")))?
            .map_err(|error| internal(format!("asking systemd for a {job} of {unit}: {error}")))?;
        match result.as_str() {
            "done" => Ok(()),
            other => Err(samba(format!("systemd's {job} of {unit} ended with result {other:?}"))),
        }
    }

    fn ready(&self) -> Result<()> {
        let start = tokio::time::Instant::now();
        self.runtime.block_on(async {
            loop {
                match connect().await {
                    Ok(_) => return Ok(()),
                    Err(_) if start.elapsed() < BOOTS => {}
                    Err(error) => return Err(internal(format!("the system bus does not answer: {error}"))),
                }
            }
        })
    }

    fn reload(&self) -> Result<()> {
        let work = async { ManagerProxy::new(&connect().await?).await?.reload().await };
        self.runtime
            .block_on(async { tokio::time::timeout(WORK, work).await })
            .map_err(|_| internal(format!("systemd did not read its units within {} s", WORK.as_secs())))?
            .map_err(|error| internal(format!("asking systemd to read its units: {error}")))
    }
}

/// Waits for a job: its limit, and longer as long as the machine boots.
async fn in_time<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let start = tokio::time::Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        if let Ok(result) = tokio::time::timeout(limit, &mut work).await {
            return Some(result);
        }
        if start.elapsed() >= BOOT || !boots().await {
            return None;
        }
    }
}

/// Whether the boot has not ended.
async fn boots() -> bool {
    let ask = async { ManagerProxy::new(&connect().await?).await?.system_state().await };
    let answer = tokio::time::timeout(ASK, ask).await;
    matches!(answer, Ok(Ok(state)) if matches!(state.as_str(), "initializing" | "starting"))
}

/// Connects to the system bus, as soon as there is one.
async fn connect() -> zbus::Result<zbus::Connection> {
    let start = tokio::time::Instant::now();
    loop {
        match zbus::Connection::system().await {
            Err(_) if start.elapsed() < BUS => tokio::time::sleep(Duration::from_millis(10)).await,
            other => return other,
        }
    }
}

/// Runs a job and waits for its end; gives its result.
async fn run(unit: &str, job: Job) -> zbus::Result<String> {
    let bus = connect().await?;
    let manager = ManagerProxy::new(&bus).await?;
    // the stream comes first, so that the end of a quick job is not missed
    let mut ended = manager.receive_job_removed().await?;
    manager.subscribe().await?;
    if job != Job::Reload {
        // fails when there is nothing to forget
        let _ = manager.reset_failed_unit(unit).await;
    }
    let path = match job {
        Job::Start => manager.start_unit(unit, "replace").await?,
        Job::Reload => manager.reload_unit(unit, "replace").await?,
        Job::Restart => manager.restart_unit(unit, "replace").await?,
        Job::Stop => match manager.stop_unit(unit, "replace").await {
            Err(zbus::Error::MethodError(name, ..)) if name.as_str().ends_with(".NoSuchUnit") => {
                return Ok("done".to_owned());
            }
            other => other?,
        },
    };
    while let Some(signal) = poll_fn(|context| Pin::new(&mut ended).poll_next(context)).await {
        let args = signal.args()?;
        if *args.job() == path {
            return Ok(args.result().clone());
        }
    }
    Err(zbus::Error::Failure("the bus went away".into()))
}
