//! Tests of the smbstatus parser, on what both versions really printed.

use proptest::prelude::*;

use super::*;

#[test]
fn nothing_yet() {
    assert_eq!(parse("").unwrap(), Status::default());
    assert_eq!(parse("{\"sessions\":{}}").unwrap(), Status::default());
    assert!(parse("Can't open").is_err());
    assert!(parse("{").is_err());
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    /// JSON of any shape is survived.
    #[test]
    fn any_shape_is_survived(key in "sessions|tcons|open_files", inner in "\\[\\]|1|null|\\{\"session_id\":[0-9]\\}") {
        let text = format!("{{\"{key}\":{{\"a\":{inner}}}}}");
        prop_assert!(parse(&text).is_ok());
    }
}

#[test]
fn both_versions() {
    for text in [include_str!("fixtures/smbstatus-4.17.json"), include_str!("fixtures/smbstatus-4.22.json")] {
        let status = parse(text).unwrap();
        assert_eq!(status.sessions.len(), 2);
        assert_eq!(status.open_files, 1);
        assert_eq!(status.tree_connects, BTreeMap::from([("Team Files".to_owned(), 2)]));
        for session in &status.sessions {
            assert_eq!((session.user.as_str(), session.client.as_str()), ("alice", "10.78.0.1"));
            assert_eq!(session.dialect.as_deref(), Some("SMB3_11"));
            assert_eq!(session.signing.as_deref(), Some("AES-128-GMAC"));
            assert_eq!(session.shares, ["Team Files"]);
        }
        assert!(
            status.processes.len() == 2
                && status.processes.iter().all(|(user, pid)| user == "alice" && *pid > 1)
        );
        assert_eq!(status.servers.len(), 2);
        for session in &status.sessions {
            assert_eq!(status.open[&status.servers[&session.id]], BTreeSet::from(["Team Files".to_owned()]));
        }
        let encrypted: Vec<_> = status.sessions.iter().filter_map(|s| s.encryption.as_deref()).collect();
        assert_eq!(encrypted, ["AES-128-GCM"]);
    }
}

#[test]
fn warnings_before_the_json_are_passed_over() {
    let text = format!("Ignoring unknown parameter\n{}", include_str!("fixtures/smbstatus-4.22.json"));
    assert_eq!(parse(&text).unwrap().sessions.len(), 2);
}
