//! Tests of the smb.conf writer.

use proptest::prelude::*;

use super::*;

fn desired(json: &str) -> DesiredState {
    serde_json::from_str(json).unwrap()
}

fn rendered(json: &str) -> String {
    Config::of(&desired(json), &crate::instance::Instance::default(), None).render()
}

const TEAM: &str = r#"{"name":"team","security":"standard",
    "users":[{"name":"alice","uid":10000},{"name":"bob","uid":10001}],
    "shares":[
        {"name":"Team Files","comment":"50% of all","read_only":false,"users":[],"browseable":true},
        {"name":"Büro","comment":null,"read_only":true,"users":["bob"],"browseable":false}]}"#;

#[test]
fn standard() {
    insta::assert_snapshot!(rendered(TEAM));
}

#[test]
fn groups_and_readers() {
    let share = |name: &str, more: &str| {
        format!(r#"{{"name":"{name}","comment":null,"read_only":false,"browseable":true,{more}}}"#)
    };
    let text = rendered(&format!(
        r#"{{"name":"team","security":"standard",
            "users":[{{"name":"alice","uid":10000}},{{"name":"bob","uid":10001}}],
            "groups":[{{"name":"staff","gid":20000,"members":["alice"]}},{{"name":"guests","gid":20001,"members":[]}}],
            "shares":[{},{},{}]}}"#,
        share("some", r#""users":["alice"],"groups":["staff"],"readers":["bob","@guests"]"#),
        share("all", r#""users":[],"readers":["@guests"]"#),
        share("readers", r#""users":[],"groups":["staff"],"readers":["@staff"]"#),
    ));
    let lists: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| ["[", "valid users", "read list"].iter().any(|start| line.starts_with(start)))
        .skip(1)
        .collect();
    assert_eq!(
        lists,
        [
            "[some]",
            "valid users = alice +smb-staff bob +smb-guests",
            "read list = bob +smb-guests",
            "[all]",
            "valid users = alice bob",
            "read list = +smb-guests",
            "[readers]",
            "valid users = +smb-staff",
            "read list = +smb-staff",
        ]
    );
}

#[test]
fn high_without_users() {
    insta::assert_snapshot!(rendered(
        r#"{"name":"vault","security":"high","users":[],
            "shares":[{"name":"x","comment":null,"read_only":false,"users":[],"browseable":true}]}"#
    ));
}

/// A share of each purpose, and one with all extras.
const PURPOSES: &str = r#"{"name":"mixed","security":"standard","users":[{"name":"alice","uid":10000}],"shares":[
    {"name":"mac","comment":null,"read_only":false,"users":[],"browseable":true,"handling":{"purpose":"macos"}},
    {"name":"backup","comment":null,"read_only":false,"users":[],"browseable":true,"limit":600,
        "handling":{"purpose":"timemachine","max-size":"500"}},
    {"name":"kept","comment":null,"read_only":false,"users":[],"browseable":true,
        "handling":{"purpose":"archive","grace":"5m"}},
    {"name":"fast","comment":null,"read_only":false,"users":[],"browseable":true,"handling":{"purpose":"scratch"}},
    {"name":"extras","comment":null,"read_only":false,"users":[],"browseable":true,
        "handling":{"recycle":{"days":30,"max-size":"2G"},"hide-unreadable":true,"encrypt":true,"audit":true,
            "raw-options":["veto files = /*.tmp/"]}}]}"#;

#[test]
fn purposes() {
    insta::assert_snapshot!(rendered(PURPOSES));
}

#[test]
fn a_purpose_needs_no_restart() {
    assert!(!restart_needed(&Config::base().render(), &rendered(PURPOSES), "mixed"));
}

/// The file that templates ship; write it anew with `SMBGW_WRITE_BASE=1 cargo test -p smbgw-agent`.
/// The templates' overlay is data of its own: what they ship is what the agent takes over without a restart.
#[test]
fn templates_ship_the_base_configuration() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../images/overlay/etc/samba/smb.conf");
    assert_eq!(std::fs::read_to_string(shipped).unwrap(), Config::base().render());
}

