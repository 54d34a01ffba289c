//! One of each command line, against the parameters that Proxmox VE 8.4 and 9.2 have: names, types, ranges, enumerations, and
//! every key of every property string. The parameters are facts from the real programs, in a folder beside the repository.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use smbgw_api::{DnsDomain, StorageId, VolumeId};

use super::pvesh::{Kind, Mapped};
use super::{Call, External, node, pct, pvesh, pvesm, qm};
use crate::platform::pve::capabilities::ShareMounts;
use crate::platform::pve::config::guest::GuestConfig;
use crate::platform::pve::config::machine::Data;
use crate::platform::pve::config::{container, machine, marker};
use crate::record::tests::machine as machine_plan;
use crate::record::{GuestAddress, GuestForm};

/// Programs that are not Proxmox VE's: nothing is known of their parameters.
const OTHERS: [&str; 3] = ["dpkg-query", "zfs", "ssh"];

fn storage() -> StorageId {
    StorageId::parse("local-zfs").unwrap()
}

fn volume(text: &str) -> VolumeId {
    VolumeId::parse(text).unwrap()
}

/// A container's options with everything that can be said.
fn container_options(mounts: ShareMounts) -> pct::Options {
    container::options(&container::tests::plan(), mounts, &GuestConfig::default()).unwrap()
}

/// A virtual machine's options with everything that can be said.
fn machine_options(data: Option<Data>, there: &str, firmware: smbgw_api::Firmware) -> qm::Set {
    let mut plan = machine_plan();
    plan.startup = Some("order=20,up=30,down=60".parse().unwrap());
    plan.card().vlan = Some("30".parse().unwrap());
    plan.card().nameservers = vec![[10, 0, 0, 10].into(), [10, 0, 0, 11].into()];
    plan.card().searchdomain = Some(DnsDomain::parse("ad.example.com").unwrap());
    plan.form = GuestForm::Machine { firmware, disk: None };
    machine::set(102, &plan, data.as_ref(), &GuestConfig::parse(there), &storage()).unwrap()
}

