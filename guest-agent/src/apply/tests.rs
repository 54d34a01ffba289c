//! Applying in a tree of its own: tools that really edit its files, an smbd that answers NEGOTIATE and no more.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use smbgw_api::v1::{DesiredState, ErrorKind};
use smbgw_command::{Command, CommandError, Output, Runner};

use super::{recover::recover, run::apply};
use crate::agent::Agent;
use crate::instance::Instance;
use crate::paths::Paths;
use crate::samba::config::Config;
use crate::services::Job;
use crate::services::fake::Fake;

/// What goes wrong at the n-th command.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    Fails,
    /// The agent is killed before or after the command did its work.
    KilledBefore,
    KilledAfter,
}

/// Does to the tree what the real tools would.
struct Tools {
    root: std::path::PathBuf,
    seen: Arc<Mutex<Vec<String>>>,
    count: AtomicUsize,
    at: usize,
    trouble: Trouble,
}

impl Tools {
    fn edit(&self, file: &str, edit: impl Fn(&mut Vec<String>)) {
        let path = self.root.join(file);
        let mut lines: Vec<String> =
            std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        edit(&mut lines);
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}

impl Runner for Tools {
    fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let display = command.display();
        self.seen.lock().unwrap().push(display.clone());
        let hit = self.count.fetch_add(1, Ordering::SeqCst) == self.at;
        let trouble = if hit { self.trouble } else { Trouble::None };
        match trouble {
            Trouble::Fails => {
                return Err(CommandError::Failed {
                    command: display,
                    code: Some(1),
                    status: "exit code 1".into(),
                    stderr: "made to fail".into(),
                    stdout: String::new(),
                });
            }
            Trouble::KilledBefore => std::panic::panic_any("killed"),
            Trouble::None | Trouble::KilledAfter => {}
        }
        let words: Vec<&str> = display.split(' ').collect();
        let mut output = Output::default();
        match words[0] {
            "useradd" => {
                let (uid, name) = (words[2], *words.last().unwrap());
                self.edit("etc/passwd", |l| l.push(format!("{name}:x:{uid}:{uid}:smbgw:/:/x")));
                self.edit("etc/group", |l| l.push(format!("{name}:x:{uid}:")));
            }
            "userdel" => {
                let start = format!("{}:", words[2]);
                self.edit("etc/passwd", |l| l.retain(|line| !line.starts_with(&start)));
                self.edit("etc/group", |l| l.retain(|line| !line.starts_with(&start)));
                // as userdel(8): out of all groups
                self.edit("etc/group", |lines| {
                    for line in lines {
                        let (head, members) = line.rsplit_once(':').unwrap();
                        let kept: Vec<_> = members.split(',').filter(|name| *name != words[2]).collect();
                        *line = format!("{head}:{}", kept.join(","));
                    }
                });
            }
            "groupadd" => {
                let (gid, name) = (words[2], *words.last().unwrap());
                self.edit("etc/group", |l| l.push(format!("{name}:x:{gid}:")));
                self.edit("etc/gshadow", |l| l.push(format!("{name}:!smbgw::")));
            }
            "groupdel" => {
                let start = format!("{}:", words[1]);
                self.edit("etc/group", |l| l.retain(|line| !line.starts_with(&start)));
                self.edit("etc/gshadow", |l| l.retain(|line| !line.starts_with(&start)));
            }
            "groupmod" | "gpasswd" => {
                let start = format!("{}:", words.last().unwrap());
                self.edit("etc/group", |lines| {
                    for line in lines.iter_mut().filter(|line| line.starts_with(&start)) {
                        let mut fields: Vec<&str> = line.split(':').collect();
                        let field = if words[0] == "groupmod" { 2 } else { 3 };
                        fields[field] = words[2].trim_matches('\'');
                        *line = fields.join(":");
                    }
                });
            }
            // on files, these do for real what they do to disks and folders
            "blkid" | "mkfs.ext4" | "resize2fs" | "getfacl" | "setfacl" => {
                output = smbgw_command::System::new().run(command)?;
            }
            "testparm" => output.stdout = std::fs::read(words.last().unwrap()).unwrap(),
            _ => {}
        }
        if trouble == Trouble::KilledAfter {
            std::panic::panic_any("killed");
        }
        Ok(output)
    }
}

