//! `/metrics`: all gateways, and the service itself, in Prometheus' words.

use smbgw_exposition::{Clients, Exposition};

use crate::monitor::alert::Severity;
use crate::monitor::live::Board;
use crate::monitor::sample::Look;

/// The samples.
pub fn exposition(board: &Board, clients: Clients) -> Exposition {
    let board = board.lock();
    let mut out = Exposition::default();
    for (name, live) in &board.gateways {
        out.common(&[("gateway", name), ("mode", &live.mode)]);
        let up = match &live.look {
            Look::Off => continue,
            Look::Answer(_) => 1.0,
            Look::Silent { .. } => 0.0,
        };
        out.gauge("smbgw_up", "Whether the gateway's agent answered.", &[], up);
        let help = "Time that the last answer of the agent took.";
        out.gauge("smbgw_collect_seconds", help, &[], live.took.as_secs_f64());
        if let Look::Answer(metrics) = &live.look {
            smbgw_exposition::gateway(&mut out, metrics, clients);
        }
    }
    out.common(&[]);
    let own = board.own;
    out.gauge("smbgw_monitor_gateways", "Gateways of this node.", &[], board.gateways.len() as f64);
    let help = "Time of the last round of looks.";
    out.gauge("smbgw_monitor_round_seconds", help, &[], own.round.as_secs_f64());
    let help = "Size of the history.";
    out.gauge("smbgw_monitor_database_bytes", help, &[], own.database_bytes as f64);
    let help = "Samples that could not be written.";
    out.counter("smbgw_monitor_lost_samples", help, &[], own.lost_samples as f64);
    let help = "Looks that were left out, since an answer had not come or had taken long.";
    out.counter("smbgw_monitor_skipped_looks", help, &[], own.skipped_looks as f64);
    for severity in [Severity::Warning, Severity::Critical] {
        let count = board.alerts.iter().filter(|alert| alert.severity == severity).count();
        let labels = &[("severity", severity.as_str())];
        out.gauge("smbgw_monitor_alerts", "Alerts that stand.", labels, count as f64);
    }
    out
}
