//! Path patterns with dpkg's meaning, so that one list serves the builder and dpkg's `path-exclude`.
//!
//! `*` matches any text, slashes too; `?` one character; `[a-z]` one of a set, `[!a-z]` one not of it.
//! Source: dpkg(1), `--path-exclude`, which is fnmatch(3) without FNM_PATHNAME.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern over absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(u8),
    One,
    Any,
    Set { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A sentence for people when it is not absolute, a set is not closed, or it has escapes or classes of characters.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("pattern `{text}` must start with a slash"));
        }
        if text.contains('\n') {
            return Err("a pattern is one line".into());
        }
        // fnmatch gives them a meaning that no list has needed
        if let Some(special) = ["\\", "[:", "[.", "[="].into_iter().find(|special| text.contains(special)) {
            return Err(format!("pattern `{text}` has `{special}` in it, which is not known here"));
        }
        let mut parts = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            parts.push(match byte {
                b'*' if parts.last() == Some(&Part::Any) => continue,
                b'*' => Part::Any,
                b'?' => Part::One,
                b'[' => {
                    let (set, after) =
                        parse_set(tail).ok_or_else(|| format!("`[` without `]` in pattern `{text}`"))?;
                    rest = after;
                    set
                }
                other => Part::Literal(other),
            });
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether an absolute path matches.
    pub fn matches(&self, path: &str) -> bool {
        let (path, parts) = (path.as_bytes(), self.parts.as_slice());
        let (mut at, mut part) = (0, 0);
        // where to go on when the text after the last `*` does not fit
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let fits = match parts.get(part) {
                None => at == path.len(),
                Some(Part::Any) => {
                    retry = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                Some(one) => path.get(at).is_some_and(|&byte| one.takes(byte)),
            };
            match (fits, retry) {
                (true, _) if part == parts.len() => return true,
                (true, _) => (at, part) = (at + 1, part + 1),
                (false, Some((after, from))) if from < path.len() => {
                    retry = Some((after, from + 1));
                    (at, part) = (from + 1, after);
                }
                (false, _) => return false,
            }
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Literal(literal) => *literal == byte,
            Self::One => true,
            Self::Any => false,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&byte)) != *negated
            }
        }
    }
}

/// Reads a set after its `[`; gives it and what follows its `]`.
fn parse_set(text: &[u8]) -> Option<(Part, &[u8])> {
    let negated = matches!(text.first(), Some(b'!' | b'^'));
    let body = &text[usize::from(negated)..];
    // a `]` in first place is a member
    let end = body.iter().skip(1).position(|&byte| byte == b']')? + 1;
    let (mut members, mut ranges) = (&body[..end], Vec::new());
    while let Some((&low, tail)) = members.split_first() {
        match tail {
            [b'-', high, after @ ..] => {
                ranges.push((low, *high));
                members = after;
            }
            _ => {
                ranges.push((low, low));
                members = tail;
            }
        }
    }
    Some((Part::Set { negated, ranges }, &body[end + 1..]))
}

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.text
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn stars_cross_slashes_as_dpkg_has_it() {
        assert!(matches("/usr/share/doc/*", "/usr/share/doc/samba/changelog.gz"));
        assert!(matches("/usr/share/doc/*/copyright", "/usr/share/doc/samba/copyright"));
        assert!(!matches("/usr/share/doc/*/copyright", "/usr/share/doc/samba/copyright.old"));
        assert!(!matches("/usr/share/doc/*", "/usr/share/doc"));
    }

    #[test]
    fn sets_and_single_characters() {
        assert!(matches("/gconv/CP125[0-7].so", "/gconv/CP1252.so"));
        assert!(!matches("/gconv/CP125[!0-7].so", "/gconv/CP1252.so"));
        assert!(matches("/a?c", "/abc") && !matches("/a?c", "/ac"));
        assert!(matches("/[]x]", "/]"));
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert!(Glob::parse("usr").is_err() && Glob::parse("/[a").is_err() && Glob::parse("/a\nb").is_err());
        assert!(Glob::parse("/a\\*").is_err() && Glob::parse("/[[:digit:]]").is_err());
    }

    proptest! {
        #[test]
        fn parsing_and_matching_never_panic(pattern in "\\PC{0,20}", path in "\\PC{0,30}") {
            if let Ok(glob) = Glob::parse(&format!("/{pattern}")) {
                glob.matches(&path);
            }
        }

        #[test]
        fn a_pattern_without_specials_matches_only_itself(a in "/[a-z/.]{0,12}", b in "/[a-z/.]{0,12}") {
            prop_assert_eq!(matches(&a, &b), a == b);
            prop_assert!(matches(&a, &a));
        }

        #[test]
        fn a_star_stands_for_anything(before in "[a-z]{0,5}", middle in "[a-z/]{0,9}", after in "[a-z]{0,5}") {
            let (pattern, path) = (format!("/{before}*{after}"), format!("/{before}{middle}{after}"));
            prop_assert!(matches(&pattern, &path));
        }
    }
}
