use std::os::unix::fs::FileExt;
use std::path::Path;

use smbgw_api::ByteSize;
use smbgw_api::v1::{Operations, Traffic};

use super::*;
use crate::monitor::alert::{Kind, Severity, Standing};
use crate::monitor::sample::{Sample, ShareSample};
use crate::monitor::settings::History;

/// 2026-11-01 00:00:00 UTC, a whole number of buckets.
const START: i64 = 1_793_491_200;

fn sample(at: i64, bytes: u64) -> Sample {
    let read = Operations { count: 1, bytes, time_us: 10 };
    let traffic = Some(Traffic { read, write: Operations::default() });
    let share =
        ShareSample { tree_connects: 1, size_bytes: Some(1 << 30), available_bytes: Some(1 << 20), traffic };
    Sample {
        at,
        span_ms: 15_000,
        up: true,
        sessions: 2,
        traffic,
        failed_logons: Some(1),
        shares: [("team".to_owned(), share)].into(),
        ..Sample::default()
    }
}

fn fill(store: &mut Store, from: i64, to: i64) {
    for at in (from..to).step_by(15) {
        store.write(&[("a".into(), sample(at, 1000)), ("b".into(), sample(at, 2000))]).unwrap();
    }
}

fn open(path: &Path) -> (Store, Vec<String>) {
    Store::open(path, &History::default()).unwrap()
}

fn bytes(path: &Path, name: &str, range: Range) -> Vec<(i64, u64)> {
    let points = Reader::open(path).unwrap().unwrap().gateway(name, range).unwrap();
    points.iter().map(|point| (point.at, point.traffic.unwrap().read_bytes)).collect()
}

#[test]
fn sums_say_what_samples_said() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    assert!(Reader::open(&path).unwrap().is_none());
    let (mut store, said) = open(&path);
    assert!(said.is_empty());
    fill(&mut store, START, START + 900);
    let range = Range { from: START, to: START + 900, step: 300 };
    let expected = [(START, 20_000), (START + 300, 20_000), (START + 600, 20_000)];
    assert_eq!(bytes(&path, "a", range), expected);
    store.tidy(START + 700, false).unwrap();
    assert_eq!(bytes(&path, "a", range), expected);
    // a step between a sample and a bucket
    let fine = Range { from: START, to: START + 120, step: 60 };
    assert_eq!(bytes(&path, "b", fine), [(START, 8000), (START + 60, 8000)]);
    let share = Reader::open(&path).unwrap().unwrap().share("b", "team", range).unwrap();
    assert_eq!(share.len(), 3);
    assert_eq!((share[0].traffic.unwrap().counted_ms, share[0].available_bytes), (300_000, Some(1 << 20)));
    assert_eq!(bytes(&path, "none", range), []);
}

#[test]
fn a_young_history_is_as_fine_as_its_samples() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let (mut store, _) = open(&path);
    // it begins in the middle of a bucket, which is summed up afterwards
    fill(&mut store, START + 120, START + 420);
    store.tidy(START + 420, true).unwrap();
    let fine = Range { from: START, to: START + 600, step: 60 };
    let minutes: Vec<_> = (2..7).map(|minute| (START + minute * 60, 4000)).collect();
    assert_eq!(bytes(&path, "a", fine), minutes);
    let short = Range { from: START + 180, to: START + 300, step: 60 };
    assert_eq!(bytes(&path, "a", short), minutes[1..3]);
}

#[test]
fn samples_go_before_sums() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let (mut store, _) = open(&path);
    fill(&mut store, START, START + 600);
    let later = START + 8 * 86_400;
    fill(&mut store, later, later + 300);
    store.tidy(later + 300, true).unwrap();
    let all = Range { from: START, to: later + 300, step: 300 };
    assert_eq!(bytes(&path, "a", all).len(), 3);
    // of the first day only the sums are left, and a finer step finds them, too
    let fine = Range { from: START, to: START + 600, step: 60 };
    assert_eq!(bytes(&path, "a", fine), [(START, 20_000), (START + 300, 20_000)]);
    let much_later = later + 31 * 86_400;
    store.tidy(much_later, true).unwrap();
    assert_eq!(bytes(&path, "a", Range { to: much_later, ..all }), []);
}

#[test]
fn a_clock_that_is_set_back_takes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let (mut store, _) = open(&path);
    fill(&mut store, START, START + 3600);
    store.tidy(START + 3600, true).unwrap();
    // half an hour is lived twice, at other seconds
    for at in (START + 1807..START + 3600).step_by(15) {
        store.write(&[("a".into(), sample(at, 500))]).unwrap();
    }
    store.tidy(START + 3600, true).unwrap();
    let sums = bytes(&path, "a", Range { from: START, to: START + 3600, step: 300 });
    assert_eq!(sums.len(), 12);
    assert!(sums[..6].iter().all(|(_, bytes)| *bytes == 20_000), "{sums:?}");
    assert!(sums[6..].iter().all(|(_, bytes)| (29_000..=30_000).contains(bytes)), "{sums:?}");
    assert_eq!(store.newest().unwrap(), Some(START + 3592));
}

