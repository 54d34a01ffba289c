//! Tests of the wire types.

use super::*;

#[test]
fn probe_files_cannot_leave_the_share() {
    let request = |file: &str| ProbeRequest {
        share: ShareName::parse("x").unwrap(),
        uid: 1000,
        gid: None,
        file: file.into(),
    };
    assert!(request(".smbgw-probe-01ABC").file_is_valid());
    for bad in [".smbgw-probe-", ".smbgw-probe-../x", "data", ".smbgw-probe-a/b", "/.smbgw-probe-a"] {
        assert!(!request(bad).file_is_valid(), "{bad}");
    }
}

#[test]
fn passwords_are_not_debugged() {
    let password = NewPassword { password: "hunter2".into() };
    assert!(!format!("{password:?}").contains("hunter2"));
}

#[test]
fn unknown_error_kinds_are_understood() {
    let error: ApiError = serde_json::from_str(r#"{"kind":"from_the_future","message":"m"}"#).unwrap();
    assert_eq!(error.kind, ErrorKind::Unknown);
}

#[test]
fn a_container_hears_nothing_of_disks() {
    let spec: GatewaySpec =
        serde_yaml::from_str("name: a\nshares: [{name: x, path: /srv/x, grant: true}]").unwrap();
    let text = serde_json::to_string(&DesiredState::from(&spec)).unwrap();
    assert!(!text.contains("storage") && !text.contains("disk") && !text.contains("grant"), "{text}");
    // agents of before would refuse what they do not know
    assert!(!text.contains("handling"), "{text}");
}

/// Agents of older templates refuse fields that they do not know.
#[test]
fn an_old_agent_hears_of_groups_only_when_there_are_any() {
    let state = |yaml: &str| {
        let mut spec: GatewaySpec = serde_yaml::from_str(yaml).unwrap();
        spec.assign_ids(&Default::default(), &[]);
        serde_json::to_string(&DesiredState::from(&spec)).unwrap()
    };
    let text = state("name: a\nusers: [{name: bob}]\nshares: [{name: x, path: /srv/x, users: [bob]}]");
    assert!(!text.contains("groups") && !text.contains("readers"), "{text}");
    let text = state(
        "name: a\nusers: [{name: bob}]\ngroups: [{name: staff, members: [bob]}]\n\
         shares: [{name: x, path: /srv/x, readers: ['@staff']}]",
    );
    assert!(text.contains(r#""groups":[{"name":"staff","gid":20000,"members":["bob"]}]"#), "{text}");
    assert!(text.contains(r#""readers":["@staff"]"#), "{text}");
}

#[test]
fn the_hash_follows_the_state() {
    let state = |name: &str| DesiredState {
        name: GatewayName::parse(name).unwrap(),
        security: SecurityProfile::Standard,
        users: vec![],
        groups: vec![],
        shares: vec![],
        disk: None,
        domain: None,
    };
    assert_eq!(state("a").hash(), state("a").hash());
    assert_ne!(state("a").hash(), state("b").hash());
}
