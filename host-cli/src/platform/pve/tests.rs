//! The platform against a directory that looks like `/etc/pve` and programs that keep guests in it: what is called, in which
//! order, and what is left after faults.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use smbgw_api::GatewaySpec;
use smbgw_command::{Command, CommandError, Interrupt, Output, Runner};

use super::Pve;
use super::capabilities::tests::{PVE8, PVE9};
use super::cluster::registry::Registry;
use super::config::container::tests::plan as container_plan;
use crate::paths::Paths;
use crate::platform::{GuestState, Platform};
use crate::record::{GuestForm, GuestPlan, RECORD_VERSION, Record, RecordState};

/// Programs that keep their guests as files. Faults are taken from a list: a part of a command line, and what happens then.
struct Programs {
    root: PathBuf,
    versions: &'static str,
    seen: Mutex<Vec<String>>,
    faults: Mutex<VecDeque<(String, Fault)>>,
    running: Mutex<Vec<String>>,
    tasks: Mutex<&'static str>,
}

#[derive(Clone)]
enum Fault {
    /// It fails with these words and does nothing.
    Says(&'static str),
    /// Somebody else makes the guest first.
    Taken,
    /// It is killed when its configuration has nothing but a lock.
    Killed,
}

impl Programs {
    fn conf(&self, id: &str) -> Option<PathBuf> {
        let folders = ["lxc", "qemu-server"].map(|folder| self.root.join("nodes/pve1").join(folder));
        folders.into_iter().map(|folder| folder.join(format!("{id}.conf"))).find(|path| path.exists())
    }

    fn write(&self, folder: &str, id: &str, text: &str) {
        std::fs::write(self.root.join("nodes/pve1").join(folder).join(format!("{id}.conf")), text).unwrap();
        self.list();
    }

    fn list(&self) {
        let mut ids = serde_json::Map::new();
        for (folder, kind) in [("lxc", "lxc"), ("qemu-server", "qemu")] {
            for entry in std::fs::read_dir(self.root.join("nodes/pve1").join(folder)).unwrap().flatten() {
                let id = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
                ids.insert(id, serde_json::json!({ "node": "pve1", "type": kind, "version": 1 }));
            }
        }
        let text = serde_json::json!({ "version": 1, "ids": ids }).to_string();
        std::fs::write(self.root.join(".vmlist"), text).unwrap();
    }

