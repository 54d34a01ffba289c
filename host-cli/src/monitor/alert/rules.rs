//! What is wrong with a gateway now. Pure.

use std::time::Duration;

use smbgw_api::v1::{ClientFigures, Metrics, Operations};

use super::{Condition, Kind, Scope, Severity};
use crate::monitor::live::Live;
use crate::monitor::sample::Look;
use crate::monitor::settings::Alerts as Settings;

/// Over which time latency and failed logons are seen.
pub const WINDOW: Duration = Duration::from_secs(300);
/// Least operations for a mean that says anything.
const ENOUGH: u64 = 20;
/// Dialects that are older than all systems with support (MS-SMB2, appendix B).
const OLD: [&str; 8] = ["CORE", "COREPLUS", "LANMAN1", "LANMAN2", "NT1", "SMB2_02", "SMB2_FF", "SMB1"];

/// What is wrong, and how much of all that could be wrong was looked at.
pub fn conditions(settings: &Settings, live: &Live) -> (Scope, Vec<Condition>) {
    match &live.look {
        Look::Off => (Scope::All, Vec::new()),
        Look::Silent { message, .. } => {
            let mut found = Vec::new();
            if live.missed >= settings.missed_looks {
                found.push(condition(Kind::Unreachable, "", Severity::Critical, message.clone()));
            }
            (Scope::Only(Kind::Unreachable), found)
        }
        Look::Answer(metrics) => {
            let mut found = Vec::new();
            services(settings, metrics, &mut found);
            domain(settings, metrics, &mut found);
            quotas(settings, metrics, &mut found);
            full(settings, metrics, &mut found);
            latency(settings, live, &mut found);
            logons(settings, live, &mut found);
            weak(live, metrics, &mut found);
            (Scope::All, found)
        }
    }
}

fn condition(kind: Kind, subject: &str, severity: Severity, text: String) -> Condition {
    Condition { kind, subject: subject.to_owned(), severity, looks: 1, level: 0, text }
}

fn services(settings: &Settings, metrics: &Metrics, found: &mut Vec<Condition>) {
    for service in metrics.services.iter().filter(|service| service.state != "active") {
        let text = format!("{} is {}", service.name, service.state);
        let down = condition(Kind::ServiceDown, &service.name, Severity::Critical, text);
        // a gateway that is just being started or stopped is none that is broken
        found.push(Condition { looks: settings.missed_looks, ..down });
    }
}

fn domain(settings: &Settings, metrics: &Metrics, found: &mut Vec<Condition>) {
    let Some(domain) = &metrics.domain else { return };
    if domain.joined && domain.online && domain.faults.is_empty() {
        return;
    }
    let text = match domain.faults.as_slice() {
        [] if !domain.joined => "it is no member of its domain".to_owned(),
        [] => "no domain controller answers".to_owned(),
        faults => format!("the membership of the domain is not in order: {}", faults.join(", ")),
    };
    let unwell = condition(Kind::Domain, "", Severity::Critical, text);
    found.push(Condition { looks: settings.missed_looks, ..unwell });
}

fn quotas(settings: &Settings, metrics: &Metrics, found: &mut Vec<Condition>) {
    for quota in &metrics.quotas {
        let percent = percent(quota.limit, quota.available);
        let Some(level) = settings.quota.iter().rfind(|level| percent >= f64::from(**level)) else {
            continue;
        };
        let last = settings.quota.last() == Some(level);
        let severity = if last { Severity::Critical } else { Severity::Warning };
        let text = format!(
            "share {} is over {level} % of its quota of {} bytes: {} are left",
            quota.share, quota.limit, quota.available
        );
        let subject = quota.share.to_string();
        found.push(Condition {
            kind: Kind::Quota,
            subject,
            severity,
            looks: 1,
            level: i64::from(*level),
            text,
        });
    }
}

fn full(settings: &Settings, metrics: &Metrics, found: &mut Vec<Condition>) {
    for space in &metrics.shares {
        if percent(space.total_bytes, space.available_bytes) >= f64::from(settings.full) {
            let text = format!(
                "the file system of share {} is over {} % full: {} bytes are left",
                space.share, settings.full, space.available_bytes
            );
            found.push(condition(Kind::Full, &space.share, Severity::Critical, text));
        }
    }
}

fn percent(total: u64, available: u64) -> f64 {
    if total == 0 { 0.0 } else { total.saturating_sub(available) as f64 * 100.0 / total as f64 }
}

fn latency(settings: &Settings, live: &Live, found: &mut Vec<Condition>) {
    let traffic = live
        .recent(WINDOW)
        .filter_map(|sample| sample.traffic)
        .fold(None, |sum, traffic| Some(sum.map_or(traffic, |sum| sum + traffic)));
    let Some(traffic) = traffic else { return };
    for (word, Operations { count, time_us, .. }) in [("reads", traffic.read), ("writes", traffic.write)] {
        let mean = time_us / count.max(1) / 1000;
        if count >= ENOUGH && mean >= settings.latency_ms {
            let text = format!("{word} took {mean} ms in the file system, as a mean of {count} in 5 minutes");
            found.push(condition(Kind::Latency, word, Severity::Warning, text));
        }
    }
}