/// One of each, with all options, on a node of this version.
fn every(mounts: ShareMounts) -> Vec<Call> {
    let team = marker::of_gateway(&"team".parse().unwrap());
    let mapped = |node: &str| Mapped { node: node.to_owned(), path: "/tank/smb/a b".to_owned() };
    let mut dhcp = machine_plan();
    dhcp.card().address = GuestAddress::Dhcp;
    dhcp.card().gateway = None;
    vec![
        pct::Create {
            id: 101,
            template: volume("local:vztmpl/smb-gateway-debian-13_0.1.0.tar.zst"),
            hostname: "team".into(),
            description: team.clone(),
            tags: marker::TAG.into(),
            storage: storage(),
            root_gib: container::ROOT_GIB,
            options: container_options(mounts),
        }
        .into(),
        pct::Set {
            id: 101,
            options: container_options(mounts),
            delete: vec![
                "cores".into(),
                "startup".into(),
                "nameserver".into(),
                "searchdomain".into(),
                "mp3".into(),
            ],
        }
        .into(),
        pct::Onboot { id: 101, onboot: false }.into(),
        pct::Start { id: 101 }.into(),
        pct::Shutdown { id: 101, timeout: 30 }.into(),
        pct::Destroy { id: 101, force: true }.into(),
        pct::Unlock { id: 101 }.into(),
        qm::Create {
            id: 9000,
            name: "smbgw-debian-13-vm-0-1-0".into(),
            description: marker::of_template("debian-13-vm_0.1.0"),
            tags: marker::TAG.into(),
            storage: storage(),
            image: "/root/smb-gateway-debian-13_0.1.0_amd64.qcow2".into(),
            format: Some("qcow2"),
        }
        .into(),
        qm::Template { id: 9000 }.into(),
        qm::Clone { template: 9000, id: 102, name: "team".into(), description: team.clone(), copy_to: None }
            .into(),
        qm::Clone {
            template: 9000,
            id: 102,
            name: "team".into(),
            description: team,
            copy_to: Some(storage()),
        }
        .into(),
        machine_options(Some(Data::Volume(volume("ceph:vm-900-disk-0"))), "", smbgw_api::Firmware::Uefi)
            .into(),
        machine_options(
            Some(Data::Path("/dev/zvol/tank/team".into())),
            "tags: a;b\nefidisk0: local-zfs:vm-102-disk-1\n",
            smbgw_api::Firmware::Uefi,
        )
        .into(),
        machine_options(None, "scsi1: ceph:x\nvirtiofs1: smbgw-0123456789ab\n", smbgw_api::Firmware::Bios)
            .into(),
        machine::set(
            102,
            &dhcp,
            None,
            &GuestConfig::parse("startup: order=1\nnameserver: 1.1.1.1\nsearchdomain: x\n"),
            &storage(),
        )
        .unwrap()
        .into(),
        qm::Set { id: 102, onboot: true, ..qm::Set::default() }.into(),
        qm::Start { id: 102 }.into(),
        qm::Shutdown { id: 102, timeout: 120 }.into(),
        qm::Resume { id: 102 }.into(),
        qm::Destroy { id: 102 }.into(),
        qm::Unlock { id: 102 }.into(),
        qm::GuestExec {
            id: 102,
            timeout: 5,
            program: vec![
                "/usr/bin/smbgw-agent".into(),
                "call".into(),
                "GET".into(),
                "--deadline".into(),
                "4".into(),
            ],
            input: b"{}".to_vec(),
        }
        .into(),
        qm::FreezeStatus { id: 102 }.into(),
        pvesh::NextId.into(),
        pvesh::Storages { node: "pve1".into() }.into(),
        pvesh::Volumes { node: "pve1".into(), storage: storage() }.into(),
        pvesh::Status { node: "pve1".into(), kind: Kind::Container, id: 101 }.into(),
        pvesh::Status { node: "pve1".into(), kind: Kind::Machine, id: 102 }.into(),
        pvesh::Guests { node: "pve1".into(), kind: Kind::Container }.into(),
        pvesh::Guests { node: "pve1".into(), kind: Kind::Machine }.into(),
        pvesh::Tasks { node: "pve1".into(), id: 101 }.into(),
        pvesh::Map {
            id: "smbgw-0123456789ab".into(),
            description: "pve-smbgateway team".into(),
            directories: vec![mapped("pve1")],
        }
        .into(),
        pvesh::Remap { id: "smbgw-0123456789ab".into(), directories: vec![mapped("pve1"), mapped("pve2")] }
            .into(),
        pvesh::Unmap { id: "smbgw-0123456789ab".into() }.into(),
        pvesm::Path { volume: volume("local:vztmpl/x.tar.zst") }.into(),
        pvesm::Free { volume: volume("local:vztmpl/x.tar.zst") }.into(),
        node::Versions.into(),
        node::ZfsCreate { dataset: "tank/smb/team".into(), ticket: "0123".into() }.into(),
        node::ZfsGet { dataset: "tank/smb/team".into(), properties: vec!["mountpoint", "mounted"] }.into(),
        node::ZfsDestroy { dataset: "tank/smb/team".into() }.into(),
        node::Relay {
            node: "pve2".into(),
            address: "10.0.0.2".into(),
            gateway: "team".parse().unwrap(),
            path: "/v1/health".into(),
            deadline: Duration::from_secs(5),
        }
        .into(),
    ]
}

/// What is known of one version.
struct Schema {
    facts: Value,
}

impl Schema {
    /// Checks a command line.
    fn check(&self, program: &str, args: &[String]) -> Result<(), String> {
        let commands = self.facts["cli"][program].as_object().ok_or(format!("no program {program}"))?;
        let words = |count: usize| args.iter().take(count).cloned().collect::<Vec<_>>().join(" ");
        let count = (1..=3).rev().find(|count| commands.contains_key(&words(*count)));
        let count = count.ok_or(format!("{program} has no {}", words(1)))?;
        let command = &commands[&words(count)];
        let (positional, options) = split(&args[count..], command)?;
        let names: Vec<_> = command["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        if program == "pvesh" {
            return self.check_path(&words(1), &positional, &options);
        }
        for (name, value) in names.iter().zip(&positional) {
            if *name != "extra-args" {
                self.check_value(name, &command["params"][name], value)?;
            }
        }
        if positional.len() > names.len() && names.last() != Some(&"extra-args") {
            return Err(format!("too many words: {positional:?}"));
        }
        for (name, value) in &options {
            let known = parameter(&command["params"], name).ok_or(format!("unknown option --{name}"))?;
            self.check_value(name, known, value)?;
        }
        self.check_required(&command["params"], &names[..positional.len().min(names.len())], &options)
    }

