//! Text of Debian's tools: control files, `--print-uris`, `SHA256SUMS`.

use smbgw_builder::checksums::Checksums;
use smbgw_builder::deb822::{Paragraph, paragraphs, source_of};
use smbgw_builder::{hash, uris};

/// Reads the input as each of the formats.
pub fn deb822(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    control(&text);
    downloads(&text);
    sums(&text);
}

fn control(text: &str) {
    let found: Vec<_> = paragraphs(text).collect();
    for paragraph in &found {
        assert!(text.contains(paragraph.text()));
        let blank = |line: &str| line.chars().all(|c| " \t\r".contains(c));
        assert!(!paragraph.text().split('\n').any(blank), "a blank line in {:?}", paragraph.text());
        for line in paragraph.text().lines() {
            let Some((field, _)) = line.split_once(':') else { continue };
            let value = paragraph.get(field).expect("the field is there");
            assert!(value == value.trim() && !value.contains('\n'), "{value:?}");
            assert_eq!(paragraph.get(&field.to_ascii_uppercase()), Some(value));
            let (source, version) = source_of("package", "1-2", Some(value));
            assert!(source == source.trim() && version == version.trim());
            if !value.contains(['(', ')']) {
                let named = format!("{value} (3:4-5)");
                assert_eq!(source_of("package", "1-2", Some(&named)), (value.to_owned(), "3:4-5".to_owned()));
            }
        }
    }
    let joined = found.iter().map(Paragraph::text).collect::<Vec<_>>().join("\n\n");
    let again: Vec<_> = paragraphs(&joined).collect();
    assert_eq!(again, found);
}

fn downloads(text: &str) {
    let Ok(found) = uris::parse(text) else {
        return;
    };
    assert_eq!(found.len(), text.lines().filter(|line| line.starts_with('\'')).count());
    let printed: String = found
        .iter()
        .map(|uri| format!("'{}' {} {} SHA256:{}\n", uri.address, uri.file, uri.size, uri.sha256))
        .collect();
    assert!(found.iter().all(|uri| hash::is_sha256(&uri.sha256)));
    assert_eq!(uris::parse(&printed), Ok(found));
}

fn sums(text: &str) {
    let found = Checksums::parse(text);
    assert_eq!(Checksums::parse(&found.to_text()), found);
}
