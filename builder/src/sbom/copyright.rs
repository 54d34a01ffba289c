//! What a package's `copyright` file says of its licences.
//!
//! Sources: Debian Policy 12.5, and Debian's copyright format 1.0
//! (<https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>).

use std::collections::BTreeMap;

use super::licence::{self, Expression, Licence};
use crate::deb822;

/// Where the texts of licences are that many packages have.
const COMMON: &str = "/usr/share/common-licenses/";

/// The licences of a package, from the bytes of its file. `source` names the package's source, for what has no other name.
/// `None`: the file does not say it in a form that leaves no doubt.
pub fn licences(file: &[u8], source: &str) -> Option<Expression> {
    let text = String::from_utf8_lossy(file).replace("\r\n", "\n");
    if is_machine_readable(&text) { of_paragraphs(&text) } else { of_prose(&text, source) }
}

fn is_machine_readable(text: &str) -> bool {
    let first = deb822::paragraphs(text).next();
    first.is_some_and(|header| header.get("Format").or_else(|| header.get("Format-Specification")).is_some())
}

/// A `License` field: its first line, and the text below it.
struct Field {
    synopsis: String,
    text: String,
    of_files: bool,
}

/// Every `Files` paragraph says the licence of some files: all of them hold for the package. Paragraphs with a `License` alone give the
/// texts. The header's licence is a summary, for when there is nothing else.
fn of_paragraphs(text: &str) -> Option<Expression> {
    let mut paragraphs = deb822::paragraphs(text).map(|paragraph| {
        let fields: BTreeMap<String, &str> =
            paragraph.fields().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let (synopsis, text) = split_value(fields.get("license")?);
        Some(Field { synopsis, text, of_files: fields.contains_key("files") })
    });
    let header = paragraphs.next().flatten();
    let fields: Vec<Field> = paragraphs.flatten().collect();
    let mut texts: BTreeMap<String, &str> = BTreeMap::new();
    for field in fields.iter().filter(|field| !field.text.is_empty()) {
        // a paragraph of its own is where the text belongs
        let known = texts.entry(field.synopsis.to_ascii_lowercase()).or_insert(&field.text);
        if !field.of_files {
            *known = &field.text;
        }
    }
    let expression = |field: &Field| {
        let text_of = |name: &str| match texts.get(&name.to_ascii_lowercase()) {
            Some(text) => (*text).to_owned(),
            None => field.text.clone(),
        };
        licence::parse(&field.synopsis, &text_of)
    };
    Expression::all(fields.iter().filter(|field| field.of_files).map(expression))
        .or_else(|| header.as_ref().filter(|header| !header.synopsis.is_empty()).map(expression))
}

/// First line and the rest, as it was before it was indented. Source: the format's section "Formatted text, with synopsis".
fn split_value(value: &str) -> (String, String) {
    let (first, rest) = value.split_once('\n').unwrap_or((value, ""));
    let line = |line: &str| {
        let line = line.strip_prefix([' ', '\t']).unwrap_or(line).trim_end().to_owned();
        if line == "." { String::new() } else { line }
    };
    (first.trim().to_owned(), rest.lines().map(line).collect::<Vec<_>>().join("\n"))
}

/// The licences whose common files the text names, and besides the text itself as a licence: it may hold more.
fn of_prose(text: &str, source: &str) -> Option<Expression> {
    let mut found = Vec::new();
    let mut from = 0;
    let somewhere_later = allows_later(&words(text));
    for (at, _) in text.match_indices(COMMON) {
        let name =
            text[at + COMMON.len()..].split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-');
        let name = name.into_iter().next().unwrap_or_default().trim_end_matches(['.', '-']);
        // what is said of the licence stands before the place of its text
        let gnu =
            || gnu_or_later(name, &text[from..at]).or_else(|| gnu_only(name).filter(|_| !somewhere_later));
        let id = licence::of_common_file(name).map(str::to_owned).or_else(gnu);
        found.extend(id.map(|id| Expression::One(Licence::Known(id))));
        from = at + COMMON.len();
    }
    if from == 0 {
        return None;
    }
    let whole = Licence::Other { name: format!("copyright-{source}"), text: text.trim_end().to_owned() };
    found.push(Expression::One(whole));
    Expression::all(found)
}

