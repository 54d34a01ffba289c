//! Who is told: syslog at once; a program of the administrator's and Proxmox VE's notifications by a thread of their own, since
//! both may take long.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use smbgw_command::{Command, Runner as _, System};

use super::{Change, Severity, Standing};
use crate::operation::audit;

/// Changes that wait to be told; more are told in syslog only.
const WAITING: usize = 64;
/// How long the program may take.
const HOOK: Duration = Duration::from_secs(30);
/// How long Proxmox VE may take to hand a message to its mail server.
const NOTIFY: Duration = Duration::from_secs(60);

/// Name of the templates, in files `NAME-subject.txt.hbs`, `NAME-body.txt.hbs` and `NAME-body.html.hbs`. Source: proxmox-notify,
/// src/renderer/mod.rs, `TemplateType::file_suffix`. Also the field `type`, by which matchers find them.
const TEMPLATE: &str = "smbgateway";

/// Sends a notification by Proxmox VE's own module, which is the only way in: there is neither a call of the API nor a program.
/// Arguments of `notify`: severity, name of the template, its data, fields to match by. Source: pve-cluster, src/PVE/Notify.pm, the
/// same in 8.4 and 9.2. They come by stdin as a JSON array.
///
/// A template that is not there is an error in the journal alone, and `notify` succeeds (proxmox-notify, src/lib.rs, `Bus::send`), so
/// this looks for itself: where the package has it, and where an administrator may have another (proxmox-notify, src/context/pve.rs,
/// `lookup_template`; since 8.4).
const SCRIPT: &str = "use strict; use warnings; use JSON::PP; use PVE::Notify; \
     local $/; my $told = decode_json(<STDIN>); my $file = \"default/$told->[1]-body.txt.hbs\"; \
     die \"there is no template $file\\n\" \
     unless grep { -e \"$_/$file\" } '/usr/share/pve-manager/templates', '/etc/pve/notification-templates'; \
     PVE::Notify::notify(@$told);";

/// Where changes go.
#[derive(Debug, Clone)]
pub struct Outlets {
    /// A program of the administrator's.
    pub hook: PathBuf,
    /// Proxmox VE's notifications.
    pub proxmox: bool,
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
    format!("{} {} of {}: {}", alert.kind.as_str(), change.word(), of(alert), alert.text)
}

/// What it is about.
fn of(alert: &Standing) -> String {
    match alert.gateway.as_str() {
        "" => "the service".to_owned(),
        gateway => format!("gateway {gateway}"),
    }
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
        && let Err(error) = System::new().run(&notification(&node_name(), change))
    {
        tracing::warn!(%error, "Proxmox VE took no notification");
    }
}

/// The node's name as Proxmox VE has it: that of the system, without its domain. Source: pve-common, src/PVE/INotify.pm, `nodename`.
fn node_name() -> String {
    let system = rustix::system::uname().nodename().to_string_lossy().into_owned();
    system.split('.').next().unwrap_or_default().to_owned()
}

/// The call of Proxmox VE. What was found out about gateways is in stdin only.
pub fn notification(node: &str, change: &Change) -> Command {
    Command::new("perl").args(["-e", SCRIPT]).stdin(told(node, change).to_string()).deadline(NOTIFY)
}

/// Arguments of `PVE::Notify::notify`.
///
/// Severities are info, notice, warning, error and unknown (proxmox-notify, src/lib.rs, `Severity`). All values of fields are strings
/// (proxmox-perl-rs, common/src/bindings/notify.rs, `send`). Each notification should have `type` and `hostname`, the node's name
/// without its domain (pve-docs, notifications.adoc, "Notification Events").
fn told(node: &str, change: &Change) -> serde_json::Value {
    let alert = change.alert();
    let severity = match (change, alert.severity) {
        (Change::Cleared(_), _) => "info",
        (_, Severity::Warning) => "warning",
        (_, Severity::Critical) => "error",
    };
    let data = serde_json::json!({
        "node": node,
        "of": of(alert),
        "gateway": alert.gateway,
        "kind": alert.kind.as_str(),
        "subject": alert.subject,
        "change": change.word(),
        "severity": alert.severity.as_str(),
        "since": alert.since,
        "text": alert.text,
    });
    let mut fields = serde_json::json!({
        "type": TEMPLATE,
        "hostname": node,
        "kind": alert.kind.as_str(),
    });
    // a matcher for any gateway is then none for the service itself
    if !alert.gateway.is_empty() {
        fields["gateway"] = alert.gateway.as_str().into();
    }
    serde_json::json!([severity, TEMPLATE, data, fields])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::alert::{Kind, Standing};

    fn standing(gateway: &str, kind: Kind, severity: Severity) -> Standing {
        Standing {
            gateway: gateway.to_owned(),
            kind,
            subject: String::new(),
            since: 1_764_000_000,
            severity,
            level: 0,
            text: "it's \"silent\"; $(reboot)\n@ARGV".to_owned(),
        }
    }

    #[test]
    fn what_proxmox_is_told() {
        let down = standing("team", Kind::Unreachable, Severity::Critical);
        let full =
            Standing { subject: "archive".to_owned(), ..standing("team", Kind::Full, Severity::Warning) };
        let lost = standing("", Kind::History, Severity::Critical);
        let changes =
            [Change::Raised(down.clone()), Change::Cleared(down), Change::Worse(full), Change::Raised(lost)];
        let told: Vec<_> = changes.iter().map(|change| told("pve1", change)).collect();
        insta::assert_snapshot!(serde_json::to_string_pretty(&told).unwrap());
    }

    #[test]
    fn arguments_are_the_same_for_every_alert() {
        let down = Change::Raised(standing("team", Kind::Unreachable, Severity::Critical));
        let lost = Change::Cleared(standing("", Kind::History, Severity::Warning));
        let command = notification("pve1", &down);
        assert_eq!(command.display(), notification("pve2", &lost).display());
        insta::assert_snapshot!(format!("{} {}", command.program(), command.arguments().join("\n")));
    }

    #[test]
    fn the_script_hands_on_what_it_gets() {
        // another PVE::Notify, and a template that is anywhere: what is tried is the script
        let stub = "BEGIN { $INC{'PVE/Notify.pm'} = 1; } package PVE::Notify; \
             sub notify { print JSON::PP->new->canonical->ascii->encode([@_]); } package main; ";
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("default")).unwrap();
        let down = Change::Raised(standing("team", Kind::Unreachable, Severity::Critical));
        let told = told("pve1", &down);
        let place = directory.path().display().to_string();
        let script = format!("{stub}{}", SCRIPT.replace("/usr/share/pve-manager/templates", &place));
        let command = Command::new("perl").args(["-e", &script]).stdin(told.to_string()).deadline(NOTIFY);
        let missing = System::new().run(&command).unwrap_err().to_string();
        assert!(missing.contains("there is no template default/smbgateway-body.txt.hbs"), "{missing}");
        std::fs::write(directory.path().join("default/smbgateway-body.txt.hbs"), "").unwrap();
        let got = System::new().run(&command).unwrap().text(&command).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&got).unwrap(), told);
    }
}