    fn act(&self, program: &str, args: &[String]) -> Result<String, &'static str> {
        let arg = |index: usize| args.get(index).map_or("", String::as_str);
        let option = |name: &str| args.iter().position(|one| one == name).map(|at| arg(at + 1));
        let description = |text: &str| {
            let lines = text.lines().map(|line| format!("#{}\n", line.replace(':', "%3A")));
            lines.collect::<String>()
        };
        match (program, arg(0)) {
            ("dpkg-query", _) => return Ok(self.versions.to_owned()),
            ("pvesh", "get") if arg(1) == "/cluster/nextid" => {
                return Ok((100..)
                    .find(|id: &u32| self.conf(&id.to_string()).is_none())
                    .unwrap()
                    .to_string());
            }
            ("pvesh", "get") if arg(1).ends_with("/storage") => {
                return Ok(
                    r#"[{"storage":"local","type":"dir","content":"rootdir,images,vztmpl","active":1}]"#
                        .into(),
                );
            }
            ("pvesh", "get") if arg(1).ends_with("/status/current") => {
                let id = arg(1).split('/').nth(4).unwrap();
                let running = self.running.lock().unwrap().iter().any(|one| one == id);
                return Ok(format!(
                    r#"{{"status":"{}","pid":7}}"#,
                    if running { "running" } else { "stopped" }
                ));
            }
            ("pvesh", "get") if arg(1).ends_with("/tasks") => {
                return Ok((*self.tasks.lock().unwrap()).to_owned());
            }
            ("pvesh", "get") => return Ok("[]".into()),
            ("pvesh", "create") => {
                let text = format!(
                    "{}\n\tmap {}\n\tdescription {}\n",
                    option("--id").unwrap(),
                    option("--map").unwrap(),
                    option("--description").unwrap()
                );
                let path = self.root.join("mapping/directory.cfg");
                let there = std::fs::read_to_string(&path).unwrap_or_default();
                std::fs::write(path, format!("{there}{text}\n")).unwrap();
                return Ok(String::new());
            }
            ("pvesh", "delete") => {
                std::fs::write(self.root.join("mapping/directory.cfg"), "").unwrap();
                return Ok(String::new());
            }
            _ => {}
        }
        let id = if arg(0) == "clone" { arg(2) } else { arg(1) }.to_owned();
        let folder = if program == "pct" { "lxc" } else { "qemu-server" };
        let text = self.conf(&id).map(|path| std::fs::read_to_string(path).unwrap());
        match (arg(0), text) {
            ("create" | "clone", Some(_)) => Err("unable to create it: it already exists on node 'pve1'"),
            ("create" | "clone", None) => {
                let mut text = description(option("--description").unwrap());
                text.push_str("tags: smbgateway\nonboot: 1\n");
                text.push_str(
                    &args
                        .iter()
                        .filter(|one| one.contains(",mp="))
                        .enumerate()
                        .fold(String::new(), |text, (n, mount)| format!("{text}mp{n}: {mount}\n")),
                );
                text.push_str(if program == "pct" { "rootfs: local:vm\n" } else { "scsi0: local:vm\n" });
                self.write(folder, &id, &text);
                Ok(String::new())
            }
            (_, None) => Err("Configuration file does not exist"),
            ("set", Some(text)) => {
                let mut text = text;
                if let Some(onboot) = option("--onboot") {
                    text = text
                        .replace("onboot: 1", "onboot: 0")
                        .replace("onboot: 0", &format!("onboot: {onboot}"));
                }
                self.write(folder, &id, &text);
                Ok(String::new())
            }
            ("destroy", _) => {
                std::fs::remove_file(self.conf(&id).unwrap()).unwrap();
                self.running.lock().unwrap().retain(|one| *one != id);
                self.list();
                Ok(String::new())
            }
            ("start", _) if self.running.lock().unwrap().contains(&id) => Err("CT already running"),
            ("start", _) => {
                self.running.lock().unwrap().push(id);
                Ok(String::new())
            }
            ("shutdown", _) if !self.running.lock().unwrap().contains(&id) => Err("CT not running"),
            ("shutdown", _) => {
                self.running.lock().unwrap().retain(|one| *one != id);
                Ok(String::new())
            }
            ("unlock", Some(text)) => {
                self.write(folder, &id, &text.replace("lock: create\n", ""));
                Ok(String::new())
            }
            (verb, _) => panic!("{program} {verb}"),
        }
    }
}

impl Runner for Programs {
    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let line = command.display();
        self.seen.lock().unwrap().push(format!(
            "{} {}",
            command.program(),
            command.arguments()[..2.min(command.arguments().len())].join(" ")
        ));
        let failed = |said: &str| CommandError::Failed {
            command: line.clone(),
            code: Some(255),
            status: "exit code 255".into(),
            stderr: said.into(),
            stdout: String::new(),
        };
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let at = faults.iter().position(|(part, _)| line.contains(part.as_str()));
            at.and_then(|at| faults.remove(at)).map(|(_, fault)| fault)
        };
        let id = command.arguments().get(1).cloned().unwrap_or_default();
        match fault {
            Some(Fault::Says(said)) => return Err(failed(said)),
            Some(Fault::Taken) => self.write("lxc", &id, "hostname: theirs\nrootfs: local:x\n"),
            Some(Fault::Killed) => {
                self.write("lxc", &id, "lock: create\n");
                return Err(failed("killed"));
            }
            None => {}
        }
        match self.act(command.program(), command.arguments()) {
            Ok(stdout) => Ok(Output { stdout: stdout.into_bytes(), ..Output::default() }),
            Err(said) => Err(failed(said)),
        }
    }
}

