//! What a gateway did between two answers of its agent. Pure. Text from the gateway is made fit to be shown here.

use std::collections::BTreeMap;
use std::time::Duration;

use smbgw_api::v1::{ClientFigures, Metrics, Operations, ProcessFigures, Traffic};

use crate::output::foreign;
use crate::output::view::{
    ClientRow, DomainRow, FailedLogonsRow, Figures, ProcessRow, Rate, Rates, ServiceRow, ShareRow, Totals,
};

/// Figures of a gateway; without an earlier answer, no rates are known. The time between the two is by a clock that nobody sets.
pub(super) fn figures(
    gateway: &str,
    mode: &str,
    earlier: Option<(&Metrics, Duration)>,
    now: &Metrics,
) -> Figures {
    let earlier = earlier.filter(|(_, span)| !span.is_zero());
    let traffic = earlier.and_then(|(before, span)| rates(now.traffic?.since(before.traffic?)?, span));
    let processes = now.processes.iter().map(|process| {
        let before = earlier.and_then(|(before, span)| {
            let same = before.processes.iter().find(|before| before.name == process.name)?;
            processor(same, process, span)
        });
        ProcessRow {
            name: foreign::name(&process.name),
            count: process.count,
            pss_bytes: process.pss_bytes,
            cpu_percent: before,
        }
    });
    let processes: Vec<_> = processes.collect();
    let failed_logons = now.failed_logons.map(|failed| FailedLogonsRow {
        total: failed.total,
        ntlmv1: failed.ntlmv1,
        now: earlier.and_then(|(before, _)| failed.total.checked_sub(before.failed_logons?.total)),
    });
    let names = |names: &[String]| names.iter().map(|name| foreign::name(name)).collect();
    Figures {
        gateway: gateway.to_owned(),
        mode: mode.to_owned(),
        interval_s: earlier.map(|(_, span)| span.as_secs_f64()),
        uptime_s: now.uptime_s,
        sessions: now.sessions,
        open_files: now.open_files,
        memory_pss_bytes: now.pss_bytes,
        // a process that has ended took its time with it: what is left is what is known
        cpu_percent: processes.iter().filter_map(|row| row.cpu_percent).reduce(|sum, more| sum + more),
        rates: traffic,
        totals: now.traffic.map(totals),
        shares: shares(earlier, now),
        clients: clients(earlier, now),
        processes,
        services: now
            .services
            .iter()
            .map(|service| ServiceRow {
                name: foreign::name(&service.name),
                state: foreign::name(&service.state),
            })
            .collect(),
        domain: now.domain.as_ref().map(|domain| DomainRow {
            joined: domain.joined,
            online: domain.online,
            faults: names(&domain.faults),
            age_s: domain.age_s,
        }),
        failed_logons,
        problems: now.problems.iter().map(|problem| foreign::sentence(problem)).collect(),
    }
}

fn shares(earlier: Option<(&Metrics, Duration)>, now: &Metrics) -> Vec<ShareRow> {
    let mut shares: BTreeMap<&str, ShareRow> = BTreeMap::new();
    for space in &now.shares {
        let share = shares.entry(&space.share).or_default();
        share.size_bytes = Some(space.total_bytes);
        share.used_bytes = Some(space.total_bytes.saturating_sub(space.available_bytes));
    }
    for quota in &now.quotas {
        let share = shares.entry(quota.share.as_str()).or_default();
        share.quota_bytes = Some(quota.limit);
        share.size_bytes = Some(quota.total);
        share.used_bytes = Some(quota.total.saturating_sub(quota.available));
    }
    for (name, count) in &now.tree_connects {
        shares.entry(name).or_default().tree_connects = *count;
    }
    for (name, figures) in &now.share_traffic {
        let share = shares.entry(name).or_default();
        share.counted = true;
        share.counted_since = Some(figures.since);
        share.totals = Some(totals(figures.traffic));
        share.rates = earlier.and_then(|(before, span)| {
            // another beginning, another count
            let before = before.share_traffic.get(name).filter(|before| before.since == figures.since)?;
            rates(figures.traffic.since(before.traffic)?, span)
        });
    }
    let rows = shares.into_iter().map(|(name, share)| ShareRow { share: foreign::name(name), ..share });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| busier(a.rates.as_ref(), b.rates.as_ref()).then_with(|| a.share.cmp(&b.share)));
    rows
}

