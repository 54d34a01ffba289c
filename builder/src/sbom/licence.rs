//! Licences as Debian names them, in the words of SPDX.
//!
//! Sources: Debian's copyright format 1.0 (<https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>), section
//! "License specification"; SPDX 2.3, annex D (<https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use crate::hash;

/// One licence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Licence {
    /// One on SPDX's list, perhaps with an exception: `GPL-3.0-or-later WITH Bison-exception-2.2`.
    Known(String),
    /// One that only the copyright file knows.
    Other {
        /// What the file calls it.
        name: String,
        /// Its text, as far as the file gives it; empty if it does not.
        text: String,
    },
}

/// Licences and how they are joined. Members are sorted, and each is there once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expression {
    /// A single one.
    One(Licence),
    /// All of them hold.
    And(BTreeSet<Expression>),
    /// One of them may be chosen.
    Or(BTreeSet<Expression>),
}

/// How two licences are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    And,
    Or,
}

impl Join {
    fn of(word: &str) -> Option<Self> {
        if word.eq_ignore_ascii_case("and") {
            Some(Self::And)
        } else if word.eq_ignore_ascii_case("or") {
            Some(Self::Or)
        } else {
            None
        }
    }
}

impl Expression {
    /// All of these hold; `None` of none.
    pub fn all(members: impl IntoIterator<Item = Self>) -> Option<Self> {
        Self::join(Join::And, members)
    }

    /// One of these may be chosen; `None` of none.
    pub fn any(members: impl IntoIterator<Item = Self>) -> Option<Self> {
        Self::join(Join::Or, members)
    }

    fn join(join: Join, members: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut flat = BTreeSet::new();
        for member in members {
            match (join, member) {
                (Join::And, Self::And(inner)) | (Join::Or, Self::Or(inner)) => flat.extend(inner),
                (_, other) => {
                    flat.insert(other);
                }
            }
        }
        if flat.len() < 2 {
            return flat.pop_first();
        }
        Some(if join == Join::And { Self::And(flat) } else { Self::Or(flat) })
    }

    /// Every licence in it.
    pub fn licences(&self) -> Vec<&Licence> {
        match self {
            Self::One(licence) => vec![licence],
            Self::And(members) | Self::Or(members) => members.iter().flat_map(Self::licences).collect(),
        }
    }

    /// As SPDX writes it. The references must have been made from it, among others.
    pub fn spdx(&self, references: &References) -> String {
        let joined = |members: &BTreeSet<Self>, word: &str| {
            let one = |member: &Self| match member {
                Self::One(_) => member.spdx(references),
                _ => format!("({})", member.spdx(references)),
            };
            members.iter().map(one).collect::<Vec<_>>().join(word)
        };
        match self {
            Self::One(Licence::Known(id)) => id.clone(),
            Self::One(Licence::Other { name, text }) => references.id(name, text),
            Self::And(members) => joined(members, " AND "),
            Self::Or(members) => joined(members, " OR "),
        }
    }
}

/// Reads the first line of a `License` field: names, joined by `and` and `or`; `and` binds closer, and a comma less than both. What is
/// not written so is one licence with that name.
pub fn parse(synopsis: &str, text_of: &dyn Fn(&str) -> String) -> Expression {
    let words: Vec<&str> = synopsis.split_whitespace().collect();
    let synopsis = words.join(" ");
    parse_joined(&synopsis.replace("_or_", " or ").replace("_and_", " and "), text_of).unwrap_or_else(|| {
        let text = text_of(&synopsis);
        Expression::One(Licence::Other { name: synopsis, text })
    })
}

fn parse_joined(synopsis: &str, text_of: &dyn Fn(&str) -> String) -> Option<Expression> {
    let mut joins = Vec::new();
    let mut parts: Vec<(Option<Join>, Expression)> = Vec::new();
    for part in synopsis.split(',').filter(|part| !part.trim().is_empty()) {
        let mut words: Vec<&str> = part.split_whitespace().collect();
        let leading = words.first().and_then(|word| Join::of(word)).filter(|_| !parts.is_empty());
        if leading.is_some() {
            words.remove(0);
        }
        joins.extend(leading.into_iter().chain(words.iter().filter_map(|word| Join::of(word))));
        let choices = words.split(|word| Join::of(word) == Some(Join::Or));
        let choices = choices.map(|choice| {
            let names = choice.split(|word| Join::of(word) == Some(Join::And));
            Expression::all(names.map(|words| operand(words, text_of)).collect::<Option<Vec<_>>>()?)
        });
        parts.push((leading, Expression::any(choices.collect::<Option<Vec<_>>>()?)?));
    }
    let all_led = parts.iter().skip(1).all(|(leading, _)| leading.is_some());
    let mut parts = parts.into_iter();
    let (_, mut whole) = parts.next()?;
    // "A, B and C" is a list: every comma stands for the one word that is there
    let of_list = joins.first().copied().filter(|first| joins.iter().all(|join| join == first));
    for (leading, part) in parts {
        let join = if all_led { leading? } else { of_list? };
        whole = Expression::join(join, [whole, part])?;
    }
    Some(whole)
}