struct Node {
    _directory: tempfile::TempDir,
    programs: Arc<Programs>,
    pve: Pve,
    paths: Paths,
}

fn node(versions: &'static str) -> Node {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::under(directory.path());
    let root = paths.cluster().to_owned();
    for sub in ["nodes/pve1/lxc", "nodes/pve1/qemu-server", "priv/lock", "mapping"] {
        std::fs::create_dir_all(root.join(sub)).unwrap();
    }
    std::os::unix::fs::symlink("nodes/pve1", root.join("local")).unwrap();
    std::fs::write(root.join("storage.cfg"), "dir: local\n\tpath /var/lib/vz\n").unwrap();
    let programs = Arc::new(Programs {
        root,
        versions,
        seen: Mutex::default(),
        faults: Mutex::default(),
        running: Mutex::default(),
        tasks: Mutex::new("[]"),
    });
    programs.list();
    let pve = Pve::with_runner(paths.clone(), Interrupt::new(), programs.clone());
    Registry::update(&pve.files, |registry| {
        for (name, form, more) in [
            ("debian-13_0.1.0", "lxc", ("volume", "local:vztmpl/x.tar.zst")),
            ("debian-13-vm_0.1.0", "vm", ("vmid", "9000")),
        ] {
            let keys = [
                ("form", form.to_owned()),
                ("storage", "local".into()),
                (more.0, more.1.into()),
                ("state", "installed".into()),
            ];
            registry.put_template(name, "pve1", &keys);
        }
        Ok(())
    })
    .unwrap();
    Node { _directory: directory, programs, pve, paths }
}

fn record(plan: &GuestPlan) -> Record {
    let yaml = if plan.is_machine() { "{name: team, mode: vm}" } else { "{name: team}" };
    let spec: GatewaySpec = serde_yaml::from_str(yaml).unwrap();
    let created = jiff::Timestamp::UNIX_EPOCH;
    Record { version: RECORD_VERSION, state: RecordState::Active, created, spec, guest: plan.clone() }
}

fn container() -> GuestPlan {
    GuestPlan { storage: Some("local".parse().unwrap()), ..container_plan() }
}

fn machine() -> GuestPlan {
    let mut plan = crate::record::tests::machine();
    plan.mounts[0].source = "/srv/a b".parse().unwrap();
    let form = GuestForm::Machine { firmware: smbgw_api::Firmware::Bios, disk: None };
    GuestPlan { form, storage: Some("local".parse().unwrap()), ..plan }
}

impl Node {
    fn make(&self, plan: &GuestPlan) -> crate::Result<()> {
        self.pve.add_record(&record(plan))?;
        self.pve.create_guest(plan)
    }

    /// What was called since the last time.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.programs.seen.lock().unwrap())
    }

    fn fault(&self, part: &str, fault: Fault) {
        self.programs.faults.lock().unwrap().push_back((part.to_owned(), fault));
    }

    fn configs(&self) -> Vec<String> {
        let mut names = Vec::new();
        for folder in ["lxc", "qemu-server"] {
            let entries = std::fs::read_dir(self.paths.cluster().join("nodes/pve1").join(folder)).unwrap();
            names.extend(
                entries.flatten().map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())),
            );
        }
        names.sort();
        names
    }

    fn config(&self, name: &str) -> String {
        std::fs::read_to_string(self.paths.cluster().join("nodes/pve1").join(name)).unwrap()
    }

    fn registry(&self) -> String {
        std::fs::read_to_string(self.paths.cluster().join("smbgateway.cfg")).unwrap()
    }
}

/// Some tests need the directories that shares have.
fn exists(path: &str) -> bool {
    Path::new(path).is_dir()
}