    /// Checks a path of the API and its parameters.
    fn check_path(&self, verb: &str, words: &[String], options: &[(String, String)]) -> Result<(), String> {
        let [path] = words else { return Err(format!("one path, not {words:?}")) };
        let paths = self.facts["api"].as_object().ok_or("no API")?;
        let parts: Vec<_> = path.split('/').collect();
        let same = |known: &str| {
            let known: Vec<_> = known.split('/').collect();
            known.len() == parts.len()
                && known
                    .iter()
                    .zip(&parts)
                    .all(|(known, part)| known == part || (known.starts_with('{') && !part.is_empty()))
        };
        // a fixed name goes before a placeholder
        let mut known: Vec<_> = paths.keys().filter(|known| same(known)).collect();
        known.sort_by_key(|known| known.matches('{').count());
        let known = known.first().ok_or(format!("no path {path}"))?;
        let method = match verb {
            "get" => "GET",
            "create" => "POST",
            "set" => "PUT",
            _ => "DELETE",
        };
        let params = &paths[*known][method]["params"];
        if paths[*known].get(method).is_none() {
            return Err(format!("{known} has no {method}"));
        }
        let mut fixed = Vec::new();
        for (name, part) in known.split('/').zip(&parts) {
            if let Some(name) = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                fixed.push(name);
                self.check_value(name, &params[name], part)?;
            }
        }
        for (name, value) in options {
            let own = &self.facts["cli"]["pvesh"][verb]["params"];
            let known = parameter(params, name).or_else(|| parameter(own, name));
            self.check_value(name, known.ok_or(format!("unknown parameter {name}"))?, value)?;
        }
        self.check_required(params, &fixed, options)
    }

    fn check_required(
        &self,
        params: &Value,
        given: &[&str],
        options: &[(String, String)],
    ) -> Result<(), String> {
        for (name, known) in params.as_object().into_iter().flatten() {
            let optional = known["optional"] == 1 || known["optional"] == "1";
            let there = given.contains(&name.as_str()) || options.iter().any(|(option, _)| option == name);
            if !optional && !there && name != "node" && name != "extra-args" {
                return Err(format!("--{name} is missing"));
            }
        }
        Ok(())
    }

    fn check_value(&self, name: &str, known: &Value, value: &str) -> Result<(), String> {
        let bad = |why: &str| Err(format!("{name} = {value:?}: {why}"));
        let number = || value.parse::<f64>().map_err(|_| format!("{name} = {value:?}: no number"));
        match known["type"].as_str() {
            Some("boolean") if !["0", "1"].contains(&value) => return bad("no truth value"),
            Some("integer") if value.parse::<i64>().is_err() => return bad("no whole number"),
            _ => {}
        }
        if let Some(least) = known["minimum"].as_f64()
            && number()? < least
        {
            return bad("too small");
        }
        if let Some(most) = known["maximum"].as_f64()
            && number()? > most
        {
            return bad("too large");
        }
        if let Some(most) = known["maxLength"].as_u64()
            && value.len() as u64 > most
        {
            return bad("too long");
        }
        if let Some(values) = known["enum"].as_array()
            && !values.iter().any(|one| one == value)
        {
            return bad("not among the values");
        }
        let format = match known["type"].as_str() {
            Some("array") => known["items"]["format"].as_str(),
            _ => known["format"].as_str(),
        };
        match format {
            Some(format) if format.starts_with('#') => self.check_property(name, format, value),
            Some("pve-qm-ipconfig") => keys(value, &["ip", "gw", "ip6", "gw6"]),
            Some("pve-startup-order") => keys(value, &["order", "up", "down"]),
            Some("dns-name") if !value.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) => {
                bad("no DNS name")
            }
            _ => Ok(()),
        }
    }

    fn check_property(&self, name: &str, format: &str, value: &str) -> Result<(), String> {
        let keys =
            self.facts["subformats"][format].as_object().ok_or(format!("{name}: no format {format}"))?;
        let default = keys.iter().find(|(_, known)| known["default_key"] == 1).map(|(key, _)| key.as_str());
        let mut seen = BTreeSet::new();
        for part in value.split(',') {
            let (key, text) = match (part.split_once('='), default) {
                (Some((key, text)), _) => (key, text),
                (None, Some(default)) => (default, part),
                (None, None) => return Err(format!("{name}: {part:?} without a key")),
            };
            let mut known = keys.get(key).ok_or(format!("{name} has no key {key}"))?;
            let mut real = key;
            if let Some(alias) = known["alias"].as_str() {
                // as `virtio=MAC`, which is the model and its address
                if let Some(other) = known["keyAlias"].as_str() {
                    seen.insert(other.to_owned());
                }
                (real, known) = (alias, &keys[alias]);
            }
            if !seen.insert(real.to_owned()) {
                return Err(format!("{name}: {real} twice"));
            }
            self.check_value(&format!("{name}.{key}"), known, text)?;
        }
        let missing = keys.iter().find(|(key, known)| {
            known["optional"] != 1 && known["alias"].is_null() && !seen.contains(key.as_str())
        });
        missing.map_or(Ok(()), |(key, _)| Err(format!("{name} lacks {key}")))
    }
}

