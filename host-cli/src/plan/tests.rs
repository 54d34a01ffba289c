//! Plans as they are, and every rule that refuses one.

mod groups;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smbgw_api::{BridgeName, DiskSource, GatewayName, GatewaySpec, HostPath, UserName};
use smbgw_journal::Step as _;

use super::{Entropy, Observed, Plan, change, create, delete};
use crate::Error;
use crate::platform::native::facts::NativeFacts;
use crate::platform::{DiskFacts, Form, GuestState, NodeFacts, OwnNetwork, Template};
use crate::record::{Record, RecordState};
use crate::step::Step;
use crate::storage::StorageFacts;

const RUNNING: GuestState = GuestState::Running { pid: 1 };

fn entropy() -> Entropy {
    Entropy { now: Timestamp::UNIX_EPOCH, random: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef }
}

fn spec(yaml: &str) -> GatewaySpec {
    serde_yaml::from_str(yaml).unwrap()
}

fn ext4(uid: u32, mode: u32) -> StorageFacts {
    StorageFacts {
        uid,
        gid: uid,
        mode,
        acl: None,
        filesystem: "ext4".into(),
        xattrs: true,
        acls: true,
        idmapped_mounts: true,
        read_only: false,
    }
}

fn rbd(image: &str, user: Option<&str>) -> DiskSource {
    DiskSource::Rbd { image: image.parse().unwrap(), user: user.map(|user| user.parse().unwrap()) }
}

fn template((base, form): (&str, Form)) -> Template {
    Template {
        form,
        name: format!("{base}_0.2.0"),
        base: base.into(),
        version: "0.2.0".into(),
        sha256: String::new(),
        samba: String::new(),
        storage: None,
        used_by: Vec::new(),
    }
}

fn node() -> Observed {
    let path = |path: &str| HostPath::parse(path).unwrap();
    Observed {
        node: NodeFacts {
            id: "0123".into(),
            bridges: vec!["vmbr0".into(), "vmbr1".into()],
            vlan_bridges: vec!["vmbr1".into()],
            own_network: Some(OwnNetwork {
                bridge: BridgeName::parse("smbgw0").unwrap(),
                node: [10, 86, 0, 1].into(),
                prefix: 24,
            }),
            default_bridge: None,
            id_range: Some((100_000, 65_536)),
            subids: crate::platform::subid::SubIds::default(),
            id_mechanism: "an idmapped mount",
            abilities: crate::platform::Abilities::default(),
            native: NativeFacts {
                systemd: true,
                missing: Vec::new(),
                missing_for_domain: Vec::new(),
                agent: Some("/usr/lib/pve-smbgateway/smbgw-agent".into()),
                addresses: ["127.0.0.1", "10.0.0.5"].map(|ip| ip.parse().unwrap()).to_vec(),
                listeners: Vec::new(),
            },
        },
        elsewhere: BTreeSet::new(),
        absent: BTreeSet::new(),
        quotas: BTreeMap::new(),
        owners: BTreeMap::new(),
        guest_storage: None,
        caveats: Vec::new(),
        records: Vec::new(),
        ids: BTreeMap::new(),
        templates: [("debian-13", Form::Container), ("debian-13-vm", Form::Machine)].map(template).to_vec(),
        disks: BTreeMap::from([
            (rbd("tank/team", None), DiskFacts { bytes: 10 << 30 }),
            (rbd("tank/team", Some("px")), DiskFacts { bytes: 10 << 30 }),
        ]),
        storage: BTreeMap::from([
            (path("/srv/alices"), ext4(10_000, 0o755)),
            (path("/srv/roots"), ext4(0, 0o755)),
            (
                path("/srv/nfs"),
                StorageFacts { filesystem: "nfs".into(), idmapped_mounts: false, ..ext4(0, 0o777) },
            ),
            (path("/srv/noxattr"), StorageFacts { xattrs: false, ..ext4(0, 0o777) }),
            (path("/srv/noacl"), StorageFacts { acls: false, ..ext4(0, 0o777) }),
            (path("/srv/ro"), StorageFacts { read_only: true, ..ext4(0, 0o777) }),
        ]),
    }
}

