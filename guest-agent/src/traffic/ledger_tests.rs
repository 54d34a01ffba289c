//! Tests of the ledger: cases, and random schedules against what really happened.

use proptest::prelude::*;
use smbgw_api::v1::Operations;

use super::*;

fn wrote(bytes: u64) -> Traffic {
    Traffic { write: Operations { count: bytes.min(1), bytes, time_us: 0 }, ..Default::default() }
}

const ONE: Process = Process { pid: 10, start: 1 };
const TWO: Process = Process { pid: 11, start: 2 };

fn event(what: What, process: Process, at: u64, bytes: u64) -> Event {
    Event { what, process, at, counters: Some(wrote(bytes)) }
}

fn open(share: &str, process: Process, at: u64) -> Event {
    event(What::Open(share.to_owned()), process, at, 0)
}

fn look(now: u64, alive: &[(Process, u64, &[&str])]) -> Look {
    Look {
        now,
        clock: (now / 1000) as i64,
        alive: alive.iter().map(|(process, bytes, _)| (*process, Some(wrote(*bytes)))).collect(),
        open: alive
            .iter()
            .map(|(process, _, open)| (process.pid, open.iter().map(|share| (*share).to_owned()).collect()))
            .collect(),
    }
}

fn bytes(ledger: &Ledger, share: &str) -> Option<u64> {
    ledger.share(share).map(|figures| figures.traffic.write.bytes)
}

#[test]
fn one_share_a_process() {
    let mut ledger = Ledger::new(1);
    assert_eq!(bytes(&ledger, "a"), Some(0));
    ledger.step(
        &[open("a", ONE, 10), open("b", TWO, 10)],
        &look(2_000, &[(ONE, 500, &["a"]), (TWO, 7, &["b"])]),
    );
    assert_eq!((bytes(&ledger, "a"), bytes(&ledger, "b")), (Some(500), Some(7)));
    assert_eq!(ledger.by_share(ONE), BTreeMap::from([("a".to_owned(), wrote(500))]));
    // what it did last it tells at its end
    let close = event(What::Close("a".to_owned()), ONE, 2_500, 500);
    ledger.step(&[close, event(What::Rest, ONE, 2_500, 900)], &look(3_000, &[(TWO, 7, &["b"])]));
    assert_eq!(bytes(&ledger, "a"), Some(900));
    // with nothing open, it may go without a word
    ledger.step(&[], &look(4_000, &[(TWO, 7, &["b"])]));
    assert_eq!(ledger.processes().collect::<Vec<_>>(), [TWO]);
    assert_eq!(ledger.share("a").unwrap().since, 1);
    ledger.keep(|share| share == "b");
    assert_eq!(bytes(&ledger, "a"), Some(0));
}

#[test]
fn two_shares_in_one_process_are_unknown_as_long_as_it_has_both() {
    let mut ledger = Ledger::new(1);
    ledger.step(&[open("a", ONE, 10), open("b", ONE, 20)], &look(1_000, &[(ONE, 0, &["a", "b"])]));
    // nothing was done yet
    assert_eq!(bytes(&ledger, "a"), Some(0));
    ledger.step(&[open("b", TWO, 1_500)], &look(2_000, &[(ONE, 5, &["a", "b"]), (TWO, 0, &["b"])]));
    assert_eq!((bytes(&ledger, "a"), bytes(&ledger, "b")), (None, None));
    assert!(ledger.by_share(ONE).is_empty());
    ledger.step(&[], &look(9_000, &[(ONE, 5, &["a", "b"]), (TWO, 4, &["b"])]));
    assert_eq!((bytes(&ledger, "a"), bytes(&ledger, "b")), (None, None));
    assert_eq!(ledger.by_share(TWO), BTreeMap::from([("b".to_owned(), wrote(4))]));
    let close = |share: &str| event(What::Close(share.to_owned()), ONE, 9_500, 5);
    ledger.step(
        &[close("a"), close("b"), event(What::Rest, ONE, 9_500, 6)],
        &look(10_000, &[(TWO, 9, &["b"])]),
    );
    assert_eq!(ledger.share("a"), Some(ShareFigures { since: 10, traffic: Traffic::default() }));
    assert_eq!(bytes(&ledger, "b"), Some(0));
    ledger.step(&[], &look(11_000, &[(TWO, 10, &["b"])]));
    assert_eq!(bytes(&ledger, "b"), Some(1));
}