/// A tree as a template has it, and an smbd.
struct Gateway {
    root: tempfile::TempDir,
    services: Arc<Fake>,
    seen: Arc<Mutex<Vec<String>>>,
    port: u16,
}

impl Gateway {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for directory in [
            "etc/samba",
            "var/lib/smbgw",
            "srv/smb/x",
            "srv/smb/y",
            "etc/systemd/system/multi-user.target.wants",
            "proc/self",
        ] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        std::fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        std::fs::write(root.path().join("etc/group"), "root:x:0:\n").unwrap();
        std::fs::write(root.path().join("etc/gshadow"), "root:*::\n").unwrap();
        std::fs::write(root.path().join("proc/self/mountinfo"), "").unwrap();
        std::fs::write(root.path().join("etc/samba/smb.conf"), Config::base().render()).unwrap();
        let services = Arc::new(Fake::below("active", root.path()));
        Self { root, services, seen: Arc::default(), port: smbd() }
    }

    fn agent(&self, trouble: Trouble, at: usize) -> Agent {
        let tools = Tools {
            root: self.root.path().to_owned(),
            seen: Arc::clone(&self.seen),
            count: AtomicUsize::new(0),
            at,
            trouble,
        };
        let services = Box::new(Arc::clone(&self.services));
        Agent::new(Paths::below(self.root.path()), Box::new(tools), services, Instance::at(self.port))
    }

    fn well(&self) -> Agent {
        self.agent(Trouble::None, 0)
    }

    /// All files that the agent may change, with their content.
    fn files(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        let wanted = "etc/systemd/system/multi-user.target.wants";
        for directory in ["etc", "etc/samba", "var/lib/smbgw", "etc/systemd/system", wanted] {
            for entry in std::fs::read_dir(self.root.path().join(directory)).unwrap() {
                let path = entry.unwrap().path();
                // the SID stays set, by intent
                if path.is_file() && !path.ends_with("machine-sid") {
                    let mut text = std::fs::read_to_string(&path).unwrap();
                    // who is made anew is the last one of the file
                    if ["etc/passwd", "etc/group", "etc/gshadow"].iter().any(|name| path.ends_with(name)) {
                        let mut lines: Vec<&str> = text.lines().collect();
                        lines.sort_unstable();
                        text = lines.join("\n");
                    }
                    files.push((path.display().to_string(), text));
                }
            }
        }
        files.sort();
        files
    }

    fn conf(&self) -> String {
        std::fs::read_to_string(self.root.path().join("etc/samba/smb.conf")).unwrap()
    }
}

/// Answers every NEGOTIATE on a port of its own, as long as the test runs.
fn smbd() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 4];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut request).unwrap();
            let mut answer = vec![0; 80];
            answer[..4].copy_from_slice(b"\xfeSMB");
            (answer[64], answer[68], answer[69]) = (65, 0x11, 0x03);
            stream.write_all(&80u32.to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    port
}

#[path = "storage_tests.rs"]
mod storage;

