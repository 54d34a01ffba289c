//! What the answers are.

use schemars::JsonSchema;
use serde::Serialize;
use smbgw_api::v1::Metrics;

use crate::Error;
use crate::monitor::alert::Standing;
use crate::monitor::live::Live;
use crate::monitor::sample::{Look, Sample};
use crate::monitor::store::EventRow;

/// Why there is no answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// Why.
    pub error: Problems,
}

/// What happened.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problems {
    /// Stable short code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl From<&Error> for Problems {
    fn from(error: &Error) -> Self {
        Self { code: error.code.to_owned(), message: error.chain(), hint: error.hint.clone() }
    }
}

/// How a gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its agent answers.
    Up,
    /// It does not run.
    Off,
    /// It runs, and its agent does not answer.
    Silent,
}

/// A gateway at a glance.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GatewayOverview {
    /// Its name.
    pub name: String,
    /// Where it runs: lxc, vm or native.
    pub mode: String,
    /// How it is.
    pub state: State,
    /// Why it is silent.
    pub reason: Option<String>,
    /// When it was looked at, in seconds since 1970.
    pub at: i64,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// SMB sessions.
    pub sessions: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Memory, as PSS in bytes.
    pub pss_bytes: Option<u64>,
    /// Bytes read in a second.
    pub read_bytes_per_s: Option<f64>,
    /// Bytes written in a second.
    pub write_bytes_per_s: Option<f64>,
    /// Things that are wrong, in words.
    pub problems: Vec<String>,
    /// Alerts that stand.
    pub alerts: Vec<Standing>,
}

impl GatewayOverview {
    pub(super) fn of(name: &str, live: &Live, alerts: &[Standing]) -> Self {
        let (state, reason, metrics) = match &live.look {
            Look::Answer(metrics) => (State::Up, None, Some(&**metrics)),
            Look::Off => (State::Off, None, None),
            Look::Silent { message, .. } => (State::Silent, Some(message.clone()), None),
        };
        let rates = live.newest().filter(|_| metrics.is_some()).and_then(rates);
        Self {
            name: name.to_owned(),
            mode: live.mode.clone(),
            state,
            reason,
            at: live.at,
            took_ms: live.took.as_millis() as u64,
            sessions: metrics.map(|metrics| metrics.sessions),
            open_files: metrics.map(|metrics| metrics.open_files),
            pss_bytes: metrics.map(|metrics| metrics.pss_bytes),
            read_bytes_per_s: rates.map(|(read, _)| read),
            write_bytes_per_s: rates.map(|(_, write)| write),
            problems: metrics.map(|metrics| metrics.problems.clone()).unwrap_or_default(),
            alerts: alerts.iter().filter(|alert| alert.gateway == name).cloned().collect(),
        }
    }
}

fn rates(sample: &Sample) -> Option<(f64, f64)> {
    let traffic = sample.traffic?;
    let seconds = sample.span_ms as f64 / 1000.0;
    (seconds > 0.0).then(|| (traffic.read.bytes as f64 / seconds, traffic.write.bytes as f64 / seconds))
}

/// Gateways of the node.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Overviews {
    /// By name.
    pub gateways: Vec<GatewayOverview>,
}

/// All figures of a gateway.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Figures {
    /// When it was looked at, in seconds since 1970.
    pub at: i64,
    /// What its agent said last; none when it has not answered since the service began, or is off.
    pub metrics: Option<Metrics>,
    /// Whether the last look was answered.
    pub fresh: bool,
}

impl Figures {
    pub(super) fn of(live: &Live) -> Self {
        let fresh = matches!(live.look, Look::Answer(_));
        Self { at: live.at, metrics: live.metrics().cloned(), fresh }
    }
}

/// Alerts that stand.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AlertList {
    /// By gateway.
    pub alerts: Vec<Standing>,
}

/// What happened.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventList {
    /// The newest first.
    pub events: Vec<EventRow>,
}