#[test]
fn two_samples_of_a_second_are_one() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let (mut store, _) = open(&path);
    // one whose traffic is not known takes nothing away
    let mut unknown = sample(START, 0);
    (unknown.traffic, unknown.sessions, unknown.failed_logons) = (None, 7, None);
    unknown.shares.clear();
    for sample in [sample(START, 1000), unknown, sample(START, 500)] {
        store.write(&[("a".into(), sample)]).unwrap();
    }
    let range = Range { from: START, to: START + 1, step: 1 };
    let reader = Reader::open(&path).unwrap().unwrap();
    let point = &reader.gateway("a", range).unwrap()[0];
    assert_eq!((point.looks, point.span_ms, point.sessions, point.failed_logons), (3, 45_000, 7, Some(2)));
    let counted = point.traffic.unwrap();
    assert_eq!((counted.counted_ms, counted.read_bytes, counted.reads), (30_000, 1500, 2));
    let share = &reader.share("a", "team", range).unwrap()[0];
    assert_eq!((share.tree_connects, share.traffic.unwrap().read_bytes), (1, 1500));
    assert_eq!((share.size_bytes, share.available_bytes), (Some(1 << 30), Some(1 << 20)));
}

#[test]
fn it_grows_no_larger_than_it_may() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let settings = History { max_size: ByteSize::from_mib(1), ..History::default() };
    let (mut store, _) = Store::open(&path, &settings).unwrap();
    let mut at = START;
    let round: Vec<_> = (0..20).map(|n| format!("gateway-{n}")).collect();
    for _ in 0..1500 {
        let samples: Vec<_> = round.iter().map(|name| (name.clone(), sample(at, 1 << 40))).collect();
        store.write(&samples).unwrap();
        at += 15;
    }
    assert!(std::fs::metadata(&path).unwrap().len() <= 1 << 20);
    // what is newest is there
    let range = Range { from: at - 600, to: at, step: 15 };
    assert_eq!(bytes(&path, "gateway-7", range).len(), 40);
    assert!(bytes(&path, "gateway-7", Range { from: START, to: START + 600, step: 15 }).is_empty());
}

#[test]
fn a_damaged_page_costs_what_is_on_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let (mut store, _) = open(&path);
    fill(&mut store, START, START + 36_000);
    store.tidy(START + 36_000, false).unwrap();
    let alert = Standing {
        gateway: "a".into(),
        kind: Kind::Quota,
        subject: "team".into(),
        since: START,
        severity: Severity::Warning,
        level: 75,
        text: "nearly full".into(),
    };
    store.keep_alerts(std::slice::from_ref(&alert)).unwrap();
    drop(store);
    // some pages in the middle, as a bad disk would
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&[0xff; 3 * 4096], length / 2 / 4096 * 4096).unwrap();
    drop(file);

    let (store, said) = open(&path);
    let said = said.join("\n");
    assert!(said.contains("damaged") && said.contains("lost is what was between"), "{said}");
    assert_eq!(store.alerts().unwrap(), [alert]);
    drop(store);
    assert!(root.path().join("figures.damaged.db").exists());
    let all = Range { from: START, to: START + 36_000, step: 300 };
    let saved = bytes(&path, "a", all);
    assert!(saved.len() > 60, "{} of 120 are left: {said}", saved.len());
    // the second time there is nothing to say
    assert!(open(&path).1.is_empty());
}

#[test]
fn what_is_no_database_is_moved_aside() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    std::fs::write(&path, vec![0x5a; 100_000]).unwrap();
    let (mut store, said) = open(&path);
    assert!(said.join("\n").contains("nothing of it could be saved"), "{said:?}");
    fill(&mut store, START, START + 60);
    assert_eq!(std::fs::read(root.path().join("figures.damaged.db")).unwrap(), vec![0x5a; 100_000]);
}

#[test]
fn a_newer_one_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let (store, _) = open(&path);
    drop(store);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 9").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(&path, &History::default()), Err(StoreError::Newer(9))));
    assert!(matches!(Reader::open(&path), Err(StoreError::Newer(9))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn no_gateway_makes_sums_overflow() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let (mut store, _) = open(&path);
    for at in (START..START + 300).step_by(15) {
        store.write(&[("a".into(), sample(at, u64::MAX))]).unwrap();
    }
    store.tidy(START + 300, true).unwrap();
    assert_eq!(bytes(&path, "a", Range { from: START, to: START + 300, step: 300 }), [(START, 20 << 45)]);
}

#[test]
fn events_the_newest_first() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("figures.db");
    let (mut store, _) = open(&path);
    for (gateway, text) in [(Some("a"), "one"), (None, "two"), (Some("b"), "three")] {
        store.note(START, gateway, "clock", text).unwrap();
    }
    let reader = Reader::open(&path).unwrap().unwrap();
    let texts = |gateway, limit| -> Vec<String> {
        reader.events(gateway, limit).unwrap().into_iter().map(|event| event.text).collect()
    };
    assert_eq!(texts(None, 2), ["three", "two"]);
    assert_eq!(texts(Some("a"), 9), ["one"]);
}
