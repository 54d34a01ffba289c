//! Every step of every plan: made to fail, killed before and after it acts (one of both, and one way of a failing undo, where the
//! run is not thorough), done twice, undone twice; then the machine
//! is as before, or (past the point of no return, after `ops recover`) as it was to become.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::lab::ways;
use smbgw_lab::{Gateway, Lab, Snapshot};

/// One verb with its arguments, in a world that `gateway` is part of or not.
struct Case {
    args: Vec<String>,
    /// There is a gateway `team` before; with what must hold of it as long as it is there.
    gateway: Option<Gateway>,
}

impl Case {
    fn args(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(String::as_str)
    }

    /// Labels of the steps that would run, as `--dry-run` says.
    fn labels(&self, lab: &Lab) -> Result<Vec<String>> {
        let plan = lab.host(self.args().chain(["--dry-run"]))?.ok()?.data()?;
        let mut labels = Vec::new();
        collect(&plan, "label", &mut labels);
        ensure!(!labels.is_empty(), "the plan names no steps: {plan}");
        Ok(labels)
    }

    /// Expects the world as before.
    fn expect_before(&self, lab: &Lab, before: &World, what: &str) -> Result<()> {
        before.machine.expect_same(lab.directory()).with_context(|| what.to_owned())?;
        if let Some(gateway) = &self.gateway {
            ensure!(World::of(lab, self)?.inside == before.inside, "{what}: the gateway is not what it was");
            // what was stopped and started again needs a moment
            lab.wait_serving(gateway, "team", "alice").with_context(|| what.to_owned())?;
            lab.round_trip(gateway, "team", "alice").with_context(|| what.to_owned())?;
        }
        Ok(())
    }
}

/// What must be the same again: the machine, and what the gateway says of itself.
struct World {
    machine: Snapshot,
    inside: String,
}

impl World {
    fn of(lab: &Lab, case: &Case) -> Result<Self> {
        let inside = if case.gateway.is_some() {
            let show = lab.host_plain(["show", "team"])?.ok()?.stdout;
            let conf = lab.attach("team", ["cat", "/etc/samba/smb.conf", "/etc/passwd"])?.ok()?.stdout;
            format!("{show}{conf}")
        } else {
            String::new()
        };
        Ok(Self { machine: lab.snapshot()?, inside })
    }
}

fn collect(value: &Value, field: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(text) = fields.get(field).and_then(Value::as_str) {
                found.push(text.to_owned());
            }
            fields.values().for_each(|value| collect(value, field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, field, found)),
        _ => {}
    }
}

fn create(lab: &Lab) -> Result<Case> {
    let path = lab.data("team")?.display().to_string();
    let password = lab.password_file()?;
    let args =
        ["create", "team", "--path", &path, "--user", "alice", "--password-file", &password, "--grant"];
    Ok(Case { args: args.map(str::to_owned).to_vec(), gateway: None })
}

fn with_gateway(lab: &Lab, args: &[&str]) -> Result<Case> {
    let gateway = lab.create("team", &[])?;
    Ok(Case { args: args.iter().map(|arg| (*arg).to_owned()).collect(), gateway: Some(gateway) })
}

