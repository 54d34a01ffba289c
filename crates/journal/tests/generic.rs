//! The generic tests of every plan, on a world of files: fail at each step, die at each step, do twice, undo twice.

use std::cell::RefCell;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smbgw_command::Interrupt;
use smbgw_journal::{Asked, Cause, Journal, NoObserver, OperationId, Outcome, Step, recover, run};

#[derive(Default)]
struct World {
    things: RefCell<BTreeSet<String>>,
    fail_at: Option<String>,
    undo_fails_at: RefCell<Option<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Make {
    name: String,
    commit: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("no {0}")]
struct Failed(String);

impl Step for Make {
    type World = World;
    type Error = Failed;
    fn name(&self) -> &'static str {
        "make"
    }
    fn subject(&self) -> String {
        self.name.clone()
    }
    fn describe(&self) -> String {
        format!("make {}", self.name)
    }
    fn perform(&self, world: &World) -> Result<(), Failed> {
        world.things.borrow_mut().insert(self.name.clone());
        // fails after it acted: the worst case
        if world.fail_at.as_ref() == Some(&self.name) { Err(Failed(self.name.clone())) } else { Ok(()) }
    }
    fn undo(&self, world: &World) -> Result<(), Failed> {
        if world.undo_fails_at.borrow().as_ref() == Some(&self.name) {
            return Err(Failed(self.name.clone()));
        }
        world.things.borrow_mut().remove(&self.name);
        Ok(())
    }
    fn commits(&self) -> bool {
        self.commit
    }
    fn by_hand(&self) -> Vec<String> {
        vec![format!("rm {}", self.name)]
    }
}

fn plan(commit: Option<&str>) -> Vec<Make> {
    ["a", "b", "c"].iter().map(|n| Make { name: (*n).to_string(), commit: commit == Some(n) }).collect()
}

fn clock() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn id() -> OperationId {
    OperationId::new(clock(), 7)
}

fn asked(verb: &str) -> Asked<'_> {
    Asked { verb, target: "x", by: "me" }
}

#[test]
fn all_steps_run() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let world = World::default();
    let mut operation = journal.begin(id(), asked("create"), clock(), plan(None)).unwrap();
    let outcome = run(&mut operation, &world, &clock, &Interrupt::new(), &mut NoObserver);
    assert!(matches!(outcome, Outcome::Done));
    assert_eq!(world.things.borrow().len(), 3);
    let id = operation.id().clone();
    assert!(journal.read(&id).unwrap().running);
    drop(operation);
    assert!(!journal.read(&id).unwrap().needs_recovery());
}

#[test]
fn failing_at_each_step_unwinds() {
    for step in ["a", "b", "c"] {
        let dir = tempfile::tempdir().unwrap();
        let world = World { fail_at: Some(step.into()), ..World::default() };
        let mut operation =
            Journal::new(dir.path()).begin(id(), asked("create"), clock(), plan(None)).unwrap();
        let outcome = run(&mut operation, &world, &clock, &Interrupt::new(), &mut NoObserver);
        assert!(matches!(outcome, Outcome::RolledBack { cause: Cause::Step { .. } }), "{step}");
        assert!(world.things.borrow().is_empty(), "{step}");
    }
}

#[test]
fn a_failed_undo_does_not_stop_the_others_and_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let world = World {
        fail_at: Some("c".into()),
        undo_fails_at: RefCell::new(Some("b".into())),
        ..World::default()
    };
    let mut operation = journal.begin(id(), asked("create"), clock(), plan(None)).unwrap();
    let outcome = run(&mut operation, &world, &clock, &Interrupt::new(), &mut NoObserver);
    let Outcome::Incomplete { cause: Some(Cause::Step { .. }), undo_failures } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(undo_failures[0].by_hand, ["rm b"]);
    assert_eq!(*world.things.borrow(), BTreeSet::from(["b".to_string()]));
    let id = operation.id().clone();
    drop(operation);
    assert!(journal.read(&id).unwrap().needs_recovery());

    *world.undo_fails_at.borrow_mut() = None;
    let mut operation = journal.take_over::<Make>(&id).unwrap();
    assert!(matches!(recover(&mut operation, &world, &clock, &mut NoObserver), Outcome::RolledBack { .. }));
    assert!(world.things.borrow().is_empty());
    drop(operation);
    assert!(!journal.read(&id).unwrap().needs_recovery());
}

#[test]
fn past_the_point_of_no_return_recovery_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let world = World { fail_at: Some("b".into()), ..World::default() };
    let mut operation = journal.begin(id(), asked("delete"), clock(), plan(Some("b"))).unwrap();
    let outcome = run(&mut operation, &world, &clock, &Interrupt::new(), &mut NoObserver);
    assert!(matches!(outcome, Outcome::Incomplete { .. }), "{outcome:?}");
    let id = operation.id().clone();
    drop(operation);
    let world = World::default();
    let mut operation = journal.take_over::<Make>(&id).unwrap();
    assert!(matches!(recover(&mut operation, &world, &clock, &mut NoObserver), Outcome::Done));
    // a had been done and is not repeated
    assert_eq!(*world.things.borrow(), BTreeSet::from(["b".to_string(), "c".to_string()]));
}

#[test]
fn a_crash_at_every_byte_of_the_journal_is_recovered() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let mut operation = journal.begin(id(), asked("create"), clock(), plan(None)).unwrap();
    let id = operation.id().clone();
    run(&mut operation, &World::default(), &clock, &Interrupt::new(), &mut NoObserver);
    drop(operation);
    let path = dir.path().join(format!("{id}.jsonl"));
    let text = std::fs::read(&path).unwrap();
    let header = text.iter().position(|b| *b == b'\n').unwrap() + 1;
    for length in header..text.len() {
        std::fs::write(&path, &text[..length]).unwrap();
        let world = World::default();
        world.things.borrow_mut().extend(["a", "b", "c"].map(String::from));
        let mut operation = journal.take_over::<Make>(&id).unwrap();
        let outcome = recover(&mut operation, &world, &clock, &mut NoObserver);
        drop(operation);
        let read = journal.read(&id).unwrap();
        assert!(!read.needs_recovery(), "{length}: {outcome:?}");
    }
}

#[test]
fn interrupting_undoes() {
    let dir = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::new();
    interrupt.set();
    let world = World::default();
    let mut operation = Journal::new(dir.path()).begin(id(), asked("create"), clock(), plan(None)).unwrap();
    let outcome = run(&mut operation, &world, &clock, &interrupt, &mut NoObserver);
    assert!(matches!(outcome, Outcome::RolledBack { cause: Cause::Interrupted }));
    assert!(world.things.borrow().is_empty() && !interrupt.is_set());
}

#[test]
fn a_running_operation_is_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let operation = journal.begin(id(), asked("create"), clock(), plan(None)).unwrap();
    assert!(journal.take_over::<Make>(operation.id()).is_err());
    assert!(journal.remove(operation.id()).is_err());
}

#[test]
fn damage_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path());
    let operation = journal.begin(id(), asked("create"), clock(), plan(None)).unwrap();
    let id = operation.id().clone();
    drop(operation);
    let path = dir.path().join(format!("{id}.jsonl"));
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"step\":0,\"event\":\"undone\",\"at\":\"1970-01-01T00:00:00Z\"}\n");
    std::fs::write(&path, text).unwrap();
    assert!(journal.read(&id).unwrap_err().to_string().contains("line 2"));
}
