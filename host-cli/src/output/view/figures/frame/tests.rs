use proptest::prelude::*;

use super::super::{DomainRow, FailedLogonsRow, ProcessRow, Rates, ServiceRow, Totals};
use super::*;

fn rate(bytes: f64, operations: f64, latency: f64) -> Rate {
    Rate {
        bytes_per_s: bytes,
        operations_per_s: operations,
        latency_us: (operations > 0.0).then_some(latency),
    }
}

fn both(read: f64, write: f64) -> Rates {
    Rates { read: rate(read, read / 65_536.0, 310.0), write: rate(write, write / 65_536.0, 2140.0) }
}

fn share(name: &str, clients: u64, rates: Option<Rates>, used: u64, size: u64) -> ShareRow {
    ShareRow {
        share: name.to_owned(),
        tree_connects: clients,
        counted: true,
        rates,
        size_bytes: Some(size),
        used_bytes: Some(used),
        ..ShareRow::default()
    }
}

fn client(address: &str, user: &str, shares: &[&str], rates: Option<Rates>) -> ClientRow {
    ClientRow {
        client: address.to_owned(),
        users: vec![user.to_owned()],
        shares: shares.iter().map(ToString::to_string).collect(),
        sessions: 1,
        dialects: vec!["SMB3_11".to_owned()],
        signed: true,
        rates,
        ..ClientRow::default()
    }
}

fn rich() -> Frame {
    let team = ShareRow {
        quota_bytes: Some(500 << 30),
        ..share("team", 5, Some(both(96.5e6, 2.4e6)), 471 << 30, 500 << 30)
    };
    let homes = ShareRow { counted: false, ..share("homes", 3, None, 1 << 40, 4 << 40) };
    let new = share("accounting-and-controlling", 0, None, 0, 4 << 40);
    let media = share("Büro-Süd 漢字", 4, Some(both(21.9e6, 0.0)), 3 << 40, 4 << 40);
    let encrypted = ClientRow {
        encrypted: true,
        ..client("10.20.30.41", "CORP\\alice", &["team"], Some(both(80.1e6, 2.4e6)))
    };
    let mut clients = vec![
        encrypted,
        client(
            "2001:db8:1234:5678:9abc:def0:1234:5678",
            "bob",
            &["homes", "Büro-Süd 漢字"],
            Some(both(38.3e6, 0.0)),
        ),
        ClientRow { signed: false, ..client("10.20.30.43", "carol", &["team", "homes"], None) },
    ];
    for number in 50..60 {
        clients.push(client(&format!("10.20.30.{number}"), "dave", &["team"], Some(both(0.0, 0.0))));
    }
    let figures = Figures {
        gateway: "team".into(),
        mode: "lxc".into(),
        interval_s: Some(2.0),
        uptime_s: 3 * 86_400 + 4 * 3600,
        sessions: 13,
        open_files: 140,
        memory_pss_bytes: 97 << 20,
        cpu_percent: Some(37.46),
        rates: Some(both(118.4e6, 2.4e6)),
        totals: Some(Totals { read_bytes: 1 << 40, read_operations: 1 << 24, ..Totals::default() }),
        shares: vec![team, media, homes, new],
        clients,
        processes: vec![ProcessRow { name: "smbd".into(), count: 15, ..ProcessRow::default() }],
        services: vec![
            ServiceRow { name: "smbd".into(), state: "active".into() },
            ServiceRow { name: "winbind".into(), state: "failed".into() },
        ],
        domain: Some(DomainRow { joined: true, online: false, faults: vec!["ad-clock".into()], age_s: 42 }),
        failed_logons: Some(FailedLogonsRow { total: 12, ntlmv1: 3, now: Some(2) }),
        problems: vec![
            "share team is over 95 % of its quota, and who writes to it will be refused before long".into(),
        ],
    };
    let wave = |at: usize, height: f64| Some((1.0 + (at as f64 / 7.0).sin()) * height / 2.0);
    let mut reads: Vec<_> = (0..240).map(|at| wave(at, 160e6)).collect();
    reads[235] = None;
    let writes = (0..240).map(|at| if at % 20 < 15 { Some(0.0) } else { wave(at, 4e6) }).collect();
    Frame { reads, writes, ..Frame::of(figures) }
}

fn empty() -> Frame {
    Frame::of(Figures { gateway: "new".into(), mode: "vm".into(), ..Figures::default() })
}

fn plain(frame: &Frame, width: usize) -> String {
    anstream::adapter::strip_str(&render(frame, width)).to_string()
}

#[test]
fn at_80_and_200_columns() {
    insta::assert_snapshot!("rich_at_80", plain(&rich(), 80));
    insta::assert_snapshot!("rich_at_200", plain(&rich(), 200));
    insta::assert_snapshot!("empty_at_80", plain(&empty(), 80));
    insta::assert_snapshot!("empty_at_200", plain(&empty(), 200));
}

#[test]
fn silence_is_said_beside_the_last_figures() {
    let silence = Silence { why: Some("the agent did not answer".into()), age_s: 12 };
    let text = plain(&Frame { silence: Some(silence.clone()), ..rich() }, 80);
    assert!(text.contains("silent: these figures are 12 s old; the agent did not answer"), "{text}");
    assert!(text.contains("WRITE"));
    let none = Frame { silence: Some(silence), figures: None, ..rich() };
    assert!(plain(&none, 80).ends_with("silent; the agent did not answer"));
}

#[test]
fn why_rates_are_not_known_is_said_only_where_they_are_not() {
    let mut frame = rich();
    assert!(plain(&frame, 200).contains(&NOT_TOLD[..60]));
    if let Some(figures) = &mut frame.figures {
        figures.shares.iter_mut().for_each(|share| share.counted = true);
    }
    assert!(!plain(&frame, 200).contains("n/a"));
    assert!(plain(&empty(), 80).contains("smbd does not count"));
}

proptest! {
    #[test]
    fn no_line_is_too_wide(width in 1_usize..250, name in "\\PC{0,40}", problem in "\\PC{0,120}", past in 0_usize..300) {
        let mut frame = rich();
        frame.gateway = name.clone();
        frame.reads.truncate(past);
        if let Some(figures) = &mut frame.figures {
            figures.shares[0].share = name.clone();
            figures.clients[0].users = vec![name];
            figures.problems.push(problem);
            figures.memory_pss_bytes = u64::MAX;
            figures.cpu_percent = Some(1e300);
        }
        for frame in [frame, rich(), empty()] {
            for line in render(&frame, width).lines() {
                prop_assert!(chart::width(line) <= width, "{} > {width}: {line}", chart::width(line));
            }
        }
    }
}