#[test]
fn base_is_the_file_that_templates_ship() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/smb.conf.base");
    let text = Config::base().render();
    if std::env::var_os("SMBGW_WRITE_BASE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn the_first_state_needs_no_restart() {
    let base = Config::base().render();
    assert!(!restart_needed(&base, &rendered(TEAM), "team"));
    assert!(!restart_needed(&base, &rendered(TEAM), "team.example.org"));
    assert!(restart_needed(&base, &rendered(TEAM), "other"));
    assert!(restart_needed(&rendered(TEAM), &rendered(&TEAM.replace("standard", "high")), "team"));
    let bare = "[Global]\n# x\n NetBIOS Name = Team\n passdb backend=tdbsam\n log level = 3\n";
    assert!(!restart_needed(bare, &bare.replace("3", "1"), "x"));
    assert!(!restart_needed("[global]\n", "[global]\n passdb backend = tdbsam\n netbios name = X", "x"));
    assert!(restart_needed("[global]\n map to guest = bad user\n", &rendered(TEAM), "team"));
}

fn comment_lines(comment: &str) -> Vec<String> {
    let mut state = desired(TEAM);
    state.shares[0].comment = Some(comment.to_owned());
    Config::of(&state, &crate::instance::Instance::default(), None)
        .render()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn comments_that_mean_harm() {
    for comment in ["x\npath = /", "x\\", "\\", "\"x\"", "%U%$(HOME)", "\r\n[evil]", "\u{85}path = /", ""] {
        let lines = comment_lines(comment);
        assert_eq!(lines.len(), comment_lines("plain").len(), "{comment:?}");
        assert!(lines.iter().all(|line| !line.contains('%') && !line.ends_with('\\')), "{comment:?}");
    }
}

proptest! {
    /// Whatever the comment: the same lines as with a plain one, but for its own.
    #[test]
    fn a_comment_is_one_line(comment in any::<String>()) {
        let (plain, lines) = (comment_lines("plain"), comment_lines(&comment));
        prop_assert_eq!(plain.len(), lines.len());
        for (plain, line) in plain.iter().zip(&lines) {
            if plain.trim_start().starts_with("comment = ") {
                prop_assert!(line.starts_with("\tcomment = "));
                prop_assert!(!line.contains('%') && !line.ends_with('\\') && !line.chars().skip(1).any(char::is_control));
            } else {
                prop_assert_eq!(plain, line);
            }
        }
    }

    /// Any share name that the contract lets through makes exactly its section and its path.
    #[test]
    fn a_share_name_is_one_section(name in "\\PC{1,30}") {
        let Ok(name) = ShareName::parse(&name) else { return Ok(()) };
        let mut state = desired(TEAM);
        state.shares.truncate(1);
        state.shares[0].name = name.clone();
        let text = Config::of(&state, &crate::instance::Instance::default(), None).render();
        let sections: Vec<_> = text.lines().filter(|line| line.starts_with('[')).collect();
        prop_assert_eq!(sections, vec!["[global]".to_owned(), format!("[{name}]")]);
        prop_assert!(!text.contains('%'));
    }
}

#[test]
fn on_a_node_it_keeps_to_its_address() {
    let state = desired(r#"{"name":"team","security":"standard","users":[],"shares":[]}"#);
    let instance = crate::instance::Instance {
        listen: smbgw_api::Listen::parse("10.0.0.5:4450").unwrap(),
        ..Default::default()
    };
    let (here, default) = (Config::of(&state, &instance, None).render(), Config::base().render());
    let new: Vec<_> = here.lines().filter(|line| !default.lines().any(|other| other == *line)).collect();
    assert_eq!(
        new,
        [
            "\tnetbios name = TEAM",
            "\tsmb ports = 4450",
            "\tinterfaces = 10.0.0.5",
            "\tbind interfaces only = yes"
        ]
    );
    assert!(restart_needed(&default, &here, "team"));
}

const MEMBER: &str = r#"{"name":"team","security":"standard","domain":{"realm":"LAB.TEST"},
    "users":[{"name":"bob","uid":10000}],
    "shares":[
        {"name":"team","comment":null,"read_only":false,"users":["bob"],"browseable":true,"allow":["LAB\\Team"],
         "storage":{"virtio_fs":{"tag":"smbgw-1"}}},
        {"name":"all","comment":null,"read_only":false,"users":[],"browseable":true}]}"#;

#[test]
fn a_member_of_a_domain() {
    let record = r#"{"phase":"joined","domain":{"realm":"LAB.TEST"},"account":"TEAM","domain_sid":"S-1-5-21-1-2-3",
        "principals":{"LAB\\Team":{"sid":"S-1-5-21-1-2-3-1109","kind":"group"}}}"#;
    let (desired, record) = (desired(MEMBER), serde_json::from_str(record).unwrap());
    insta::assert_snapshot!(
        Config::of(&desired, &crate::instance::Instance::default(), Some(&record)).render()
    );
    // until it is one, users of the domain stay out
    insta::assert_snapshot!(rendered(MEMBER));
}