fn logons(settings: &Settings, live: &Live, found: &mut Vec<Condition>) {
    let failed: u64 = live.recent(WINDOW).filter_map(|sample| sample.failed_logons).sum();
    if failed >= settings.failed_logons {
        let text = format!("{failed} logons failed within 5 minutes");
        found.push(condition(Kind::FailedLogons, "", Severity::Warning, text));
    }
}

fn weak(live: &Live, metrics: &Metrics, found: &mut Vec<Condition>) {
    let why = |client: &ClientFigures| {
        let old = client.dialect.as_deref().filter(|dialect| OLD.contains(dialect));
        let bare = (!client.signed && !client.encrypted).then_some("neither signed nor encrypted");
        old.or(bare).map(|why| format!("{} ({why})", client.client))
    };
    let clients: Vec<String> = metrics.clients.iter().filter_map(why).collect();
    if !clients.is_empty() {
        let text =
            format!("{} clients are weak: {}", clients.len(), clients[..clients.len().min(5)].join(", "));
        found.push(condition(Kind::WeakClient, "session", Severity::Warning, text));
    }
    if live.ntlmv1_within(WINDOW) > 0 {
        let text = "a client tried to log on with NTLMv1, which is refused".to_owned();
        found.push(condition(Kind::WeakClient, "ntlmv1", Severity::Warning, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::sample::Sample;
    use smbgw_api::ShareName;
    use smbgw_api::v1::{DomainFigures, ServiceState, ShareSize, ShareSpace, Traffic};
    use std::time::Instant;

    fn live(look: Look) -> Live {
        Live::new("lxc", look, Duration::ZERO, 0, Instant::now())
    }

    fn kinds(live: &Live) -> Vec<(Kind, String, i64)> {
        let (_, found) = conditions(&Settings::default(), live);
        found.into_iter().map(|found| (found.kind, found.subject, found.level)).collect()
    }

    #[test]
    fn a_gateway_in_order_has_none() {
        let metrics = Metrics {
            services: vec![ServiceState { name: "smbd".into(), state: "active".into() }],
            domain: Some(DomainFigures { joined: true, online: true, faults: vec![], age_s: 0 }),
            clients: vec![ClientFigures {
                signed: true,
                dialect: Some("SMB3_11".into()),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert!(kinds(&live(Look::Answer(Box::new(metrics)))).is_empty());
        assert!(kinds(&live(Look::Off)).is_empty());
    }

    #[test]
    fn each_thing_that_is_wrong() {
        let share = ShareName::parse("team").unwrap();
        let metrics = Metrics {
            services: vec![ServiceState { name: "smbd".into(), state: "failed".into() }],
            domain: Some(DomainFigures { joined: true, online: false, faults: vec![], age_s: 0 }),
            clients: vec![
                ClientFigures { client: "10.0.0.9".into(), signed: false, ..Default::default() },
                ClientFigures {
                    client: "10.0.0.8".into(),
                    signed: true,
                    dialect: Some("NT1".into()),
                    ..Default::default()
                },
            ],
            quotas: vec![ShareSize { share, limit: 100, total: 100, available: 14 }],
            shares: vec![ShareSpace { share: "team".into(), total_bytes: 100, available_bytes: 5 }],
            ..Default::default()
        };
        let mut live = live(Look::Answer(Box::new(metrics)));
        let slow = Operations { count: 20, bytes: 1, time_us: 20 * 100_000 };
        let traffic = Some(Traffic { read: slow, write: Operations::default() });
        live.add(Instant::now(), Sample { traffic, failed_logons: Some(20), ..Default::default() }, 1);
        let found = kinds(&live);
        let expected = [
            (Kind::ServiceDown, "smbd", 0),
            (Kind::Domain, "", 0),
            (Kind::Quota, "team", 85),
            (Kind::Full, "team", 0),
            (Kind::Latency, "reads", 0),
            (Kind::FailedLogons, "", 0),
            (Kind::WeakClient, "session", 0),
            (Kind::WeakClient, "ntlmv1", 0),
        ];
        assert_eq!(found, expected.map(|(kind, subject, level)| (kind, subject.to_owned(), level)));
    }

    #[test]
    fn one_missed_look_is_not_yet_silence() {
        let mut live = live(Look::Silent { code: "agent-silent".into(), message: "no answer".into() });
        live.missed = 1;
        assert!(kinds(&live).is_empty());
        live.missed = 2;
        assert_eq!(kinds(&live), [(Kind::Unreachable, String::new(), 0)]);
        assert_eq!(conditions(&Settings::default(), &live).0, Scope::Only(Kind::Unreachable));
    }
}