/// Fails at each step, and is killed before and after each.
fn survives_faults(lab: &Lab, case: &Case) -> Result<()> {
    let before = World::of(lab, case)?;
    let labels = case.labels(lab)?;
    println!("steps: {}", labels.join(", "));
    for (step, label) in labels.iter().enumerate() {
        let what = format!("{} failing at {label}", case.args[0]);
        let failed = lab.host_with_fault(&format!("fail@{label}"), case.args())?;
        ensure!(failed.code != 0, "{what}: it says that all went well: {failed}");
        ensure!(failed.json()?["success"] == false, "{what}: {failed}");
        case.expect_before(lab, &before, &what).with_context(|| failed.to_string())?;
        for point in ways(step, &["kill-after", "kill-before"]) {
            let what = format!("{} with {point} at {label}", case.args[0]);
            let killed = lab.host_with_fault(&format!("{point}@{label}"), case.args())?;
            ensure!(killed.code == -9, "{what}: it was not killed: {killed}");
            let recovered = lab.host(["ops", "recover"])?.ok().context(what.clone())?;
            case.expect_before(lab, &before, &what).with_context(|| recovered.to_string())?;
        }
    }
    // every do twice, then every undo twice
    let last = labels.last().context("no steps")?;
    let what = format!("{} with every do and undo twice", case.args[0]);
    let failed = lab.host_with_fault(&format!("double,fail@{last}"), case.args())?;
    ensure!(failed.code != 0, "{what}: {failed}");
    case.expect_before(lab, &before, &what).with_context(|| failed.to_string())?;

    // an undo that fails: said with what to do by hand, and finished by a recovery
    for (step, label) in labels.iter().enumerate() {
        for fault in ways(step, &["undo-fail", "undo-kill"]) {
            let what = format!("{} with {fault} at {label}", case.args[0]);
            let code = if *fault == "undo-fail" { 6 } else { -9 };
            let answer = lab.host_with_fault(&format!("fail@{last},{fault}@{label}"), case.args())?;
            ensure!(answer.code == code, "{what}: exit code {code} was expected: {answer}");
            lab.host(["ops", "recover"])?.ok().context(what.clone())?;
            case.expect_before(lab, &before, &what)?;
        }
    }
    Ok(())
}

/// Expects the world as after the verb, but for the record, which has the time of its own creation.
fn as_done(lab: &Lab, done: &Snapshot) -> Result<()> {
    let mut differences = Vec::new();
    let same = wait_until("what goes by itself", Duration::from_secs(10), &Interrupt::new(), || {
        differences = done.differences(&lab.snapshot().ok()?);
        differences.retain(|line| !line.contains("/gateways/team.json: "));
        differences.is_empty().then_some(())
    });
    same.with_context(|| format!("the machine is not as it was:\n  {}", differences.join("\n  ")))
}

/// Killed from outside at moments spread over a whole run; each time the world is as before or as it was to become.
/// `again` makes the world as before when it went through.
fn survives_kills(lab: &Lab, case: &Case, again: impl Fn() -> Result<()>) -> Result<()> {
    const MOMENTS: u32 = 10;
    let start = Instant::now();
    lab.host(case.args())?.ok()?;
    let whole = start.elapsed().max(Duration::from_millis(100));
    let done = lab.snapshot()?;
    again()?;
    // made anew, a gateway has another card and another time of creation
    let mut before = World::of(lab, case)?;
    let mut went_through = 0;
    for moment in 0..MOMENTS {
        let after = whole * moment / MOMENTS + whole / (2 * MOMENTS);
        let what = format!("{} killed after {} ms", case.args[0], after.as_millis());
        let mut child = Command::new(lab.product.program("pve-smbgateway"))
            .args(case.args())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        std::thread::sleep(after);
        child.kill()?;
        child.wait()?;
        lab.host(["ops", "recover"])?.ok().context(what.clone())?;
        let there = lab.gateways()?.contains(&"team".to_owned());
        if there == case.gateway.is_some() {
            case.expect_before(lab, &before, &what)?;
        } else {
            went_through += 1;
            as_done(lab, &done).with_context(|| format!("{what}, and it went through"))?;
            again()?;
            before = World::of(lab, case)?;
        }
    }
    println!(
        "{MOMENTS} kills within {} ms; {went_through} were past the point of no return",
        whole.as_millis()
    );
    Ok(())
}

/// Every do twice, to the end.
fn succeeds_twice(lab: &Lab, case: &Case) -> Result<()> {
    lab.host_with_fault("double", case.args())?.ok()?;
    Ok(())
}

#[test]
fn create_survives() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let case = create(&lab)?;
    survives_faults(&lab, &case)?;
    succeeds_twice(&lab, &case)?;
    let gateway = lab.gateway("team", lab.directory().join("data/team"))?;
    lab.round_trip(&gateway, "team", "alice")?;
    lab.leave()
}

