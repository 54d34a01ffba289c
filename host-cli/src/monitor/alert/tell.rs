//! Who is told: syslog at once; a program of the administrator's and Proxmox VE's notifications by a thread of their own, since
//! both may take long.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use smbgw_command::{Command, Runner as _, System};

use super::{Change, Severity};
use crate::operation::audit;

/// Changes that wait to be told; more are told in syslog only.
const WAITING: usize = 64;
/// How long the program may take.
const HOOK: Duration = Duration::from_secs(30);
/// How long Proxmox VE may take to hand a message to its mail server.
const NOTIFY: Duration = Duration::from_secs(60);

/// Sends a notification by Proxmox VE's own module (PVE 8.4 and 9.2, `PVE::Notify::notify`): severity, template, its data, and fields
/// to match by. The first line of stdin is the severity, the rest the data as JSON.
const SCRIPT: &str = "use strict; use warnings; use JSON; use PVE::Notify; \
     my $severity = <STDIN>; chomp $severity; local $/; my $data = decode_json(<STDIN>); \
     PVE::Notify::notify($severity, 'smbgateway', $data, \
     { type => 'smbgateway', hostname => $data->{node}, gateway => $data->{gateway} });";

/// Where changes go.
#[derive(Debug, Clone)]
pub struct Outlets {
    /// A program of the administrator's.
    pub hook: PathBuf,
    /// Proxmox VE's notifications.
    pub proxmox: bool,
    /// Name of the node.
    pub node: String,
}

/// Tells.
#[derive(Debug)]
pub struct Teller {
    sender: SyncSender<Change>,
}

impl Teller {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be none.
    pub fn start(outlets: Outlets) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Change>(WAITING);
        std::thread::Builder::new().name("tell".into()).spawn(move || {
            for change in receiver {
                tell(&outlets, &change);
            }
        })?;
        Ok(Self { sender })
    }

    /// Tells of a change; never waits.
    pub fn tell(&self, change: Change) {
        let priority = match change.alert().severity {
            _ if matches!(change, Change::Cleared(_)) => audit::INFO,
            Severity::Warning => audit::WARNING,
            Severity::Critical => audit::CRITICAL,
        };
        audit::syslog(priority, &line(&change));
        if self.sender.try_send(change).is_err() {
            tracing::warn!("too many alerts at once: this one is in syslog only");
        }
    }
}

/// A change in a line.
pub fn line(change: &Change) -> String {
    let alert = change.alert();
    let of = if alert.gateway.is_empty() {
        "the service".to_owned()
    } else {
        format!("gateway {}", alert.gateway)
    };
    format!("{} {} of {of}: {}", alert.kind.as_str(), change.word(), alert.text)
}

fn tell(outlets: &Outlets, change: &Change) {
    let alert = change.alert();
    if outlets.hook.exists() {
        let words = [
            change.word().to_owned(),
            alert.severity.as_str().to_owned(),
            alert.gateway.clone(),
            alert.kind.as_str().to_owned(),
            alert.subject.clone(),
            alert.level.to_string(),
            alert.text.clone(),
        ];
        let hook = Command::new(outlets.hook.display().to_string()).args(words).deadline(HOOK);
        if let Err(error) = System::new().run(&hook) {
            tracing::warn!(%error, "the hook for alerts failed");
        }
    }
    if outlets.proxmox
        && let Err(error) = System::new().run(&notification(&outlets.node, change))
    {
        tracing::warn!(%error, "Proxmox VE took no notification");
    }
}

/// The call of Proxmox VE.
pub fn notification(node: &str, change: &Change) -> Command {
    let alert = change.alert();
    let severity = match (change, alert.severity) {
        (Change::Cleared(_), _) => "info",
        (_, Severity::Warning) => "warning",
        (_, Severity::Critical) => "error",
    };
    let data = serde_json::json!({
        "node": node,
        "gateway": alert.gateway,
        "kind": alert.kind.as_str(),
        "subject": alert.subject,
        "change": change.word(),
        "severity": alert.severity.as_str(),
        "text": alert.text,
    });
    Command::new("perl").args(["-e", SCRIPT]).stdin(format!("{severity}\n{data}")).deadline(NOTIFY)
}
