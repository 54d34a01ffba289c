//! `serve`

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use sd_notify::NotifyState;
use smbgw_exposition::Clients;

use super::args::ServeArgs;
use crate::monitor::alert::tell::{Outlets, Teller};
use crate::monitor::api::{self, Served, token::Token};
use crate::monitor::collect::Gateways;
use crate::monitor::live::Board;
use crate::monitor::run::{Monitor, database};
use crate::monitor::settings::Settings;
use crate::operation::Context;
use crate::{Error, Result, durable, world};

pub(super) fn run(context: &Context, args: &ServeArgs) -> Result<ExitCode> {
    let config = args.config.clone().unwrap_or_else(|| context.paths.monitor_settings());
    let settings = Settings::read(&config)?;
    let socket = context.paths.monitor_socket();
    let token = match settings.listen {
        Some(_) => {
            let file = settings.token_file.clone().unwrap_or_else(|| context.paths.monitor_token());
            Some(Token::read_or_make(&file)?)
        }
        None => None,
    };
    let board = Arc::new(Board::default());
    let clients = if settings.client_labels { Clients::Shown } else { Clients::Left };
    let directory = context.paths.figures();
    let database = database(&directory);
    let served =
        Arc::new(Served { board: Arc::clone(&board), database, clients, context: Some(context.clone()) });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(|source| Error::io("starting the runtime", source))?;
    let unix = {
        let _guard = runtime.enter();
        bind(&socket)?
    };
    let tcp = match (settings.listen, token) {
        (Some(listen), Some(token)) => {
            let bound = runtime.block_on(tokio::net::TcpListener::bind(listen)).map_err(|source| {
                Error::infrastructure("monitor-listen", format!("listening on {listen}"))
                    .hint("another program has the port: `listen` in monitor.yaml takes another")
                    .source(source)
            })?;
            Some((bound, token))
        }
        _ => None,
    };
    let outlets = Outlets {
        hook: context.paths.alert_hook(),
        proxmox: settings.alerts.notify && context.platform.name() == "pve",
    };
    let teller = Teller::start(outlets).map_err(|source| Error::io("starting a thread", source))?;
    let gateways = Gateways(context.clone());
    let now = || world::now().as_second();
    let mut monitor = Monitor::new(settings, directory, gateways, board, teller, now);
    // who asks from now on finds the history as it is after all that had to be done to it
    runtime.spawn(say(axum::serve(unix, api::router(Arc::clone(&served), None)).into_future()));
    if let Some((tcp, token)) = tcp {
        runtime.spawn(say(axum::serve(tcp, api::router(served, Some(token))).into_future()));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), socket = %socket.display(), "ready");
    notify(NotifyState::Ready);
    monitor.run(|| context.interrupt.is_set());
    notify(NotifyState::Stopping);
    let _ = std::fs::remove_file(&socket);
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// The unix socket, in a directory that is root's alone.
fn bind(socket: &Path) -> Result<tokio::net::UnixListener> {
    if UnixStream::connect(socket).is_ok() {
        return Err(Error::resource(
            "monitor-runs",
            format!("a service listens on {} already", socket.display()),
        )
        .hint("`systemctl status pve-smbgateway-monitor` says how it is"));
    }
    if let Some(directory) = socket.parent() {
        durable::make_directory(directory, 0o700)?;
    }
    durable::remove_file(socket)?;
    tokio::net::UnixListener::bind(socket)
        .map_err(|source| Error::io(format!("listening on {}", socket.display()), source))
}

/// A listener that ends has failed.
async fn say(serving: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "nobody is served any more");
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd was not told");
    }
}
