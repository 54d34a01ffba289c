//! What dpkg's database says of packages, whatever they say of themselves.

use std::collections::BTreeSet;

use smbgw_builder::deb::{Member, Package};
use smbgw_builder::deb822::paragraphs;
use smbgw_builder::engine::unpack::database::{ADMIN, Unpacked, database, unfinished};

/// What separates the parts of an input; it is in no UTF-8 text.
const SEPARATOR: u8 = 0xff;

/// Control file, configuration files, triggers, the name and the text of one more file, then the tar of its files; or the like
/// again, for a second package.
pub fn dpkg_status(input: &[u8]) {
    let parts: Vec<&[u8]> = input.split(|byte| *byte == SEPARATOR).collect();
    let packages: Vec<Unpacked> = parts.chunks(6).filter_map(package).collect();
    for package in &packages {
        let status = package.status();
        let read: Vec<_> = paragraphs(&status).collect();
        assert_eq!(read.len(), 1, "{status}");
        assert_eq!(read[0].get("Package"), Some(package.name.as_str()));
        assert_eq!(read[0].get("Status"), Some("install ok unpacked"));
        assert_eq!(unfinished(&status).len(), 1);
        let list = package.list(&BTreeSet::new());
        assert_eq!(list.lines().count(), package.names.len(), "{list}");
        assert!(list.lines().all(|line| line.starts_with('/')), "{list}");
    }
    let replaced = vec![BTreeSet::new(); packages.len()];
    for file in database(&packages, &replaced, &|_| None) {
        let below = file.path.strip_prefix(ADMIN).and_then(|rest| rest.strip_prefix('/')).expect("outside");
        assert!(
            below.split('/').count() <= 2 && below.split('/').all(|part| part != ".." && !part.is_empty()),
            "{below}"
        );
        if below == "status" {
            let text = String::from_utf8(file.content).expect("text");
            let found: Vec<_> = paragraphs(&text).filter_map(|one| one.get("Package")).collect();
            let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
            assert_eq!(found, names);
        }
    }
}

fn package(parts: &[&[u8]]) -> Option<Unpacked> {
    let part = |number: usize| parts.get(number).copied().unwrap_or_default();
    let text = |number| std::str::from_utf8(part(number)).ok();
    let member = |name: &str, content: &[u8]| Member {
        name: name.to_owned(),
        mode: 0o644,
        mtime: 0,
        content: content.to_vec(),
    };
    let members = vec![member("conffiles", part(1)), member("triggers", part(2)), member(text(3)?, part(4))];
    let control = text(0)?.to_owned();
    Unpacked::new("fuzzed", Package { control, members, data: part(5).to_vec() }).ok()
}
