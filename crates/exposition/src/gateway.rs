//! The figures of a gateway.

use smbgw_api::v1::{Metrics, Traffic};

use crate::Exposition;

/// Whether addresses of clients and names of users become labels. They are many, and personal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clients {
    /// They do not.
    #[default]
    Left,
    /// They do.
    Shown,
}

/// Names of processes that become labels; all others are `other`.
const PROCESSES: [&str; 10] = [
    "smbd",
    "smbd-notifyd",
    "smbd-cleanupd",
    "winbindd",
    "smbgw-agent",
    "ctdbd",
    "systemd",
    "systemd-journal",
    "systemd-network",
    "dbus-daemon",
];

/// Adds a gateway's figures. Labels that tell gateways apart are [`Exposition::common`].
pub fn gateway(out: &mut Exposition, metrics: &Metrics, clients: Clients) {
    let Metrics { shares, quotas, agent, .. } = metrics;
    out.gauge("smbgw_uptime_seconds", "Time since the gateway started.", &[], metrics.uptime_s as f64);
    out.gauge("smbgw_sessions", "SMB sessions.", &[], metrics.sessions as f64);
    out.gauge("smbgw_open_files", "Open files.", &[], metrics.open_files as f64);
    out.gauge(
        "smbgw_problems",
        "Things that are wrong with the gateway.",
        &[],
        metrics.problems.len() as f64,
    );
    for (share, count) in &metrics.tree_connects {
        out.gauge("smbgw_tree_connects", "Connections to a share.", &[("share", share)], *count as f64);
    }
    if let Some(traffic) = &metrics.traffic {
        whole(out, traffic);
    }
    for (share, figures) in &metrics.share_traffic {
        of_share(out, share, &figures.traffic);
    }
    for space in shares {
        let labels = &[("share", space.share.as_str())];
        let help = "Size of the file system that a share is on.";
        out.gauge("smbgw_share_size_bytes", help, labels, space.total_bytes as f64);
        let help = "Room on the file system that a share is on.";
        out.gauge("smbgw_share_available_bytes", help, labels, space.available_bytes as f64);
    }
    for quota in quotas {
        let labels = &[("share", quota.share.as_str())];
        out.gauge("smbgw_share_quota_bytes", "Quota of a share.", labels, quota.limit as f64);
        let help = "Room in a share with a quota, as its clients see it.";
        out.gauge("smbgw_share_quota_available_bytes", help, labels, quota.available as f64);
    }
    if let Some(failed) = &metrics.failed_logons {
        let help = "Logons that failed.";
        out.counter("smbgw_failed_logons", help, &[("protocol", "ntlmv1")], failed.ntlmv1 as f64);
        let others = failed.total.saturating_sub(failed.ntlmv1);
        out.counter("smbgw_failed_logons", help, &[("protocol", "other")], others as f64);
    }
    for service in &metrics.services {
        let up = if service.state == "active" { 1.0 } else { 0.0 };
        out.gauge("smbgw_service_up", "Whether a unit is active.", &[("service", &service.name)], up);
    }
    if let Some(domain) = &metrics.domain {
        let flag = |value: bool| f64::from(u8::from(value));
        out.gauge("smbgw_domain_joined", "Whether it is a member of its domain.", &[], flag(domain.joined));
        out.gauge("smbgw_domain_online", "Whether a domain controller answers.", &[], flag(domain.online));
        let help = "Things that are wrong with the membership.";
        out.gauge("smbgw_domain_faults", help, &[], domain.faults.len() as f64);
    }
    processes(out, metrics);
    if let Some(agent) = agent {
        let help = "Processor time of the agent, without the programs that it runs.";
        out.counter("smbgw_agent_cpu_seconds", help, &[], agent.cpu_s);
        let help = "Resident memory of the agent.";
        out.gauge("smbgw_agent_resident_bytes", help, &[], agent.resident_bytes as f64);
        let help = "Time that the agent needed for these figures.";
        out.gauge("smbgw_agent_collect_seconds", help, &[], agent.collect_us as f64 / 1e6);
    }
    strengths(out, metrics);
    if clients == Clients::Shown {
        each_client(out, metrics);
    }
}

fn whole(out: &mut Exposition, traffic: &Traffic) {
    let Traffic { read, write } = traffic;
    out.counter("smbgw_read_bytes", "File data read by clients.", &[], read.bytes as f64);
    out.counter("smbgw_written_bytes", "File data written by clients.", &[], write.bytes as f64);
    out.counter("smbgw_reads", "Reads of file data.", &[], read.count as f64);
    out.counter("smbgw_writes", "Writes of file data.", &[], write.count as f64);
    out.counter("smbgw_read_seconds", "Time of reads in the file system.", &[], read.time_us as f64 / 1e6);
    out.counter("smbgw_write_seconds", "Time of writes in the file system.", &[], write.time_us as f64 / 1e6);
}

fn of_share(out: &mut Exposition, share: &str, traffic: &Traffic) {
    let Traffic { read, write } = traffic;
    let labels = &[("share", share)];
    out.counter("smbgw_share_read_bytes", "File data read in a share.", labels, read.bytes as f64);
    out.counter("smbgw_share_written_bytes", "File data written in a share.", labels, write.bytes as f64);
    out.counter("smbgw_share_reads", "Reads of file data in a share.", labels, read.count as f64);
    out.counter("smbgw_share_writes", "Writes of file data in a share.", labels, write.count as f64);
    let help = "Time of a share's reads in the file system.";
    out.counter("smbgw_share_read_seconds", help, labels, read.time_us as f64 / 1e6);
    let help = "Time of a share's writes in the file system.";
    out.counter("smbgw_share_write_seconds", help, labels, write.time_us as f64 / 1e6);
}

