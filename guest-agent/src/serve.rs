//! The service: a unix socket that only root may open.

use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::fs::Mode;
use sd_notify::NotifyState;
use smbgw_command::System;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::instance::Instance;
use crate::paths::Paths;
use crate::services::Systemd;
use crate::traffic::books::Books;
use crate::{api, apply, domain, metrics, recycle, samba};

/// Threads for work that blocks: one change and a few looks at a time.
const THREADS: usize = 4;
/// An idle thread ends soon, and its memory with it.
const KEEP: Duration = Duration::from_secs(1);
/// Stack of such a thread, in bytes.
const STACK: usize = 512 << 10;

/// A machine that boots slowly, or a virtiofsd that comes late: then putting the recorded state in force is tried again.
const AGAIN: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(60)];

/// Time between two looks at recycle bins.
const DAY: Duration = Duration::from_secs(86_400);

/// Time between two looks at what waits to be counted.
const MINUTE: Duration = Duration::from_secs(60);
/// Time between two looks for smbd's counters, until there are some.
const SOON: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn serve(socket: &Path, instance: Instance) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // journald has its own clock
        .without_time()
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .thread_keep_alive(KEEP)
        .thread_stack_size(STACK)
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(run(socket, instance));
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

async fn run(socket: &Path, instance: Instance) -> anyhow::Result<()> {
    let listener = bind(socket)?;
    let services = Box::new(Systemd::new(tokio::runtime::Handle::current()));
    let agent = Arc::new(Agent::new(Paths::system(), Box::new(System::new()), services, instance));
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let repair = Arc::clone(&agent);
    // takes its turn before the first request can, since it asks for it first
    let repair = async move {
        let work = |agent: &Agent| {
            let sid = samba::sid::at_first_boot(agent);
            // smbd waits for this (Before= in our unit), not for the rest
            notify(NotifyState::Ready);
            sid?;
            agent.services.ready()?;
            put_right(agent)
        };
        let mut repaired = repair.change(work).await;
        for pause in AGAIN {
            let Err(error) = &repaired else { break };
            tracing::error!(%error, "the state on record is not in force");
            repair.set_trouble(Some(error.to_string()));
            tokio::time::sleep(pause).await;
            if repair.trouble().is_none() {
                // somebody has applied a state meanwhile
                return;
            }
            repaired = repair.change(put_right).await;
        }
        repair.set_trouble(repaired.err().map(|error| error.to_string()));
    };
    // what failed before us is not ours to tell
    agent.logons.count(&agent.paths);
    let cleaner = Arc::clone(&agent);
    let keeper = Arc::clone(&agent);
    tokio::spawn(async move {
        // shares are mounted then
        repair.await;
        tokio::spawn(keep_books(keeper));
        loop {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
            if let Err(error) = cleaner.read(move |agent| recycle::purge::purge(agent, now)).await {
                tracing::warn!(%error, "the recycle bins were not looked at");
            }
            tokio::time::sleep(DAY).await;
        }
    });
    tokio::task::yield_now().await;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), socket = %socket.display(), "ready");
    let streams = Arc::clone(&agent);
    let stop = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        // streams have no end of their own
        streams.events.close();
        notify(NotifyState::Stopping);
        tracing::info!("stopping");
    };
    let served = axum::serve(listener, api::router(agent)).with_graceful_shutdown(stop).await;
    let removed = std::fs::remove_file(socket);
    served.context("serving")?;
    removed.with_context(|| format!("removing {}", socket.display()))
}

/// Learns how smbd counts, as soon as it does; then sees to it that what waits to be counted does not become too much.
async fn keep_books(agent: Arc<Agent>) {
    let mut learned = false;
    loop {
        if !learned {
            learned = agent.read(|agent| agent.books.learn(agent)).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "what clients read and write is not counted");
                true
            });
        }
        tokio::time::sleep(if learned { MINUTE } else { SOON }).await;
        agent.logons.count(&agent.paths);
        if Books::overflow(&agent)
            && let Err(error) = metrics::current(&agent).await
        {
            tracing::warn!(%error, "what clients read and write was not counted");
        }
    }
}

/// Puts the state on record in force, and a membership that an end cut off.
fn put_right(agent: &Agent) -> crate::error::Result<()> {
    apply::recover::recover(agent)?;
    domain::join::resume(agent)
}

/// Listens, with a socket that nobody but root can ever open. Removes what an earlier run left, if it is a socket.
fn bind(socket: &Path) -> anyhow::Result<UnixListener> {
    if let Some(directory) = socket.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("making {}", directory.display()))?;
    }
    match std::fs::symlink_metadata(socket) {
        Ok(meta) if meta.file_type().is_socket() => {
            std::fs::remove_file(socket).with_context(|| format!("removing the old {}", socket.display()))?;
        }
        Ok(_) => bail!("{} is there and no socket", socket.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("looking at {}", socket.display())),
    }
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(socket);
    rustix::process::umask(before);
    listener.with_context(|| format!("listening on {}", socket.display()))
}

/// Tells systemd, if it listens.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn the_socket_is_roots_alone_and_replaces_only_sockets() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("link/agent.sock");
        for _ in 0..2 {
            let listener = bind(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            drop(listener);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("no socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