#[test]
fn a_share_right_after_another_may_have_what_was_the_others() {
    let close = event(What::Close("a".to_owned()), ONE, 1_000, 0);
    let mut soon = Ledger::new(1);
    soon.step(&[open("a", ONE, 10), close.clone(), open("b", ONE, 1_001)], &look(2_500, &[(ONE, 5, &["b"])]));
    assert_eq!((bytes(&soon, "a"), bytes(&soon, "b")), (None, None));
    let mut late = Ledger::new(1);
    let rest = event(What::Rest, ONE, 1_000, 5);
    let again = event(What::Open("b".to_owned()), ONE, 4_300, 5);
    late.step(&[open("a", ONE, 10), close, rest, again], &look(5_000, &[(ONE, 8, &["b"])]));
    assert_eq!((bytes(&late, "a"), bytes(&late, "b")), (Some(5), Some(3)));
}

#[test]
fn an_end_without_a_word_spoils() {
    let mut ledger = Ledger::new(1);
    ledger.step(&[open("a", ONE, 10)], &look(1_000, &[(ONE, 5, &["a"])]));
    ledger.step(&[], &look(2_000, &[]));
    ledger.step(&[], &look(3_900, &[]));
    assert_eq!(bytes(&ledger, "a"), Some(5));
    ledger.step(&[], &look(4_100, &[]));
    assert_eq!(ledger.share("a"), Some(ShareFigures { since: 4, traffic: Traffic::default() }));
    // nor is it known what one did that was faster than who watched
    ledger.step(&[open("a", TWO, 5_000)], &look(5_500, &[(TWO, 3, &["a"])]));
    let close = event(What::Close("a".to_owned()), TWO, 5_600, 3);
    let end = Event { counters: None, ..event(What::End, TWO, 5_700, 0) };
    ledger.step(&[close, end], &look(6_000, &[]));
    assert_eq!(ledger.share("a"), Some(ShareFigures { since: 6, traffic: Traffic::default() }));
}

#[test]
fn who_was_there_before_is_known_from_when_he_was_looked_at_for_a_while() {
    let mut ledger = Ledger::new(1);
    ledger.step(&[], &look(1_000, &[(ONE, 500, &["a"])]));
    assert_eq!((bytes(&ledger, "a"), bytes(&ledger, "b")), (None, Some(0)));
    ledger.step(&[], &look(3_500, &[(ONE, 600, &["a"])]));
    assert_eq!(bytes(&ledger, "a"), None);
    ledger.step(&[], &look(4_000, &[(ONE, 700, &["a"])]));
    assert_eq!(ledger.share("a"), Some(ShareFigures { since: 4, traffic: Traffic::default() }));
    ledger.step(&[], &look(5_000, &[(ONE, 701, &["a"])]));
    assert_eq!(bytes(&ledger, "a"), Some(1));
    assert!(ledger.by_share(ONE).is_empty());
    // a share that it opened unseen
    ledger.step(&[], &look(6_000, &[(ONE, 702, &["a", "b"])]));
    assert_eq!((bytes(&ledger, "a"), bytes(&ledger, "b")), (None, None));
}

#[test]
fn a_tree_connect_that_failed_is_none() {
    let mut ledger = Ledger::new(1);
    ledger.step(&[open("a", ONE, 10), open("b", ONE, 20)], &look(1_000, &[(ONE, 0, &["a"])]));
    ledger.step(&[], &look(5_000, &[(ONE, 0, &["a"])]));
    ledger.step(&[], &look(6_000, &[(ONE, 5, &["a"])]));
    assert_eq!((bytes(&ledger, "a"), bytes(&ledger, "b")), (Some(5), Some(0)));
}

#[test]
fn counters_that_went_back_are_no_counters() {
    let mut ledger = Ledger::new(1);
    ledger.step(&[open("a", ONE, 10)], &look(1_000, &[(ONE, 50, &["a"])]));
    ledger.step(&[], &look(2_000, &[(ONE, 4, &["a"])]));
    assert_eq!(ledger.share("a"), Some(ShareFigures { since: 2, traffic: Traffic::default() }));
    ledger.step(&[], &look(3_000, &[(ONE, 6, &["a"])]));
    assert_eq!(bytes(&ledger, "a"), Some(2));
}

/// A client of the model.
#[derive(Debug, Default)]
struct Client {
    open: BTreeSet<usize>,
    /// What it did, and what of it is written down; when it has to be.
    done: u64,
    written: u64,
    due: Option<u64>,
    used: BTreeSet<usize>,
}