fn users(names: &[&str]) -> BTreeSet<UserName> {
    names.iter().map(|name| UserName::parse(name).unwrap()).collect()
}

fn planned(yaml: &str, observed: &Observed) -> Result<Plan, Error> {
    let spec = spec(yaml);
    let with_password = spec.users.iter().map(|user| user.name.clone()).collect();
    create::plan(&|_| Vec::new(), spec, &with_password, observed, entropy())
}

const TEAM: &str = "{name: team, users: [{name: alice}], shares: [{name: team, path: /srv/alices}]}";

/// The node after a gateway was created by its own plan.
fn with(yaml: &str) -> Observed {
    let mut observed = node();
    let plan = planned(yaml, &observed).unwrap();
    let record = plan.steps.iter().rev().find_map(|step| match step {
        Step::WriteRecord(step) => Some(step.new.clone()),
        _ => None,
    });
    observed.records.push(record.unwrap());
    observed
}

fn with_team() -> Observed {
    with(TEAM)
}

const DISK: &str = "{name: disky, mode: vm, disk: {rbd: tank/team, format: true}, users: [{name: alice}], \
                    shares: [{name: docs, folder: docs}, {name: team, path: /srv/alices}]}";

fn with_disk() -> Observed {
    with(DISK)
}

fn changed(yaml: &str, state: GuestState, observed: &Observed) -> Result<Plan, Error> {
    let nobody = BTreeSet::new();
    let wish = change::Wish {
        verb: "set",
        spec: spec(yaml),
        with_password: &nobody,
        force: false,
        domain: change::DomainWish::AsSaid,
    };
    change::plan(&|_| Vec::new(), wish, state, observed, entropy())
}

fn in_words(plan: &Plan) -> String {
    let mut text = format!("{} {}\n", plan.verb, plan.target);
    for step in &plan.steps {
        let back = if step.commits() { " (no way back)" } else { "" };
        text.push_str(&format!("  {:<16} {}{back}\n", step.label(), step.describe()));
    }
    for line in plan.notes.iter().chain(&plan.details) {
        text.push_str(&format!("  note: {line}\n"));
    }
    text
}

#[test]
fn create_in_words() {
    insta::assert_snapshot!(in_words(&planned(TEAM, &node()).unwrap()));
}

#[test]
fn create_with_a_grant_and_two_shares_in_words() {
    let yaml = "{name: team, users: [{name: alice}, {name: bob, uid: 1001}], network: {bridge: vmbr0, ip: 192.168.1.5/24, \
                gateway: 192.168.1.1}, shares: [{name: a, path: /srv/alices}, {name: r, path: /srv/roots, grant: true}]}";
    let error = planned(yaml, &node()).unwrap_err();
    assert_eq!(error.code, "no-access", "bob may not write to what belongs to alice");
    let yaml = yaml.replace("path: /srv/alices", "path: /srv/alices, users: [alice]");
    insta::assert_snapshot!(in_words(&planned(&yaml, &node()).unwrap()));
}

#[test]
fn delete_in_words() {
    let observed = with_team();
    let plan = delete::plan(observed.records[0].name(), RUNNING, false, &observed, entropy()).unwrap();
    insta::assert_snapshot!(in_words(&plan));
}

#[test]
fn a_new_share_in_words() {
    let yaml = TEAM.replace("shares: [", "shares: [{name: r, path: /srv/roots, grant: true}, ");
    insta::assert_snapshot!(in_words(&changed(&yaml, RUNNING, &with_team()).unwrap()));
}

#[test]
fn limits_and_security_need_no_restart() {
    let yaml = TEAM.replace("{name: team, users", "{name: team, memory: 256M, security: high, users");
    insta::assert_snapshot!(in_words(&changed(&yaml, RUNNING, &with_team()).unwrap()));
}