/// `NAME` or `NAME with WORDS exception`.
fn operand(words: &[&str], text_of: &dyn Fn(&str) -> String) -> Option<Expression> {
    let name = words.join(" ");
    if name.contains(['(', ')']) {
        return None;
    }
    let known = match words {
        [_] => known(&name).or_else(|| known_with_hyphens(&name)),
        [base, with, exception @ ..] if with.eq_ignore_ascii_case("with") && !exception.is_empty() => {
            known_with(base, &exception.join("-"))
        }
        _ => return None,
    };
    let licence = match known {
        Some(id) => Licence::Known(id),
        None => {
            let text = text_of(&name);
            match known_by_text(&name, &text) {
                Some(id) => Licence::Known(id.to_owned()),
                None => Licence::Other { name, text },
            }
        }
    };
    Some(Expression::One(licence))
}

/// Debian's names that are not SPDX's, and mean one licence of SPDX's list alone. In lower case, sorted.
const NAMES: &[(&str, &str)] = &[
    ("boost-1.0", "BSL-1.0"),
    ("cc0", "CC0-1.0"),
    ("expat", "MIT"),
    ("freetype", "FTL"),
    ("openldap-2.8", "OLDAP-2.8"),
    ("psf-2", "PSF-2.0"),
    ("sil-1.1", "OFL-1.1"),
    ("sil-ofl-1.1", "OFL-1.1"),
    ("wtfpl-2", "WTFPL"),
    ("zope-1.1", "ZPL-1.1"),
    ("zope-2.0", "ZPL-2.0"),
    ("zope-2.1", "ZPL-2.1"),
];

/// Exceptions, without the word. SPDX has no general one for OpenSSL, and several for Autoconf: those have no place here.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("bison", "Bison-exception-2.2"),
    ("bison-2.2", "Bison-exception-2.2"),
    ("classpath", "Classpath-exception-2.0"),
    ("font", "Font-exception-2.0"),
    ("gcc-runtime-library", "GCC-exception-3.1"),
    ("libtool", "Libtool-exception"),
    ("texinfo", "Texinfo-exception"),
];

/// The id on SPDX's list of one of Debian's names. Source of the rules: the format's section "Short name": case does not matter,
/// `+` means "or any later version", and trailing `.0` of a version do not count.
pub fn known(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if let Ok(at) = NAMES.binary_search_by(|(name, _)| (*name).cmp(&lower)) {
        return Some(NAMES[at].1.to_owned());
    }
    if let Some(id) = known_gnu(&lower) {
        return Some(id);
    }
    // Debian's format warns that "MIT" names several licences; the text has to say which one
    if matches!(lower.as_str(), "mit" | "noassertion" | "none") {
        return None;
    }
    let short = lower.strip_suffix(".0").unwrap_or(&lower);
    [short.to_owned(), format!("{short}.0"), lower.clone()].iter().find_map(|name| listed(name))
}

/// The name as SPDX writes it, of one in lower case.
fn listed(lower: &str) -> Option<String> {
    static BY_LOWER_CASE: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
        let names = spdx::identifiers::LICENSES.iter().map(|licence| licence.name);
        names.map(|name| (name.to_ascii_lowercase(), name)).collect()
    });
    BY_LOWER_CASE.get(lower).map(|name| (*name).to_owned())
}