#[test]
fn a_container_by_few_calls() {
    let node = node(PVE9);
    let plan = container();
    node.make(&plan).unwrap();
    node.pve.start(&plan).unwrap();
    assert_eq!(
        node.calls(),
        [
            "dpkg-query -W --showformat=${Package} ${Version} ${db:Status-Status}\\n",
            "pvesh get /cluster/nextid",
            "pct create 100",
            "pct start 100"
        ]
    );
    let config = node.config("lxc/100.conf");
    assert!(config.contains("mp0: /tank/smb/team,mp=/srv/smb/team,idmap=passthrough"), "{config}");
    assert!(
        config.ends_with("srv/smb/B\u{fc}ro none rbind,create=dir,idmap=container,nosuid,nodev,noexec 0 0\n"),
        "{config}"
    );
    assert!(node.registry().contains("\tvmid 100\n"));
    assert_eq!(node.pve.guest_state(&plan.name).unwrap(), GuestState::Running { pid: 7 });
    assert!(!exists(&node.paths.cluster().join("priv/lock/file-smbgateway_cfg").display().to_string()));
}

#[test]
fn everything_can_be_done_twice() {
    for (versions, plan) in [(PVE8, container()), (PVE9, container()), (PVE9, machine())] {
        let node = node(versions);
        node.make(&plan).unwrap();
        node.make(&plan).unwrap();
        let configs = node.configs();
        assert_eq!(configs.len(), 1, "{configs:?}");
        let once = node.config(&configs[0]);
        node.pve.configure_guest(&plan).unwrap();
        node.pve.limit_guest(&plan).unwrap();
        assert_eq!(node.config(&configs[0]), once);
        for _ in 0..2 {
            node.pve.start(&plan).unwrap();
        }
        for _ in 0..2 {
            node.pve.stop(&plan.name).unwrap();
        }
        for _ in 0..2 {
            node.pve.destroy_guest(&plan.name).unwrap();
        }
        assert_eq!(node.configs(), Vec::<String>::new());
        let mappings = std::fs::read_to_string(node.paths.cluster().join("mapping/directory.cfg"));
        assert_eq!(mappings.unwrap_or_default(), "");
        node.pve.remove_record(&plan.name).unwrap();
        assert!(!node.registry().contains("gateway: "));
    }
}

#[test]
fn a_machine_is_a_clone_with_one_change() {
    let node = node(PVE8);
    node.make(&machine()).unwrap();
    assert_eq!(
        node.calls(),
        ["pvesh get /cluster/nextid", "qm clone 9000", "pvesh create /cluster/mapping/dir", "qm set 100"]
    );
}

#[test]
fn an_id_that_is_taken_meanwhile_stays_theirs() {
    let node = node(PVE9);
    node.fault("pct create", Fault::Taken);
    node.make(&container()).unwrap();
    assert_eq!(node.configs(), ["lxc/100.conf", "lxc/101.conf"]);
    assert!(node.registry().contains("\tvmid 101\n"));
    node.pve.destroy_guest(&container().name).unwrap();
    assert_eq!(node.config("lxc/100.conf"), "hostname: theirs\nrootfs: local:x\n");
}

#[test]
fn what_is_not_ours_is_never_removed() {
    let node = node(PVE9);
    node.make(&container()).unwrap();
    let marked = node.config("lxc/100.conf");
    for foreign in [marked.replace("tags: smbgateway", "tags: x"), marked.replace("%3A team", "%3A other")] {
        node.programs.write("lxc", "100", &foreign);
        node.pve.destroy_guest(&container().name).unwrap();
        assert_eq!(node.config("lxc/100.conf"), foreign);
        assert_eq!(node.pve.guest_state(&container().name).unwrap(), GuestState::Absent);
        assert_eq!(node.pve.start(&container()).unwrap_err().code, "guest-missing");
    }
    for (more, code) in [
        ("protection: 1\n", "guest-protected"),
        ("mp7: local:100/vm-100-disk-1.raw,mp=/x\n", "share-data"),
        ("lock: backup\n", "guest-locked"),
    ] {
        node.programs.write("lxc", "100", &format!("{marked}{more}"));
        assert_eq!(node.pve.review_removal(&container().name).unwrap_err().code, code);
        if code != "guest-locked" {
            assert_eq!(node.pve.destroy_guest(&container().name).unwrap_err().code, code);
        }
        assert_eq!(node.configs(), ["lxc/100.conf"]);
    }
}