#[test]
fn the_same_spec_is_no_change() {
    assert!(changed(TEAM, RUNNING, &with_team()).unwrap().steps.is_empty());
}

#[test]
fn a_removed_grant_is_revoked() {
    let mut observed = node();
    let yaml = TEAM.replace("/srv/alices", "/srv/roots, grant: true");
    let plan = planned(&yaml, &observed).unwrap();
    let Some(Step::WriteRecord(last)) = plan.steps.last() else { panic!("{plan:?}") };
    observed.records.push(last.new.clone());
    let plan = changed("{name: team, users: [{name: alice}]}", RUNNING, &observed).unwrap();
    assert!(plan.steps.iter().any(|step| step.label() == "revoke:team"), "{}", in_words(&plan));
}

#[test]
fn secrets_are_in_no_step() {
    let plan = planned(TEAM, &node()).unwrap();
    let json = serde_json::to_string(&plan.steps).unwrap();
    assert!(!json.to_lowercase().contains("\"password\""), "{json}");
}

#[test]
fn every_step_survives_the_journal() {
    let observed = with_team();
    let yaml = TEAM.replace("shares: [", "shares: [{name: r, path: /srv/roots, grant: true}, ");
    let plans = [
        planned(TEAM, &node()).unwrap(),
        changed(&yaml, RUNNING, &observed).unwrap(),
        delete::plan(observed.records[0].name(), RUNNING, false, &observed, entropy()).unwrap(),
    ];
    for step in plans.iter().flat_map(|plan| &plan.steps) {
        let json = serde_json::to_string(step).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&json).unwrap(), *step);
    }
}

#[test]
fn a_virtual_machine_in_words() {
    insta::assert_snapshot!(in_words(&planned(DISK, &node()).unwrap()));
}

#[test]
fn a_virtual_machine_restarts_for_its_hardware() {
    let larger = DISK.replace("mode: vm", "mode: vm, memory: 4G");
    let mut text = in_words(&changed(&larger, RUNNING, &with_disk()).unwrap());
    text += &in_words(&changed(&larger, GuestState::Stopped, &with_disk()).unwrap());
    insta::assert_snapshot!(text);
}

#[test]
fn a_virtual_machine_on_a_vlan_without_directories() {
    let yaml = "{name: v, mode: vm, firmware: uefi, network: {bridge: vmbr1, ip: dhcp, vlan: 30}}";
    let plan =
        planned(yaml, &Observed { node: NodeFacts { id_range: None, ..node().node }, ..node() }).unwrap();
    insta::assert_snapshot!(in_words(&plan));
}

#[test]
fn each_broken_rule_of_a_create_has_its_code() {
    let taken = with_team();
    let mut unfinished = with_team();
    unfinished.records[0].state = RecordState::Creating;
    let bare = Observed { templates: Vec::new(), ..node() };
    let no_ids = Observed { node: NodeFacts { id_range: None, ..node().node }, ..node() };
    let share =
        |path: &str| format!("{{name: x, users: [{{name: alice}}], shares: [{{name: x, path: {path}}}]}}");
    let net = |network: &str| format!("{{name: x, network: {{{network}}}}}");
    for (yaml, observed, code) in [
        (TEAM.to_owned(), &taken, "name-taken"),
        (TEAM.to_owned(), &unfinished, "name-taken"),
        (TEAM.to_owned(), &bare, "template-missing"),
        (TEAM.to_owned(), &no_ids, "no-id-range"),
        ("{name: x, mode: vm}".to_owned(), &bare, "template-missing"),
        (
            "{name: x, mode: vm, disk: {rbd: tank/team, ceph-user: px}}".to_owned(),
            &with_disk(),
            "disk-in-use",
        ),
        ("{name: x, template: debian-9}".to_owned(), &node(), "template-missing"),
        (share("/srv/roots"), &node(), "no-access"),
        (share("/srv/nfs"), &node(), "idmap-unsupported"),
        (share("/srv/noxattr"), &node(), "no-xattrs"),
        (share("/srv/noacl"), &node(), "no-acls"),
        (share("/srv/ro"), &node(), "read-only-storage"),
        (net("bridge: br7, ip: 10.0.0.5/24"), &node(), "bridge-missing"),
        (net("bridge: vmbr0"), &node(), "no-address"),
        (net("vlan: 30"), &node(), "no-vlans"),
        (net("ip: dhcp"), &node(), "no-dhcp"),
        (net("ip: 10.86.0.1/24"), &node(), "address-taken"),
        (net("ip: 10.86.0.10/24"), &taken, "address-taken"),
        (net("bridge: vmbr0, ip: 10.0.0.5/24, gateway: 10.0.1.1"), &node(), "gateway-unreachable"),
    ] {
        let error = planned(&yaml, observed).unwrap_err();
        assert_eq!(error.code, code, "{yaml}: {}", error.chain());
        assert!(error.hint.is_some() || error.code == "uid-outside-map", "{code} has no hint");
    }
}