/// `gpl-2+`, `lgplv2.1`, `gpl-3.0-or-later`, `gfdl-niv-1.3`. Without a version they say nothing that SPDX could.
fn known_gnu(lower: &str) -> Option<String> {
    const FAMILIES: &[(&str, &str, &str)] = &[
        ("agpl", "AGPL", ""),
        ("gfdl-niv", "GFDL", "-no-invariants"),
        ("gfdl", "GFDL", ""),
        ("lgpl", "LGPL", ""),
        ("gpl", "GPL", ""),
    ];
    let (rest, family, variant) = FAMILIES
        .iter()
        .find_map(|(name, family, variant)| Some((lower.strip_prefix(name)?, family, variant)))?;
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let rest = rest.strip_prefix('v').unwrap_or(rest);
    let (version, kind) = match rest.strip_suffix('+').or_else(|| rest.strip_suffix("-or-later")) {
        Some(version) => (version, "or-later"),
        None => (rest.strip_suffix("-only").unwrap_or(rest), "only"),
    };
    let version = version.strip_suffix(".0").unwrap_or(version);
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    [format!("{family}-{version}{variant}-{kind}"), format!("{family}-{version}.0{variant}-{kind}")]
        .into_iter()
        .find(|id| spdx::license_id(id).is_some())
}

/// A licence with an exception; the last word may be "exception".
fn known_with(base: &str, exception: &str) -> Option<String> {
    let lower = exception.to_ascii_lowercase();
    let short = lower.strip_suffix("-exception").unwrap_or(&lower);
    let exceptions = spdx::identifiers::EXCEPTIONS.iter().map(|exception| exception.name);
    let found = EXCEPTIONS.iter().find(|(name, _)| *name == short).map(|(_, id)| *id).or_else(|| {
        exceptions
            .into_iter()
            .find(|id| [lower.as_str(), short].iter().any(|name| id.eq_ignore_ascii_case(name)))
    })?;
    Some(format!("{} WITH {found}", known(base)?))
}

/// The same in one word: `GPL-3.0-or-later-WITH-Autoconf-exception-macro`.
fn known_with_hyphens(name: &str) -> Option<String> {
    let at = name.to_ascii_lowercase().find("-with-")?;
    known_with(name.get(..at)?, name.get(at + "-with-".len()..)?)
}

/// Names that mean several licences, where the text beside them says which one it is.
fn known_by_text(name: &str, text: &str) -> Option<&'static str> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let has = |parts: &[&str]| parts.iter().all(|part| words.contains(part));
    match name.to_ascii_lowercase().as_str() {
        "mit" if has(&EXPAT) => Some("MIT"),
        // the file is Artistic-1.0-Perl, word for word
        "artistic" | "artistic-1" if has(&["/usr/share/common-licenses/Artistic"]) => {
            Some("Artistic-1.0-Perl")
        }
        _ => None,
    }
}

/// What no other licence of the MIT family has all of.
const EXPAT: [&str; 4] = [
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files",
    "to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software",
    "The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.",
    "WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED",
];

/// The licence that a file of `/usr/share/common-licenses` holds, if that is all there is to say: GNU's licences also need to know
/// whether later versions will do (see [`super::copyright`]).
pub fn of_common_file(name: &str) -> Option<&'static str> {
    Some(match name {
        "Apache-2.0" => "Apache-2.0",
        "Artistic" => "Artistic-1.0-Perl",
        "BSD" => "BSD-3-Clause",
        "CC0-1.0" => "CC0-1.0",
        "MPL-1.1" => "MPL-1.1",
        "MPL-2.0" => "MPL-2.0",
        _ => return None,
    })
}

/// The ids, within one document, of licences that SPDX does not list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct References {
    /// By plain id: the texts (words alone), and what each is called.
    ids: BTreeMap<String, BTreeMap<String, String>>,
    /// By id: name and text.
    texts: BTreeMap<String, (String, String)>,
}

/// What says that no licence is needed is called the same in whatever words it is said.
const PUBLIC_DOMAIN: &str = "public-domain";