/// Known names one by one, all others together.
fn processes(out: &mut Exposition, metrics: &Metrics) {
    let known = |name: &str| PROCESSES.into_iter().find(|known| *known == name).unwrap_or("other");
    for label in PROCESSES.into_iter().chain(["other"]) {
        let mine = || metrics.processes.iter().filter(|process| known(&process.name) == label);
        if mine().next().is_none() {
            continue;
        }
        let labels = &[("process", label)];
        let count: u64 = mine().map(|process| process.count).sum();
        out.gauge("smbgw_processes", "Processes that run.", labels, count as f64);
        let pss: u64 = mine().map(|process| process.pss_bytes).sum();
        let help = "Memory of processes: their proportional set size.";
        out.gauge("smbgw_process_pss_bytes", help, labels, pss as f64);
        let cpu: f64 = mine().map(|process| process.cpu_s).sum();
        let help = "Processor time of the processes that run now.";
        out.gauge("smbgw_process_cpu_seconds", help, labels, cpu);
    }
}

/// How many clients are connected how.
fn strengths(out: &mut Exposition, metrics: &Metrics) {
    let mut kinds: Vec<((&str, bool, bool), u64)> = Vec::new();
    for client in &metrics.clients {
        let kind = (client.dialect.as_deref().unwrap_or("unknown"), client.signed, client.encrypted);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    kinds.sort_unstable();
    let word = |value: bool| if value { "true" } else { "false" };
    for ((dialect, signed, encrypted), count) in kinds {
        let labels = &[("dialect", dialect), ("signed", word(signed)), ("encrypted", word(encrypted))];
        out.gauge("smbgw_clients", "Clients that are connected.", labels, count as f64);
    }
}

fn each_client(out: &mut Exposition, metrics: &Metrics) {
    // a client can have several connections, and a label set must be there once
    let mut clients: Vec<(&str, String, u64, Option<Traffic>)> = Vec::new();
    for client in &metrics.clients {
        let users = client.users.join(",");
        let place = clients.iter_mut().find(|known| known.0 == client.client && known.1 == users);
        match place {
            Some(known) => {
                known.2 += client.sessions;
                known.3 = known.3.zip(client.traffic).map(|(a, b)| a + b);
            }
            None => clients.push((&client.client, users, client.sessions, client.traffic)),
        }
    }
    for (client, users, sessions, traffic) in &clients {
        let labels = &[("client", *client), ("user", users.as_str())];
        out.gauge("smbgw_client_sessions", "Sessions of a client.", labels, *sessions as f64);
        let Some(Traffic { read, write }) = traffic else { continue };
        let help = "File data read over a client's connections that are there now.";
        out.gauge("smbgw_client_read_bytes", help, labels, read.bytes as f64);
        let help = "File data written over a client's connections that are there now.";
        out.gauge("smbgw_client_written_bytes", help, labels, write.bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;
    use smbgw_api::v1::{
        AgentCost, ClientFigures, DomainFigures, FailedLogons, Operations, ProcessFigures, ServiceState,
        ShareFigures, ShareSpace,
    };

    fn metrics() -> Metrics {
        let operations = |factor| Operations { count: factor, bytes: 1000 * factor, time_us: 50 * factor };
        let traffic = Traffic { read: operations(3), write: operations(4) };
        let client = |address: &str, user: &str| ClientFigures {
            client: address.into(),
            users: vec![user.into()],
            shares: vec!["team".into()],
            sessions: 1,
            dialect: Some("SMB3_11".into()),
            signed: true,
            encrypted: false,
            traffic: Some(traffic),
            by_share: [("team".to_owned(), traffic)].into(),
        };
        let process = |name: &str| ProcessFigures { name: name.into(), count: 1, pss_bytes: 5, cpu_s: 0.25 };
        Metrics {
            uptime_s: 60,
            sessions: 3,
            tree_connects: [("team".to_owned(), 3)].into(),
            open_files: 2,
            processes: vec![process("smbd"), process("cron"), process("bash")],
            pss_bytes: 15,
            shares: vec![ShareSpace { share: "team".into(), total_bytes: 100, available_bytes: 40 }],
            traffic: Some(traffic),
            share_traffic: [("team".to_owned(), ShareFigures { since: 7, traffic })].into(),
            clients: vec![
                client("10.0.0.1", "alice"),
                client("10.0.0.1", "alice"),
                client("10.0.0.2", "bob"),
            ],
            failed_logons: Some(FailedLogons { total: 5, ntlmv1: 2 }),
            services: vec![ServiceState { name: "smbd".into(), state: "active".into() }],
            domain: Some(DomainFigures {
                joined: true,
                online: false,
                faults: vec!["ad-clock".into()],
                age_s: 3,
            }),
            quotas: Vec::new(),
            problems: Vec::new(),
            agent: Some(AgentCost {
                cpu_s: 1.5,
                resident_bytes: 6 << 20,
                collect_us: 60_000,
                smbstatus_us: 50_000,
            }),
        }
    }

    #[test]
    fn the_words() {
        let mut out = Exposition::default();
        gateway(&mut out, &metrics(), Clients::Shown);
        insta::assert_snapshot!(out.render(Format::Text));
    }

    #[test]
    fn clients_are_left_out_unless_asked_for() {
        let mut out = Exposition::default();
        gateway(&mut out, &metrics(), Clients::default());
        let text = out.render(Format::OpenMetrics);
        assert!(!text.contains("10.0.0.1") && !text.contains("alice"), "{text}");
    }
}