/// Formats that are code in Proxmox VE: their keys are written down here (pve-common, qemu-server).
fn keys(value: &str, known: &[&str]) -> Result<(), String> {
    let unknown =
        value.split(',').find(|part| !part.split_once('=').is_some_and(|(key, _)| known.contains(&key)));
    unknown.map_or(Ok(()), |part| Err(format!("{part:?} is not among {known:?}")))
}

/// A parameter by name; `net0` is one of `net[0-31]`.
fn parameter<'a>(params: &'a Value, name: &str) -> Option<&'a Value> {
    let params = params.as_object()?;
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: Option<u32> = name[stem.len()..].parse().ok();
    let family = || {
        params.iter().find(|(known, _)| {
            let range = known.strip_prefix(stem).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
            let range = range.and_then(|range| range.split_once('-'));
            range.zip(number).is_some_and(|((first, last), number)| {
                (first.parse().unwrap()..=last.parse().unwrap()).contains(&number)
            })
        })
    };
    params.get(name).or_else(|| family().map(|(_, known)| known))
}

type Split = (Vec<String>, Vec<(String, String)>);

/// Words and options. What follows `--` are words.
fn split(args: &[String], _: &Value) -> Result<Split, String> {
    let (mut words, mut options) = (Vec::new(), Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            words.extend(rest.by_ref().cloned());
        } else if let Some(name) = arg.strip_prefix("--") {
            let value = rest.next().ok_or(format!("--{name} without a value"))?;
            options.push((name.to_owned(), value.clone()));
        } else {
            words.push(arg.clone());
        }
    }
    Ok((words, options))
}

fn schema(version: u32) -> Option<Schema> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/pve-schema");
    let text = std::fs::read_to_string(folder.join(format!("pve{version}.json")));
    match text {
        Ok(text) => Some(Schema { facts: serde_json::from_str(&text).unwrap() }),
        Err(error) => {
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "the parameters of Proxmox VE are not in {}: {error}", folder.display());
            eprintln!("NOT CHECKED: there are no parameters of Proxmox VE {version} in {}", folder.display());
            None
        }
    }
}

#[test]
fn every_call_is_among_them() {
    let seen: BTreeSet<_> = every(ShareMounts::Passthrough).iter().map(Call::name).collect();
    for name in Call::NAMES {
        assert!(seen.contains(name), "{name} is not in `every`, so its parameters are not checked");
    }
}

#[test]
fn proxmox_ve_takes_every_command_line() {
    for (version, mounts) in [(8, ShareMounts::Raw), (9, ShareMounts::Raw), (9, ShareMounts::Passthrough)] {
        let Some(schema) = schema(version) else { continue };
        for call in every(mounts) {
            let command = call.command();
            if OTHERS.contains(&command.program()) {
                continue;
            }
            if let Err(why) = schema.check(command.program(), command.arguments()) {
                panic!("Proxmox VE {version} would refuse `{}`: {why}", command.display());
            }
        }
    }
}

#[test]
fn what_is_wrong_is_refused() {
    let Some(schema) = schema(8) else { return };
    let words = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
    for (program, line) in [
        ("pct", "set 101 --colour red"),
        ("pct", "set 101 --memory 8"),
        ("pct", "set 99 --memory 128"),
        ("pct", "set 101 --mp0 /a,mp=/b,idmap=passthrough"),
        ("pct", "set 101 --mp256 /a,mp=/b"),
        ("pct", "set 101 --net0 bridge=vmbr0"),
        ("pct", "create 101"),
        ("qm", "set 102 --bios none"),
        ("qm", "clone 102"),
        ("qm", "destroy 102 --force 1"),
        ("pvesh", "get /cluster/colour"),
        ("pvesh", "create /cluster/mapping/dir --id x"),
        ("pvesh", "delete /cluster/nextid"),
    ] {
        assert!(schema.check(program, &words(line)).is_err(), "{program} {line}");
    }
    assert!(schema.check("pct", &words("set 101 --mp0 /a,mp=/b")).is_ok());
}

/// As people see them: every command line on PVE 9.2.
#[test]
fn command_lines() {
    let lines: Vec<_> = every(ShareMounts::Passthrough).iter().map(|call| call.command().display()).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