/// All connections of a client as one.
#[derive(Default)]
struct Connections<'a> {
    row: ClientRow,
    traffic: Option<Traffic>,
    all: Vec<&'a ClientFigures>,
}

fn by_client(metrics: &Metrics) -> BTreeMap<&str, Connections<'_>> {
    let mut clients: BTreeMap<&str, Connections<'_>> = BTreeMap::new();
    for figures in metrics.clients.iter().take(Metrics::MAX_CLIENTS) {
        clients.entry(&figures.client).or_default().all.push(figures);
    }
    for (address, connections) in &mut clients {
        let gather = |names: &dyn Fn(&ClientFigures) -> Vec<String>| {
            let mut names: Vec<_> = connections.all.iter().flat_map(|one| names(one)).collect();
            names.sort();
            names.dedup();
            names.iter().map(|name| foreign::name(name)).collect()
        };
        connections.row = ClientRow {
            client: foreign::name(address),
            users: gather(&|one| one.users.clone()),
            shares: gather(&|one| one.shares.clone()),
            dialects: gather(&|one| one.dialect.clone().into_iter().collect()),
            sessions: connections.all.iter().fold(0, |sum, one| sum.saturating_add(one.sessions)),
            signed: connections.all.iter().all(|one| one.signed),
            encrypted: connections.all.iter().all(|one| one.encrypted),
            ..ClientRow::default()
        };
        connections.traffic = connections
            .all
            .iter()
            .map(|one| one.traffic)
            .try_fold(Traffic::default(), |sum, traffic| Some(sum + traffic?));
    }
    clients
}