#[test]
fn a_deletion_can_be_taken_back_until_its_end() {
    let node = node(PVE9);
    let plan = container();
    node.make(&plan).unwrap();
    let before = (node.registry(), node.config("lxc/100.conf"));
    for _ in 0..2 {
        node.pve.retire_guest(&plan.name, "team-1").unwrap();
    }
    assert!(node.config("lxc/100.conf").contains("onboot: 0"));
    node.pve.remove_record(&plan.name).unwrap();
    assert_eq!(node.pve.guest_state(&plan.name).unwrap(), GuestState::Absent);
    node.pve.put_record(&record(&plan)).unwrap();
    for _ in 0..2 {
        node.pve.unretire_guest(&plan.name, "team-1").unwrap();
    }
    assert_eq!(
        Registry::parse(&node.registry()).gateways().unwrap(),
        Registry::parse(&before.0).gateways().unwrap()
    );
    assert_eq!(node.config("lxc/100.conf"), before.1);
    node.pve.retire_guest(&plan.name, "team-2").unwrap();
    node.pve.remove_record(&plan.name).unwrap();
    for _ in 0..2 {
        node.pve.purge_guest("team-2").unwrap();
    }
    assert_eq!(node.configs(), Vec::<String>::new());
    assert!(!node.registry().contains("retired: ") && !node.registry().contains("gateway: "));
}

#[test]
fn a_half_made_container_of_ours_is_cleared_away() {
    let node = node(PVE9);
    let plan = container();
    node.pve.add_record(&record(&plan)).unwrap();
    node.fault("pct create", Fault::Says("TASK ERROR: no space: out of space"));
    assert_eq!(node.pve.create_guest(&plan).unwrap_err().code, "no-space");
    // it has its marks, but its task never ended
    let half = "#pve-smbgateway%3A team\nlock: create\ntags: smbgateway\nrootfs: local:x\n";
    node.programs.write("lxc", "100", half);
    node.pve.create_guest(&plan).unwrap();
    assert_eq!(node.configs().len(), 1);
    assert!(!node.config(&node.configs()[0]).contains("lock:"));
}

/// A guest that has nothing but a task's lock may be anybody's. Its task has a minute to end.
#[test]
fn a_killed_task_is_waited_for() {
    let node = node(PVE9);
    let plan = container();
    node.pve.add_record(&record(&plan)).unwrap();
    node.fault("pct create", Fault::Killed);
    assert_eq!(node.pve.create_guest(&plan).unwrap_err().code, "proxmox-refused");
    assert_eq!(node.pve.remove_record(&plan.name).unwrap_err().code, "guest-remains");
    // its task still runs: it cleans up
    *node.programs.tasks.lock().unwrap() = r#"[{"upid":"UPID:pve1:1:2:3:vzcreate:100:root@pam:"}]"#;
    let programs = node.programs.clone();
    let cleaner = std::thread::spawn(move || {
        std::fs::remove_file(programs.conf("100").unwrap()).unwrap();
        programs.list();
    });
    node.pve.destroy_guest(&plan.name).unwrap();
    cleaner.join().unwrap();
    // or it is over, and nothing but a lock is left
    *node.programs.tasks.lock().unwrap() = "[]";
    node.fault("pct create", Fault::Killed);
    node.pve.create_guest(&plan).unwrap_err();
    node.pve.destroy_guest(&plan.name).unwrap();
    node.pve.remove_record(&plan.name).unwrap();
    assert_eq!(node.configs(), Vec::<String>::new());
}