#[test]
fn each_broken_rule_of_a_change_has_its_code() {
    let observed = with_team();
    let mut unfinished = with_team();
    unfinished.records[0].state = RecordState::Creating;
    let with = |field: &str| TEAM.replace("{name: team, users", &format!("{{name: team, {field}, users"));
    for (yaml, state, observed, code) in [
        (TEAM.replace("name: team, users", "name: other, users"), RUNNING, &observed, "no-such-gateway"),
        (with("memory: 1G"), RUNNING, &unfinished, "gateway-unfinished"),
        (with("mode: native"), RUNNING, &observed, "mode-fixed"),
        (with("template: debian-12"), RUNNING, &observed, "template-fixed"),
        (with("security: high"), GuestState::Stopped, &observed, "gateway-stopped"),
    ] {
        let error = changed(&yaml, state, observed).unwrap_err();
        assert_eq!(error.code, code, "{yaml}: {}", error.chain());
        assert!(error.hint.is_some(), "{code} has no hint");
    }
    // limits of a gateway that does not run are just written down
    assert!(changed(&with("memory: 1G"), GuestState::Stopped, &observed).is_ok());
    // the template it was made from may be named, with or without version
    assert!(changed(&with("template: debian-13_0.2.0"), RUNNING, &observed).is_ok());
}

#[test]
fn addresses_are_given_once() {
    let mut observed = with_team();
    for number in 0..3 {
        let plan = planned(&format!("{{name: g{number}}}"), &observed).unwrap();
        let Some(Step::WriteRecord(step)) = plan.steps.first() else { panic!("{plan:?}") };
        observed.records.push(step.new.clone());
    }
    let ips: BTreeSet<_> = observed.records.iter().map(|r: &Record| r.guest.address()).collect();
    assert_eq!(ips.len(), 4, "{ips:?}");
}

#[test]
fn on_the_node_itself_in_words() {
    let yaml = "name: team\nmode: native\nusers: [{name: alice}]\n\
                shares: [{name: team, path: /srv/roots, grant: true}]";
    let plan = planned(yaml, &node()).unwrap();
    insta::assert_snapshot!(in_words(&plan));
}

/// A node with a native gateway at this address.
fn with_native(yaml: &str) -> Observed {
    let plan = planned(yaml, &node()).unwrap();
    let Some(Step::WriteRecord(step)) = plan.steps.last() else { unreachable!() };
    Observed { records: vec![step.new.clone()], ..node() }
}