#[test]
fn create_survives_kills_at_any_moment() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let case = create(&lab)?;
    survives_kills(&lab, &case, || lab.host(["delete", "team"])?.ok().map(drop))?;
    lab.leave()
}

#[test]
fn set_of_a_limit_survives() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let case = with_gateway(&lab, &["set", "team", "--memory", "256M"])?;
    survives_faults(&lab, &case)?;
    succeeds_twice(&lab, &case)?;
    ensure!(lab.host_plain(["show", "team"])?.stdout.contains("256M"));
    lab.leave()
}

#[test]
#[ignore = "the same steps as a share that is added: cargo xtask test --thorough"]
fn set_of_the_security_profile_survives() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let case = with_gateway(&lab, &["set", "team", "--security", "high"])?;
    survives_faults(&lab, &case)?;
    succeeds_twice(&lab, &case)?;
    ensure!(lab.host_plain(["show", "team"])?.stdout.contains("high"));
    lab.leave()
}

#[test]
fn share_add_survives() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let more = lab.data("more")?.display().to_string();
    let case = with_gateway(&lab, &["share", "add", "team", "more", "--path", &more, "--grant"])?;
    survives_faults(&lab, &case)?;
    succeeds_twice(&lab, &case)?;
    if let Some(gateway) = &case.gateway {
        lab.round_trip(gateway, "more", "alice")?;
    }
    lab.leave()
}

#[test]
fn share_remove_survives() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let gateway = lab.create("team", &[])?;
    let more = lab.data("more")?.display().to_string();
    lab.host(["share", "add", "team", "more", "--path", &more, "--grant"])?.ok()?;
    let args = ["share", "remove", "team", "more"].map(str::to_owned).to_vec();
    let case = Case { args, gateway: Some(gateway) };
    survives_faults(&lab, &case)?;
    succeeds_twice(&lab, &case)?;
    lab.leave()
}

/// `delete` has a point of no return: before it all is as before, after it a recovery ends what was begun.
#[test]
fn delete_survives() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let empty = lab.snapshot()?;
    let case = with_gateway(&lab, &["delete", "team"])?;
    let again = || lab.create("team", &[]).map(drop);
    let mut before = World::of(&lab, &case)?;
    let labels = case.labels(&lab)?;
    println!("steps: {}", labels.join(", "));
    for label in &labels {
        for point in ["fail", "kill-before", "kill-after"] {
            let what = format!("delete with {point} at {label}");
            let answer = lab.host_with_fault(&format!("{point}@{label}"), case.args())?;
            ensure!(answer.code != 0, "{what}: {answer}");
            lab.host(["ops", "recover"])?.ok().context(what.clone())?;
            if lab.gateways()?.is_empty() {
                empty.expect_same(lab.directory()).with_context(|| format!("{what}, and it went through"))?;
                again()?;
                before = World::of(&lab, &case)?;
            } else {
                case.expect_before(&lab, &before, &what)?;
            }
        }
    }
    succeeds_twice(&lab, &case)?;
    empty.expect_same(lab.directory())?;
    lab.leave()
}

#[test]
fn delete_survives_kills_at_any_moment() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let case = with_gateway(&lab, &["delete", "team"])?;
    survives_kills(&lab, &case, || lab.create("team", &[]).map(drop))?;
    lab.leave()
}

#[test]
fn an_operation_can_be_taken_back() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let case = create(&lab)?;
    let killed = lab.host_with_fault("kill-after@start", case.args())?;
    ensure!(killed.code == -9, "{killed}");
    let list = lab.host(["ops", "list"])?.ok()?.data()?;
    let mut ids = Vec::new();
    for field in ["id", "operation"] {
        collect(&list, field, &mut ids);
    }
    let id = ids.iter().max().context("ops list shows nothing")?;
    lab.host(["ops", "show", id])?.ok()?;
    lab.host(["ops", "rollback", id])?.ok()?;
    ensure!(lab.gateways()?.is_empty());
    lab.host(["ops", "clean", "--older-than", "0"])?.ok()?;
    lab.leave()
}