fn clients(earlier: Option<(&Metrics, Duration)>, now: &Metrics) -> Vec<ClientRow> {
    let before = earlier.map(|(before, span)| {
        // one that was left out is not new
        let complete = before.clients.len() < Metrics::MAX_CLIENTS;
        (by_client(before), complete, span)
    });
    let rows = by_client(now).into_iter().map(|(address, connections)| {
        let rates = before.as_ref().and_then(|(before, complete, span)| {
            let traffic = connections.traffic?;
            match before.get(address) {
                Some(before) => rates(traffic.since(before.traffic?)?, *span),
                None if *complete => rates(traffic, *span),
                None => None,
            }
        });
        ClientRow { rates, totals: connections.traffic.map(totals), ..connections.row }
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| busier(a.rates.as_ref(), b.rates.as_ref()).then_with(|| a.client.cmp(&b.client)));
    rows
}

/// The one with more bytes comes first, and one of which nothing is known last.
pub(super) fn busier(a: Option<&Rates>, b: Option<&Rates>) -> std::cmp::Ordering {
    let bytes = |rates: Option<&Rates>| rates.map_or(-1.0, Rates::bytes_per_s);
    bytes(b).total_cmp(&bytes(a))
}

fn rates(traffic: Traffic, span: Duration) -> Option<Rates> {
    let seconds = span.as_secs_f64();
    let rate = |operations: Operations| Rate {
        bytes_per_s: operations.bytes as f64 / seconds,
        operations_per_s: operations.count as f64 / seconds,
        latency_us: (operations.count > 0).then(|| operations.time_us as f64 / operations.count as f64),
    };
    (seconds > 0.0).then(|| Rates { read: rate(traffic.read), write: rate(traffic.write) })
}

fn totals(traffic: Traffic) -> Totals {
    Totals {
        read_bytes: traffic.read.bytes,
        read_operations: traffic.read.count,
        write_bytes: traffic.write.bytes,
        write_operations: traffic.write.count,
    }
}

/// Processor time in per cent of one processor; unknown when a process ended meanwhile and more went than came.
fn processor(before: &ProcessFigures, now: &ProcessFigures, span: Duration) -> Option<f64> {
    let spent = now.cpu_s - before.cpu_s;
    (spent >= 0.0 && spent.is_finite()).then(|| spent / span.as_secs_f64() * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_api::ShareName;
    use smbgw_api::v1::{FailedLogons, ShareFigures, ShareSize, ShareSpace};

    fn traffic(bytes: u64) -> Traffic {
        let read = Operations { count: bytes / 100, bytes, time_us: bytes };
        Traffic { read, write: Operations::default() }
    }

    fn client(address: &str, bytes: u64) -> ClientFigures {
        ClientFigures {
            client: address.to_owned(),
            users: vec!["al\u{1b}ice".to_owned()],
            sessions: 1,
            signed: true,
            traffic: Some(traffic(bytes)),
            ..ClientFigures::default()
        }
    }

    fn metrics(bytes: u64) -> Metrics {
        Metrics {
            traffic: Some(traffic(bytes)),
            share_traffic: [("team".to_owned(), ShareFigures { since: 7, traffic: traffic(bytes) })].into(),
            tree_connects: [("team".to_owned(), 2), ("homes".to_owned(), 1)].into(),
            shares: vec![ShareSpace { share: "team".into(), total_bytes: 1000, available_bytes: 400 }],
            processes: vec![ProcessFigures {
                name: "smbd".into(),
                cpu_s: bytes as f64 / 1000.0,
                ..Default::default()
            }],
            failed_logons: Some(FailedLogons { total: bytes / 500, ntlmv1: 0 }),
            ..Metrics::default()
        }
    }

    const TWO: Duration = Duration::from_secs(2);

    #[test]
    fn a_first_look_knows_no_rates() {
        let first = figures("a", "lxc", None, &metrics(1000));
        assert_eq!((first.rates, first.interval_s, first.cpu_percent), (None, None, None));
        assert_eq!(first.totals.unwrap().read_bytes, 1000);
        assert_eq!(first.failed_logons.unwrap(), FailedLogonsRow { total: 2, ntlmv1: 0, now: None });
    }

    #[test]
    fn rates_are_differences() {
        let (before, now) = (metrics(1000), metrics(3000));
        let figures = figures("a", "lxc", Some((&before, TWO)), &now);
        let read = figures.rates.unwrap().read;
        assert_eq!((read.bytes_per_s, read.operations_per_s, read.latency_us), (1000.0, 10.0, Some(100.0)));
        assert_eq!(figures.rates.unwrap().write.latency_us, None);
        assert_eq!((figures.cpu_percent, figures.failed_logons.unwrap().now), (Some(100.0), Some(4)));
        let [team, homes] = &figures.shares[..] else { panic!("{:?}", figures.shares) };
        assert_eq!((team.used_bytes, team.tree_connects, team.counted), (Some(600), 2, true));
        assert_eq!(team.rates, figures.rates);
        assert_eq!((homes.share.as_str(), homes.counted, homes.rates), ("homes", false, None));
    }

    #[test]
    fn what_is_counted_anew_has_no_rate() {
        let (before, mut now) = (metrics(3000), metrics(1000));
        let anew = figures("a", "lxc", Some((&before, TWO)), &now);
        assert_eq!((anew.rates, anew.cpu_percent, anew.failed_logons.unwrap().now), (None, None, None));
        now = metrics(4000);
        now.share_traffic.get_mut("team").unwrap().since = 8;
        let anew = figures("a", "lxc", Some((&before, TWO)), &now);
        assert!(anew.rates.is_some());
        assert_eq!((anew.shares[0].share.as_str(), anew.shares[1].rates), ("homes", None));
        // no time, no rate
        assert_eq!(figures("a", "lxc", Some((&before, Duration::ZERO)), &now).rates, None);
    }

    #[test]
    fn connections_of_a_client_are_one() {
        let (mut before, mut now) = (metrics(0), metrics(0));
        before.clients = vec![client("10.0.0.1", 100), client("10.0.0.1", 100), client("10.0.0.2", 500)];
        now.clients = vec![
            client("10.0.0.1", 300),
            client("10.0.0.1", 100),
            client("10.0.0.2", 400),
            client("10.0.0.3", 1000),
        ];
        let figures = figures("a", "lxc", Some((&before, TWO)), &now);
        let seen: Vec<_> = figures
            .clients
            .iter()
            .map(|row| (row.client.as_str(), row.sessions, row.rates.map(|rates| rates.read.bytes_per_s)))
            .collect();
        assert_eq!(seen, [("10.0.0.3", 1, Some(500.0)), ("10.0.0.1", 2, Some(100.0)), ("10.0.0.2", 1, None)]);
        assert_eq!(figures.clients[1].users, ["alice"]);
    }

    #[test]
    fn a_quota_is_what_clients_see() {
        let mut now = metrics(0);
        let share = ShareName::parse("team").unwrap();
        now.quotas = vec![ShareSize { share, limit: 100, total: 100, available: 30 }];
        let figures = figures("a", "lxc", None, &now);
        let team = figures.shares.iter().find(|share| share.share == "team").unwrap();
        assert_eq!((team.quota_bytes, team.size_bytes, team.used_bytes), (Some(100), Some(100), Some(70)));
    }
}
