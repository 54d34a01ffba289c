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
