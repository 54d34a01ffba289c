//! Packages: `smbgw_builder::deb`.

use smbgw_builder::deb::{control, files};

const MAGIC: &[u8] = b"!<arch>\n";

/// Reads the input as a package. Input that is no ar archive is taken for the tar in one: then it is read alike whatever it is
/// compressed with.
pub fn deb(input: &[u8]) {
    if input.starts_with(MAGIC) {
        check(input);
        return;
    }
    let packed = zstd::bulk::compress(input, 1).expect("compression");
    let plain = check(&package("", input));
    let compressed = check(&package(".zst", &packed));
    assert_eq!(plain.is_some(), compressed.is_some());
    assert!(plain == compressed, "compression changes what is read");
}

type Read = (Option<String>, Vec<(String, Vec<u8>)>);

/// What is in the package, if all of it can be read.
fn check(package: &[u8]) -> Option<Read> {
    let text = control("fuzz", package);
    let all = files("fuzz", package, &|_| true);
    if let Ok(all) = &all {
        assert!(all.iter().all(|(path, _)| path.starts_with('/')));
        let wanted = |path: &str| path.len().is_multiple_of(2);
        let some = files("fuzz", package, &wanted).expect("less of the same package");
        let expected: Vec<_> = all.iter().filter(|(path, _)| wanted(path)).cloned().collect();
        assert!(some == expected, "what is wanted changes what is read");
    }
    Some((text.ok(), all.ok()?))
}

/// A package whose two archives are the same bytes.
fn package(suffix: &str, archive: &[u8]) -> Vec<u8> {
    let mut package = MAGIC.to_vec();
    for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), ("control.tar", archive), ("data.tar", archive)] {
        let name = if name.ends_with(".tar") { format!("{name}{suffix}") } else { name.to_owned() };
        package.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).bytes(),
        );
        package.extend_from_slice(bytes);
        package.resize(package.len().next_multiple_of(2), b'\n');
    }
    package
}