const SHARES: [&str; 3] = ["a", "b", "c"];

proptest! {
    /// Whatever clients do: no share is given more than was done in it, and one that was always alone has all of it.
    #[test]
    fn never_more_than_the_truth_and_exactly_it_for_shares_alone(
        steps in proptest::collection::vec((0..4_usize, 0..6_u8, 0..3_usize, 0..900_u64), 1..120),
    ) {
        let mut ledger = Ledger::new(0);
        let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
        let mut starts = [0_u64; 4];
        let (mut truth, mut mixed) = ([0_u64; 3], BTreeSet::new());
        let (mut now, mut spool) = (0, Vec::new());
        let process = |client: usize, start: u64| Process { pid: client as u32, start };
        for (client, act, share, pause) in steps {
            now += pause;
            for client in clients.values_mut() {
                if client.due.is_some_and(|due| due <= now) {
                    (client.written, client.due) = (client.done, None);
                }
            }
            let own = process(client, starts[client]);
            match act {
                0 => {
                    let known = clients.entry(client).or_default();
                    spool.push(event(What::Open(SHARES[share].to_owned()), own, now, known.written));
                    known.open.insert(share);
                    known.used.insert(share);
                    if known.used.len() > 1 {
                        mixed.extend(known.used.iter().copied());
                    }
                    // open twice is not in the model
                    if known.open.len() < known.used.len() && !known.open.contains(&share) { unreachable!() }
                }
                1 | 2 => if let Some(known) = clients.get_mut(&client) && let Some(share) = known.open.iter().next().copied() {
                    known.done += pause + 1;
                    truth[share] += pause + 1;
                    known.due = known.due.or(Some(now + 1_000));
                },
                3 => if let Some(known) = clients.get_mut(&client) && known.open.remove(&share) {
                    while ledger_count(&spool, &ledger, own, SHARES[share]) > 0 {
                        spool.push(event(What::Close(SHARES[share].to_owned()), own, now, known.written));
                    }
                },
                4 => if let Some(known) = clients.remove(&client) {
                    for share in &known.open {
                        while ledger_count(&spool, &ledger, own, SHARES[*share]) > 0 {
                            spool.push(event(What::Close(SHARES[*share].to_owned()), own, now, known.written));
                        }
                    }
                    spool.push(event(What::Rest, own, now, known.done));
                    starts[client] += 1;
                },
                _ => {
                    let alive: Vec<(Process, u64, Vec<&str>)> = clients.iter().map(|(client, known)| {
                        (process(*client, starts[*client]), known.written, known.open.iter().map(|share| SHARES[*share]).collect())
                    }).collect();
                    let alive: Vec<(Process, u64, &[&str])> = alive.iter().map(|(process, bytes, open)| (*process, *bytes, &open[..])).collect();
                    ledger.step(&std::mem::take(&mut spool), &look(now, &alive));
                    // through its file
                    let text = serde_json::to_string(&ledger).unwrap();
                    ledger = serde_json::from_str(&text).unwrap();
                }
            }
            for (index, share) in SHARES.iter().enumerate() {
                if let Some(bytes) = bytes(&ledger, share) {
                    prop_assert!(bytes <= truth[index], "{share}: {bytes} of {}", truth[index]);
                }
            }
        }
        for (client, known) in &clients {
            let own = process(*client, starts[*client]);
            for share in &known.open {
                while ledger_count(&spool, &ledger, own, SHARES[*share]) > 0 {
                    spool.push(event(What::Close(SHARES[*share].to_owned()), own, now, known.written));
                }
            }
            spool.push(event(What::Rest, own, now, known.done));
        }
        ledger.step(&spool, &look(now, &[]));
        for (index, share) in SHARES.iter().enumerate() {
            if !mixed.contains(&index) {
                prop_assert_eq!(bytes(&ledger, share), Some(truth[index]), "{}", share);
            }
        }
    }
}

/// How often a share is open by ledger and events.
fn ledger_count(events: &[Event], ledger: &Ledger, process: Process, share: &str) -> i64 {
    let known = ledger.processes.iter().find(|account| account.process == process);
    let known = known.and_then(|account| account.open.get(share)).copied().unwrap_or(0);
    let events = events.iter().filter(|event| event.process == process).map(|event| match &event.what {
        What::Open(name) if name == share => 1,
        What::Close(name) if name == share => -1,
        _ => 0,
    });
    i64::from(known) + events.sum::<i64>()
}