/// In lower case, without the stars of comments.
fn words(text: &str) -> String {
    let words =
        text.split(|c: char| c.is_whitespace() || c == '*' || c == '#').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

fn allows_later(words: &str) -> bool {
    ["any later", "or later", "or newer"].iter().any(|phrase| words.contains(phrase))
}

const GNU: [&str; 3] = ["GPL", "LGPL", "GFDL"];

/// A licence of GNU's whose later versions will do. The version is that of the text, "version 2, or (at your option) any later": the file
/// that is named is often the latest.
fn gnu_or_later(file: &str, before: &str) -> Option<String> {
    const REACH: usize = 60;
    let family = file.split('-').next().filter(|family| GNU.contains(family))?;
    let said = words(before);
    said.rmatch_indices("version ").find_map(|(at, word)| {
        let rest = &said[at + word.len()..];
        let number = &rest[..rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())];
        let near: String = rest.chars().take(REACH).collect();
        allows_later(&near).then(|| licence::known(&format!("{family}-{}+", number.trim_end_matches('.'))))?
    })
}

/// A licence of GNU's in the version of the file alone.
fn gnu_only(file: &str) -> Option<String> {
    let (family, _) = file.split_once('-')?;
    licence::known(file).filter(|_| GNU.contains(&family))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sbom::licence::References;

    fn spdx_of(file: &str) -> Option<String> {
        let found = licences(file.as_bytes(), "src")?;
        let text = found.spdx(&References::of(std::iter::once(&found)));
        assert!(spdx::Expression::parse(&text).is_ok(), "{text}");
        Some(text)
    }

    const MACHINE_READABLE: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: x
License:
 A summary in prose.

Files: *
Copyright: 2020 A
License: GPL-2+ or Expat

Files: a b
 c
Copyright: 2021 B
License: BSD-like
 Do as you
 .
   like.

Files: debian/*
Copyright: 2022 C
License: GPL-2+

License: GPL-2+
 On Debian systems, see /usr/share/common-licenses/GPL-3.

License: Expat
 Permission is hereby granted.
";

    #[test]
    fn machine_readable() {
        let found = licences(MACHINE_READABLE.as_bytes(), "src").unwrap();
        assert_eq!(
            spdx_of(MACHINE_READABLE).as_deref(),
            Some("GPL-2.0-or-later AND LicenseRef-debian-BSD-like AND (GPL-2.0-or-later OR MIT)")
        );
        let text = found.licences().into_iter().find_map(|licence| match licence {
            Licence::Other { text, .. } => Some(text.as_str()),
            Licence::Known(_) => None,
        });
        assert_eq!(text, Some("Do as you\n\n  like."));
        assert_eq!(spdx_of("Format: x\nLicense: Expat\n").as_deref(), Some("MIT"));
        assert_eq!(spdx_of("Format: x\n\nFiles: *\nCopyright: nobody\n"), None);
    }

    #[test]
    fn the_paragraph_of_its_own_has_the_text() {
        let text = "Format: x\n\nFiles: *\nLicense: MIT\n short\n\nLicense: MIT\n see /usr/share/doc\n";
        let found = licences(text.as_bytes(), "src").unwrap();
        let expected = Licence::Other { name: "MIT".into(), text: "see /usr/share/doc".into() };
        assert_eq!(found.licences(), [&expected]);
    }

    #[test]
    fn prose() {
        for (said, spdx) in [
            (
                "under the GPL; either version 2 of the License, or\n * (at your option) any later version.\n\
                 See /usr/share/common-licenses/GPL-3.",
                Some("GPL-2.0-or-later AND LicenseRef-debian-copyright-src"),
            ),
            (
                "the GNU GPL, version 2 dated June, 1991; `/usr/share/common-licenses/GPL-2'",
                Some("GPL-2.0-only AND LicenseRef-debian-copyright-src"),
            ),
            ("see /usr/share/common-licenses/LGPL.", Some("LicenseRef-debian-copyright-src")),
            (
                "/usr/share/common-licenses/Apache-2.0, and version 2.1 or later: /usr/share/common-licenses/LGPL-2.1",
                Some("Apache-2.0 AND LGPL-2.1-or-later AND LicenseRef-debian-copyright-src"),
            ),
            (
                "version 2.1 or later: /usr/share/common-licenses/LGPL. For GPL 3 see /usr/share/common-licenses/GPL-3",
                Some("LGPL-2.1-or-later AND LicenseRef-debian-copyright-src"),
            ),
            ("/usr/share/common-licenses/", Some("LicenseRef-debian-copyright-src")),
            ("All rights reserved.", None),
            ("", None),
        ] {
            assert_eq!(spdx_of(said).as_deref(), spdx, "{said}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            lines in proptest::collection::vec(
                "Format: x|Files: \\*|License: \\PC{0,9}|License: GPL-2\\+ or|| \\PC{0,9}|version 2 \\PC{0,3} or later|\
                 /usr/share/common-licenses/[A-Z]?GPL-?[0-9.]{0,3}\\PC",
                0..12
            )
        ) {
            let _ = licences(&bytes, "src");
            let _ = spdx_of(&lines.join("\n"));
        }
    }
}