#[test]
fn where_a_gateway_on_the_node_cannot_be() {
    let native = |change: &dyn Fn(&mut NativeFacts)| {
        let mut observed = node();
        change(&mut observed.node.native);
        observed
    };
    let listens = |sockets: &'static [&str]| {
        native(&|facts| facts.listeners = sockets.iter().map(|socket| socket.parse().unwrap()).collect())
    };
    let at = |listen: &str| format!("{{name: team, mode: native, listen: \"{listen}\"}}");
    let all = "{name: team, mode: native}".to_owned();
    let member = "{name: team, mode: native, domain: {realm: CORP.EXAMPLE}}".to_owned();
    for (observed, yaml, code) in [
        (native(&|facts| facts.systemd = false), &all, "no-systemd"),
        (native(&|facts| facts.missing = vec!["/usr/sbin/smbd".into()]), &all, "samba-missing"),
        (
            native(&|facts| facts.missing_for_domain = vec!["/usr/sbin/winbindd".into()]),
            &member,
            "winbind-missing",
        ),
        (native(&|facts| facts.agent = None), &all, "agent-missing"),
        (node(), &at("10.0.0.6"), "address-missing"),
        (listens(&["0.0.0.0:445"]), &all, "port-taken"),
        (listens(&["[::]:445"]), &all, "port-taken"),
        (listens(&["10.0.0.5:445"]), &all, "port-taken"),
        (listens(&["10.0.0.5:445"]), &at("10.0.0.5"), "port-taken"),
        (with_native("{name: other, mode: native}"), &at("10.0.0.5"), "port-taken"),
    ] {
        assert_eq!(planned(yaml, &observed).unwrap_err().code, code, "{yaml}");
    }
    // beside a Samba of all addresses, one of a single address can be; the person is told
    let beside = planned(&at("10.0.0.5"), &listens(&["0.0.0.0:445"])).unwrap();
    assert!(beside.notes.iter().any(|note| note.contains("from now on")), "{:?}", beside.notes);
    planned(&at(":4450"), &listens(&["0.0.0.0:445"])).unwrap();
    planned(&at(":4450"), &with_native("{name: other, mode: native}")).unwrap();
    // another node of the cluster has addresses of its own
    let mut elsewhere = with_native("{name: other, mode: native}");
    elsewhere.elsewhere.insert(GatewayName::parse("other").unwrap());
    planned(&all, &elsewhere).unwrap();
    // its own socket is in nobody's way
    let mut own = with_native("{name: team, mode: native, users: [{name: alice}]}");
    own.node.native.listeners = vec!["0.0.0.0:445".parse().unwrap()];
    let more =
        changed("{name: team, mode: native, users: [{name: alice}, {name: bob}]}", RUNNING, &own).unwrap();
    assert!(!more.steps.is_empty());
    // nor when it moves to all addresses
    let mut moving = with_native("{name: team, mode: native, listen: 10.0.0.5}");
    moving.node.native.listeners = vec!["10.0.0.5:445".parse().unwrap()];
    assert!(!changed(&all, RUNNING, &moving).unwrap().steps.is_empty());
    moving.node.native.listeners.push("10.0.0.6:445".parse().unwrap());
    assert_eq!(changed(&all, RUNNING, &moving).unwrap_err().code, "port-taken");
}

#[test]
fn passwords_are_set_for_those_who_have_one() {
    let yaml = spec("{name: x, users: [{name: alice}, {name: bob}]}");
    let plan = create::plan(&|_| Vec::new(), yaml, &users(&["bob"]), &node(), entropy()).unwrap();
    let step = plan.steps.iter().find(|step| step.label() == "passwords").unwrap();
    assert!(step.describe().contains("bob") && !step.describe().contains("alice"));
    assert!(plan.notes.iter().any(|note| note.contains("alice")), "{:?}", plan.notes);
}

/// A node of Proxmox VE: no network of the platform's own, storages, guests that it starts by itself.
fn pve() -> Observed {
    let path = |path: &str| HostPath::parse(path).unwrap();
    let mut observed = node();
    observed.node.own_network = None;
    observed.node.default_bridge = Some(BridgeName::parse("vmbr0").unwrap());
    observed.node.vlan_bridges = observed.node.bridges.clone();
    observed.node.id_mechanism = "a mount point with idmap=passthrough";
    observed.node.abilities = crate::platform::Abilities { storages: true, starts_guests: true };
    observed.guest_storage = Some("local-zfs".parse().unwrap());
    observed.caveats = vec!["its shares are bind mounts".to_owned()];
    observed.storage.insert(path("/tank/new"), StorageFacts { filesystem: "zfs".into(), ..ext4(0, 0o755) });
    observed.absent.insert(path("/tank/new"));
    observed
}