fn state(users: &[&str], shares: &[&str]) -> DesiredState {
    let uid = |name: &str| 10_000 + u32::from(name.as_bytes()[0]);
    let users: Vec<String> = users.iter().map(|n| format!(r#"{{"name":"{n}","uid":{}}}"#, uid(n))).collect();
    let share = r#""comment":null,"read_only":false,"users":[],"browseable":true"#;
    let shares: Vec<String> = shares.iter().map(|n| format!(r#"{{"name":"{n}",{share}}}"#)).collect();
    let (users, shares) = (users.join(","), shares.join(","));
    let json = format!(r#"{{"name":"team","security":"standard","users":[{users}],"shares":[{shares}]}}"#);
    serde_json::from_str(&json).unwrap()
}

#[test]
fn twice_is_once() {
    let gateway = Gateway::new();
    let desired = state(&["alice"], &["x"]);
    assert!(apply(&gateway.well(), &desired).unwrap().changed);
    let (files, commands) = (gateway.files(), gateway.seen.lock().unwrap().len());
    let jobs = gateway.services.jobs.lock().unwrap().len();
    let again = apply(&gateway.well(), &desired).unwrap();
    assert!(!again.changed && again.actions.is_empty());
    assert_eq!(gateway.files(), files);
    assert_eq!(
        (gateway.seen.lock().unwrap().len(), gateway.services.jobs.lock().unwrap().len()),
        (commands, jobs)
    );
}

#[test]
fn a_missing_directory_changes_nothing() {
    let gateway = Gateway::new();
    let before = gateway.files();
    std::fs::remove_dir(gateway.root.path().join("srv/smb/x")).unwrap();
    std::os::unix::fs::symlink("/tmp", gateway.root.path().join("srv/smb/x")).unwrap();
    let error = apply(&gateway.well(), &state(&["alice"], &["x"])).unwrap_err();
    assert_eq!((error.kind, gateway.files()), (ErrorKind::Storage, before));
}

#[test]
fn an_smbd_that_does_not_come_up_gets_the_old_state_back() {
    let gateway = Gateway::new();
    apply(&gateway.well(), &state(&["alice"], &["x"])).unwrap();
    let before = gateway.files();
    gateway.services.failing.lock().unwrap().push(Job::Reload);
    let error = apply(&gateway.well(), &state(&["alice", "bob"], &["x", "y"])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Samba);
    assert!(error.message.contains("old state was put back"), "{error}");
    assert_eq!(gateway.files(), before);
    assert_eq!(gateway.services.jobs.lock().unwrap().last(), Some(&Job::Restart));
}

/// From nothing and from an older state, to a newer one.
fn changes() -> Vec<(Option<DesiredState>, DesiredState)> {
    let old = state(&["alice", "zoe"], &["x"]);
    let new = state(&["alice", "bob"], &["x", "y"]);
    let grouped = |state: &DesiredState, groups: &str| DesiredState {
        groups: serde_json::from_str(groups).unwrap(),
        ..state.clone()
    };
    let staff = r#"[{"name":"staff","gid":20000,"members":["alice","zoe"]},{"name":"old","gid":20001,"members":["zoe"]}]"#;
    let crew =
        r#"[{"name":"staff","gid":20005,"members":["alice","bob"]},{"name":"new","gid":20002,"members":[]}]"#;
    let (before, mut after) = (grouped(&old, staff), grouped(&new, crew));
    // made anew, and to be put back into the groups
    after.users[0].uid += 1000;
    vec![(None, old.clone()), (Some(old), new), (None, before.clone()), (Some(before), after)]
}

#[test]
fn a_failure_at_any_command_leaves_the_old_state_or_the_new() {
    for (old, new) in changes() {
        for at in 0..30 {
            let gateway = Gateway::new();
            old.iter().for_each(|old| drop(apply(&gateway.well(), old).unwrap()));
            let before = gateway.files();
            let agent = gateway.agent(Trouble::Fails, at);
            let result = apply(&agent, &new);
            if result.is_err() && crate::state::load(&agent.paths).unwrap() != Some(new.clone()) {
                assert_eq!(gateway.files(), before, "command {at}: {:?}", gateway.seen);
            }
            assert!(apply(&gateway.well(), &new).is_ok());
            assert_eq!(gateway.conf(), Config::of(&new, &Instance::at(gateway.port), None).render());
        }
    }
}

#[test]
fn a_kill_at_any_command_is_repaired_at_the_next_start() {
    for (old, new) in changes() {
        for (at, trouble) in (0..30).flat_map(|at| [(at, Trouble::KilledBefore), (at, Trouble::KilledAfter)])
        {
            let gateway = Gateway::new();
            old.iter().for_each(|old| drop(apply(&gateway.well(), old).unwrap()));
            let before = gateway.files();
            let agent = gateway.agent(trouble, at);
            let killed = catch_unwind(AssertUnwindSafe(|| apply(&agent, &new))).is_err();
            let next = gateway.well();
            recover(&next).unwrap();
            let recorded = crate::state::load(&next.paths).unwrap();
            if recorded == old {
                assert!(killed);
                assert_eq!(gateway.files(), before, "command {at}: {:?}", gateway.seen);
            } else {
                assert_eq!(recorded, Some(new.clone()));
                assert!(!apply(&next, &new).unwrap().changed, "command {at}");
                let leftovers = gateway.files().iter().filter(|(path, _)| path.contains("smbgw-")).count();
                assert_eq!(leftovers, 0);
            }
            assert!(Path::new(&gateway.root.path().join("etc/passwd")).exists());
        }
    }
}