impl References {
    /// From all expressions of a document. `LicenseRef-debian-NAME`, and with part of the text's hash behind it where the document has
    /// different texts under that name.
    pub fn of<'a>(expressions: impl Iterator<Item = &'a Expression>) -> Self {
        let mut names: BTreeMap<String, BTreeMap<String, (&str, &str)>> = BTreeMap::new();
        for licence in expressions.flat_map(Expression::licences) {
            if let Licence::Other { name, text } = licence {
                let texts = names.entry(plain_id(name)).or_default();
                // of two that differ in spaces alone, the same one always
                let kept = texts.entry(words(text)).or_insert((name, text));
                *kept = (*kept).min((name, text));
            }
        }
        let mut references = Self::default();
        for (plain, texts) in names {
            let several = texts.keys().filter(|words| !words.is_empty()).count() > 1;
            for (words, (name, text)) in texts {
                let id = if !several || words.is_empty() || plain == plain_id(PUBLIC_DOMAIN) {
                    plain.clone()
                } else {
                    format!("{plain}-{}", hash::of_bytes(words.as_bytes()).get(..8).unwrap_or_default())
                };
                let (_, known) =
                    references.texts.entry(id.clone()).or_insert((name.to_owned(), String::new()));
                if !known.is_empty() && !text.is_empty() {
                    known.push_str("\n\n");
                }
                known.push_str(text);
                references.ids.entry(plain.clone()).or_default().insert(words, id);
            }
        }
        references
    }

    /// The id of a licence.
    pub fn id(&self, name: &str, text: &str) -> String {
        let plain = plain_id(name);
        let found = self.ids.get(&plain).and_then(|texts| texts.get(&words(text)));
        found.cloned().unwrap_or(plain)
    }

    /// Id, name and text of each, sorted by id.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.texts.iter().map(|(id, (name, text))| (id.as_str(), name.as_str(), text.as_str()))
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Letters, digits, `-` and `.` are all that SPDX has in an id.
fn plain_id(name: &str) -> String {
    let name = name.replace('+', "-or-later");
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(|part| !part.is_empty());
    let joined = parts.collect::<Vec<_>>().join("-");
    let short = if joined.is_empty() { "unnamed" } else { joined.get(..80).unwrap_or(&joined) };
    // names are the same in upper and lower case, but for what is read by people
    let short = if short.eq_ignore_ascii_case(PUBLIC_DOMAIN) { PUBLIC_DOMAIN } else { short };
    format!("LicenseRef-debian-{short}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spdx_of(synopsis: &str) -> String {
        let expression = parse(synopsis, &|_| String::new());
        expression.spdx(&References::of(std::iter::once(&expression)))
    }

    #[test]
    fn names() {
        for (debian, spdx) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("gpl-2.0", "GPL-2.0-only"),
            ("GPL-2.0-or-later", "GPL-2.0-or-later"),
            ("GPLv3+", "GPL-3.0-or-later"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("LGPL-2", "LGPL-2.0-only"),
            ("AGPL-3+", "AGPL-3.0-or-later"),
            ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
            ("GFDL-1.2+", "GFDL-1.2-or-later"),
            ("Expat", "MIT"),
            ("BSD-3-clause", "BSD-3-Clause"),
            ("Apache-2", "Apache-2.0"),
            ("Apache-2.0", "Apache-2.0"),
            ("Artistic-2", "Artistic-2.0"),
            ("CC0-1.0", "CC0-1.0"),
            ("ISC", "ISC"),
            ("zlib", "Zlib"),
            ("OpenLDAP-2.8", "OLDAP-2.8"),
            ("MPL-1.1", "MPL-1.1"),
            ("public-domain", "LicenseRef-debian-public-domain"),
            ("GPL", "LicenseRef-debian-GPL"),
            ("MIT", "LicenseRef-debian-MIT"),
            ("BSD", "LicenseRef-debian-BSD"),
            ("GPL-7+", "LicenseRef-debian-GPL-7-or-later"),
            ("Zlib+", "LicenseRef-debian-Zlib-or-later"),
            ("NOASSERTION", "LicenseRef-debian-NOASSERTION"),
            ("", "LicenseRef-debian-unnamed"),
        ] {
            assert_eq!(spdx_of(debian), spdx, "{debian}");
        }
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn what_the_tables_name_is_on_the_list() {
        for (_, id) in NAMES {
            assert!(spdx::license_id(id).is_some_and(|id| !id.is_deprecated()), "{id}");
        }
        for (_, id) in EXCEPTIONS {
            assert!(spdx::exception_id(id).is_some(), "{id}");
        }
        for name in ["Apache-2.0", "Artistic", "BSD", "CC0-1.0", "MPL-1.1", "MPL-2.0"] {
            assert!(of_common_file(name).and_then(spdx::license_id).is_some(), "{name}");
        }
    }

    #[test]
    fn joined_names() {
        for (debian, spdx) in [
            ("GPL-2+ or MPL-1.1", "GPL-2.0-or-later OR MPL-1.1"),
            ("ISC and GPL-2+ or Expat", "MIT OR (GPL-2.0-or-later AND ISC)"),
            ("ISC, and GPL-2+ or Expat", "ISC AND (GPL-2.0-or-later OR MIT)"),
            ("GPL-1+ or Expat, and ISC", "ISC AND (GPL-1.0-or-later OR MIT)"),
            ("GPL-2+ or AFL-2.1, and Expat and ISC", "ISC AND MIT AND (AFL-2.1 OR GPL-2.0-or-later)"),
            ("ISC, Zlib and Expat", "ISC AND MIT AND Zlib"),
            ("ISC, Zlib, or Expat", "ISC OR MIT OR Zlib"),
            ("LGPLv3+_or_GPLv2+", "GPL-2.0-or-later OR LGPL-3.0-or-later"),
            ("Expat OR Expat", "MIT"),
            // none of these says how it is meant
            ("ISC, Zlib", "LicenseRef-debian-ISC-Zlib"),
            ("ISC, Zlib and Expat or GPL-2", "LicenseRef-debian-ISC-Zlib-and-Expat-or-GPL-2"),
            ("The library is under the GPL or not", "LicenseRef-debian-The-library-is-under-the-GPL-or-not"),
            ("Expat or", "LicenseRef-debian-Expat-or"),
            ("or", "LicenseRef-debian-or"),
            ("(ISC or Expat) and Zlib", "LicenseRef-debian-ISC-or-Expat-and-Zlib"),
        ] {
            assert_eq!(spdx_of(debian), spdx, "{debian}");
        }
    }

    #[test]
    fn exceptions() {
        for (debian, spdx) in [
            ("GPL-3+ with Bison exception", "GPL-3.0-or-later WITH Bison-exception-2.2"),
            ("GPL-3+-WITH-BISON-EXCEPTION", "GPL-3.0-or-later WITH Bison-exception-2.2"),
            (
                "GPL-2 with Linux-syscall-note exception OR BSD-3-Clause",
                "BSD-3-Clause OR GPL-2.0-only WITH Linux-syscall-note",
            ),
            (
                "GPL-3.0-or-later-WITH-Autoconf-exception-macro",
                "GPL-3.0-or-later WITH Autoconf-exception-macro",
            ),
            ("GPL-2+ with OpenSSL exception", "LicenseRef-debian-GPL-2-or-later-with-OpenSSL-exception"),
            (
                "Apache-2.0-with-GPL2-LGPL2-Exception",
                "LicenseRef-debian-Apache-2.0-with-GPL2-LGPL2-Exception",
            ),
            ("GPL-2+ with", "LicenseRef-debian-GPL-2-or-later-with"),
        ] {
            assert_eq!(spdx_of(debian), spdx, "{debian}");
        }
    }

    #[test]
    fn a_text_says_which_of_several_is_meant() {
        let of = |name: &str, text: &str| {
            let expression = parse(name, &|_| text.to_owned());
            expression.spdx(&References::of(std::iter::once(&expression)))
        };
        let expat = EXPAT.join(" and\n some ");
        assert_eq!(of("MIT", &expat), "MIT");
        assert_eq!(of("MIT", "as is"), "LicenseRef-debian-MIT");
        assert_eq!(of("Artistic", "see `/usr/share/common-licenses/Artistic'."), "Artistic-1.0-Perl");
    }

    #[test]
    fn the_same_name_for_different_texts_has_different_ids() {
        let one =
            |name: &str, text: &str| Expression::One(Licence::Other { name: name.into(), text: text.into() });
        let expressions = [
            one("BSD-like", "do what\nyou like"),
            one("BSD-like", "do what you  like"),
            one("BSD-like", "do nothing"),
            one("BSD-like", ""),
            one("public-domain", "nobody's"),
            one("Public-Domain", "everybody's"),
        ];
        let references = References::of(expressions.iter());
        insta::assert_debug_snapshot!("references", references.texts().collect::<Vec<_>>());
        let ids: Vec<_> = expressions.iter().map(|expression| expression.spdx(&references)).collect();
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[0], ids[2]);
        assert_eq!(ids[3], "LicenseRef-debian-BSD-like");
        assert_eq!((ids[4].as_str(), ids[5].as_str()), ("LicenseRef-debian-public-domain", ids[4].as_str()));
    }

    proptest! {
        #[test]
        fn whatever_is_written_gives_an_expression_that_spdx_can_read(
            words in proptest::collection::vec(
                "and|or|with|exception|,|\\(|GPL-2\\+|Expat|ISC,|-with-|BSD-3-clause|bison|_or_|\\PC{0,6}", 0..8
            )
        ) {
            let text = spdx_of(&words.join(" "));
            prop_assert!(spdx::Expression::parse(&text).is_ok(), "{}", text);
        }
    }
}