const STORED: &str = "{name: team, startup: {order: 20}, network: {vlan: 30, nameservers: [10.0.0.10], searchdomain: ad.example.com}, \
    users: [{name: alice}], shares: [{name: team, storage: tank, dataset: new, create-dataset: true, path: /tank/new, grant: true}]}";

/// The node after that gateway was created.
fn with_stored() -> Observed {
    let mut observed = pve();
    let plan = planned(STORED, &observed).unwrap();
    let Some(Step::WriteRecord(last)) = plan.steps.last() else { panic!("{plan:?}") };
    observed.records.push(last.new.clone());
    observed.absent.clear();
    observed
}

#[test]
fn a_container_on_proxmox_ve_in_words() {
    let plan = planned(STORED, &pve()).unwrap();
    insta::assert_snapshot!(in_words(&plan));
    let Some(Step::WriteRecord(last)) = plan.steps.last() else { panic!("{plan:?}") };
    let guest = &last.new.guest;
    assert_eq!((guest.network().unwrap().bridge.as_str(), guest.ip()), ("vmbr0", None));
    assert_eq!(guest.storage.as_ref().unwrap().as_str(), "local-zfs");
    for step in &plan.steps {
        let json = serde_json::to_string(step).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&json).unwrap(), *step);
    }
}

#[test]
fn its_start_with_the_node_is_the_platforms() {
    let observed = with_stored();
    let mut text = String::new();
    for (from, to) in [
        ("startup: {order: 20}", "startup: {order: 5}"),
        ("startup: {order: 20}", "onboot: false"),
        ("{name: team, ", "{name: team, memory: 256M, "),
    ] {
        text += &in_words(&changed(&STORED.replacen(from, to, 1), RUNNING, &observed).unwrap());
    }
    assert!(changed(STORED, RUNNING, &observed).unwrap().steps.is_empty());
    insta::assert_snapshot!(text);
}

#[test]
fn what_only_proxmox_ve_can_is_refused_elsewhere() {
    for yaml in ["{name: x, guest-storage: local-zfs}", "{name: x, startup: {order: 1}}"] {
        let error = planned(yaml, &node()).unwrap_err();
        assert_eq!((error.code, error.category.exit_code()), ("platform-lacks", 2), "{yaml}");
        assert!(error.hint.is_some());
        planned(yaml, &pve()).unwrap();
    }
    let error = changed(
        &STORED.replacen("{name: team, ", "{name: team, guest-storage: other, ", 1),
        RUNNING,
        &with_stored(),
    );
    assert_eq!(error.unwrap_err().code, "storage-fixed");
}

mod quotas;
mod user_quotas;

#[test]
fn cephfs_by_fuse_is_refused_with_what_works() {
    let fuse = StorageFacts {
        filesystem: crate::storage::CEPH_FUSE.into(),
        idmapped_mounts: false,
        acls: false,
        ..ext4(0, 0o777)
    };
    let node =
        Observed { storage: BTreeMap::from([(HostPath::parse("/srv/alices").unwrap(), fuse)]), ..node() };
    let refused = |yaml: &str| planned(yaml, &node).unwrap_err();
    let container = refused(TEAM);
    assert_eq!(container.code, "idmap-unsupported");
    assert!(container.hint.unwrap().contains("by the kernel"));
    let machine = refused(&TEAM.replacen("{name: team,", "{name: team, mode: vm,", 1));
    assert_eq!(machine.code, "no-acls");
    assert!(machine.hint.unwrap().contains("client acl type = posix_acl"));
}