#[test]
fn two_at_once_get_two_ids() {
    let node = node(PVE9);
    std::thread::scope(|scope| {
        for (number, name) in ["one", "two", "three"].into_iter().enumerate() {
            let pve = node.pve.clone();
            scope.spawn(move || {
                let mut plan = container();
                plan.name = name.parse().unwrap();
                plan.card().address = crate::record::GuestAddress::Static {
                    ip: [10, 0, 0, number as u8 + 1].into(),
                    prefix: 24,
                };
                let mut record = record(&plan);
                record.spec.name = plan.name.clone();
                pve.add_record(&record).unwrap();
                pve.create_guest(&plan).unwrap();
            });
        }
    });
    assert_eq!(node.configs().len(), 3);
    let ids: std::collections::BTreeSet<_> =
        node.pve.registry().unwrap().gateways().unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn other_nodes_gateways_are_read_and_not_changed() {
    let node = node(PVE9);
    let plan = container();
    node.make(&plan).unwrap();
    let cluster = node.paths.cluster();
    std::fs::create_dir_all(cluster.join("nodes/pve2/lxc")).unwrap();
    std::fs::rename(cluster.join("nodes/pve1/lxc/100.conf"), cluster.join("nodes/pve2/lxc/100.conf"))
        .unwrap();
    std::fs::write(cluster.join(".vmlist"), r#"{"ids":{"100":{"node":"pve2","type":"lxc"}}}"#).unwrap();
    node.calls();
    let error = node.pve.lock(&plan.name).map(drop).unwrap_err();
    assert_eq!((error.code, error.category.exit_code()), ("gateway-elsewhere", 3));
    assert!(error.hint.unwrap().contains("pve2"));
    node.pve.guest_state(&plan.name).unwrap();
    assert_eq!(node.pve.guest_states(&[record(&plan)]).unwrap(), [GuestState::Stopped]);
    assert_eq!(node.calls(), ["pvesh get /nodes/pve2/lxc/100/status/current", "pvesh get /nodes/pve2/lxc"]);
    assert_eq!(node.pve.start(&plan).unwrap_err().code, "gateway-elsewhere");
}

#[test]
fn a_start_that_fails_says_what_is_missing() {
    let node = node(PVE9);
    let plan = container();
    node.make(&plan).unwrap();
    node.fault(
        "pct start",
        Fault::Says("run_buffer: 322 Script exited with status 2\nstartup for container '100' failed"),
    );
    assert_eq!(node.pve.start(&plan).unwrap_err().code, "path-missing");
    node.fault("pct start", Fault::Says("CT is locked (backup)"));
    assert_eq!(node.pve.start(&plan).unwrap_err().code, "guest-locked");
}

#[test]
fn storages_are_found_and_refused_by_name() {
    let node = node(PVE9);
    std::fs::write(
        node.paths.cluster().join("storage.cfg"),
        "dir: local\n\tpath /var/lib/vz\n\nnfs: nas\n\tserver x\n\nlvmthin: thin\n\tvgname pve\n",
    )
    .unwrap();
    let locate = |yaml: &str| {
        let mut spec: GatewaySpec = serde_yaml::from_str(yaml).unwrap();
        node.pve.locate(&mut spec).map(|()| spec.shares[0].directory().unwrap().to_string())
    };
    assert_eq!(locate("{name: t, shares: [{name: team, storage: local}]}").unwrap(), "/var/lib/vz/team");
    for (storage, mode, code) in [
        ("nas", "lxc", "storage-unsuitable"),
        ("thin", "lxc", "storage-unsuitable"),
        ("none", "lxc", "storage-missing"),
        ("nas", "vm", "storage-missing"),
    ] {
        let yaml = format!("{{name: t, mode: {mode}, shares: [{{name: team, storage: {storage}}}]}}");
        let error = locate(&yaml).unwrap_err();
        assert_eq!(error.code, code, "{storage} {mode}");
        assert!(error.hint.is_some());
    }
    let spec: GatewaySpec = serde_yaml::from_str("{name: t, template: debian-13_0.1.0}").unwrap();
    assert_eq!(node.pve.place_guest(&spec).unwrap().unwrap().as_str(), "local");
}
