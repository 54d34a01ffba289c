//! Groups, readers, ids that are kept, and directories in each other.

use super::*;
use smbgw_api::IdBook;

const CREW: &str = "{name: team, users: [{name: alice}, {name: bob}, {name: eve}], \
                    groups: [{name: staff, members: [bob]}, {name: guests, members: [eve]}], \
                    shares: [{name: work, path: /srv/roots, groups: [staff], readers: ['@guests'], grant: true}]}";

#[test]
fn create_in_words() {
    let text = in_words(&planned(CREW, &node()).unwrap());
    for line in [
        "let gid 20000, 20001 into /srv/roots by ACL",
        "configure Samba: 1 share, 3 users, 2 groups",
        // the first who may write, not the first user
        "prove that user 10001 can write to share work",
        "note: files of bob belong to uid 10001 on the node",
        "note: group staff is gid 20000 on the node",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn entries_follow_the_share() {
    let observed = with(CREW);
    let step = |yaml: &str, name: &str| {
        let plan = changed(yaml, RUNNING, &observed).unwrap();
        plan.steps.iter().find(|step| step.name() == name).map(smbgw_journal::Step::describe)
    };
    let without = CREW.replace(", readers: ['@guests']", "");
    assert_eq!(step(&without, "revoke").unwrap(), "take the ACL entries of gid 20001 off /srv/roots");
    let more = CREW.replace("groups: [staff],", "groups: [staff], users: [alice],");
    assert!(step(&more, "grant").unwrap().starts_with("let uid 10000"), "{:?}", step(&more, "grant"));
    // who only reads proves nothing
    let readers = CREW.replace("readers: ['@guests']", "readers: ['@staff', '@guests']");
    assert!(planned(&readers, &node()).unwrap().steps.iter().all(|step| step.name() != "prove"));
}

#[test]
fn a_group_may_have_access_already() {
    let mut observed = node();
    let path = HostPath::parse("/srv/crew").unwrap();
    observed.storage.insert(path, StorageFacts { gid: 20_000, ..ext4(0, 0o2770) });
    let yaml = CREW.replace("/srv/roots", "/srv/crew").replace(", readers: ['@guests'], grant: true", "");
    let plan = planned(&yaml, &observed).unwrap();
    let prove = plan.steps.iter().find_map(|step| match step {
        Step::Prove(step) => Some((step.uid, step.gid)),
        _ => None,
    });
    assert_eq!(prove, Some((10_001, Some(20_000))), "bob gets in by the group");
    // who is in no group does not
    let yaml = yaml.replace("groups: [staff]}", "groups: [staff], users: [alice]}");
    assert_eq!(planned(&yaml, &observed).unwrap_err().code, "no-access");
}

#[test]
fn ids_of_who_goes_are_remembered() {
    let mut observed = with(CREW);
    let kept = |plan: &Plan| {
        plan.steps.iter().find_map(|step| match step {
            Step::KeepIds(step) => Some(step.clone()),
            _ => None,
        })
    };
    let fewer = CREW.replace(", {name: eve}", "").replace("members: [eve]", "members: []");
    let keep = kept(&changed(&fewer, RUNNING, &observed).unwrap()).unwrap();
    assert_eq!((keep.new.users.len(), keep.new.groups.len(), keep.old), (1, 0, None));
    observed.ids.insert(keep.gateway, keep.new);
    let name = observed.records[0].name().clone();
    let keep = kept(&delete::plan(&name, RUNNING, false, &observed, entropy()).unwrap()).unwrap();
    assert_eq!((keep.new.users.len(), keep.new.groups.len()), (3, 2));
    // made anew in another order, and known already when it goes again
    observed.records.clear();
    observed.ids.insert(name.clone(), keep.new.clone());
    let yaml =
        CREW.replace("[{name: alice}, {name: bob}, {name: eve}]", "[{name: eve}, {name: new}, {name: bob}]");
    let plan = planned(&yaml, &observed).unwrap();
    let Some(Step::WriteRecord(last)) = plan.steps.last() else { panic!("{plan:?}") };
    let record = last.new.clone();
    let uids: Vec<_> = record.spec.users.iter().map(|user| user.uid.unwrap()).collect();
    assert_eq!(uids, [10_002, 10_003, 10_001]);
    observed.records.push(record);
    observed.records[0].spec.users.remove(1);
    assert_eq!(kept(&delete::plan(&name, RUNNING, false, &observed, entropy()).unwrap()), None);
}

#[test]
fn directories_in_each_other_are_warned_of() {
    let mut observed = with_team();
    let inner = HostPath::parse("/srv/alices/inner").unwrap();
    observed.storage.insert(inner, ext4(0, 0o777));
    let notes = |yaml: &str| planned(yaml, &observed).unwrap().notes.join("\n");
    let text = notes("{name: b, shares: [{name: i, path: /srv/alices/inner}]}");
    assert!(text.contains("share i (/srv/alices/inner) lies inside share team of gateway team"), "{text}");
    let text = notes("{name: b, shares: [{name: i, path: /srv/alices/inner}, {name: o, path: /srv/alices}]}");
    assert!(text.contains("share i (/srv/alices/inner) lies inside share o (/srv/alices)"), "{text}");
    assert!(!notes("{name: b, shares: [{name: r, path: /srv/roots}]}").contains("lies inside"));
    // two people by one id over the same data, and only there
    let text = notes("{name: b, users: [{name: zoe, uid: 10000}], shares: [{name: o, path: /srv/alices}]}");
    assert!(text.contains("id 10000 is zoe here and alice in gateway team"), "{text}");
    let mut roots = observed.clone();
    roots.storage.insert(HostPath::parse("/srv/open").unwrap(), ext4(0, 0o777));
    let apart = "{name: b, users: [{name: zoe, uid: 10000}], shares: [{name: o, path: /srv/open}]}";
    assert!(!planned(apart, &roots).unwrap().notes.join("").contains("is zoe here"));
    assert_eq!(IdBook::of(&observed.records[0].spec).users.len(), 1);
}
