//! The format of Debian's control files: `Field: value` lines in paragraphs. Source: deb822(5).

/// One paragraph, borrowed from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paragraph<'a>(&'a str);

/// The paragraphs of a text, in order. Blank lines between them may hold spaces.
pub fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph<'_>> {
    let blank = |line: &&str| line.trim_matches([' ', '\t', '\r', '\n']).is_empty();
    let length = |lines: &mut dyn Iterator<Item = &str>| lines.map(str::len).sum();
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = &rest[length(&mut rest.split_inclusive('\n').take_while(blank))..];
        let (paragraph, after) =
            rest.split_at(length(&mut rest.split_inclusive('\n').take_while(|line| !blank(line))));
        rest = after;
        (!paragraph.is_empty()).then(|| Paragraph(paragraph.strip_suffix('\n').unwrap_or(paragraph)))
    })
}

impl<'a> Paragraph<'a> {
    /// A text that is one paragraph.
    pub fn new(text: &'a str) -> Self {
        Self(text.trim_start_matches('\n'))
    }

    /// The value of a field (case does not matter): first line only, trimmed.
    pub fn get(&self, field: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(field).then(|| value.trim())
        })
    }

    /// Every field in order: its name, and its value with the lines that continue it, as they stand. What is no field is left out.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let mut ends = rest.match_indices('\n').map(|(at, _)| at + 1);
                let end = ends.find(|at| !rest[*at..].starts_with([' ', '\t'])).unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                rest = after;
                match field.split_once(':') {
                    Some((name, value)) if !name.contains(char::is_whitespace) && !name.starts_with('#') => {
                        return Some((name, value.trim_end()));
                    }
                    _ => {}
                }
            }
            None
        })
    }

    /// The text as it stands.
    pub fn text(&self) -> &'a str {
        self.0
    }
}

/// The source package and its version of a binary package: `Source: name (version)`, either part optional.
pub fn source_of(package: &str, version: &str, source: Option<&str>) -> (String, String) {
    let Some(source) = source else {
        return (package.to_owned(), version.to_owned());
    };
    match source.split_once('(') {
        Some((name, rest)) => {
            (name.trim().to_owned(), rest.trim_end().trim_end_matches(')').trim().to_owned())
        }
        None => (source.trim().to_owned(), version.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_of_paragraphs() {
        let text = "\nPackage: a\nDescription: x\n Package: not this\n \t\nPackage: b\nversion:1:2\n\n\n";
        let found: Vec<_> = paragraphs(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].get("package"), found[1].get("Version")), (Some("a"), Some("1:2")));
        assert_eq!(found[0].get("Source"), None);
    }

    #[test]
    fn fields_with_their_continuation_lines() {
        let text = "# no field\nFiles: a\n b\n\tc\nno field\nLicense: Expat\n Text: of it\n .\n more\n \t\nFiles: *\n";
        let found: Vec<Vec<_>> = paragraphs(text).map(|paragraph| paragraph.fields().collect()).collect();
        let first = [("Files", " a\n b\n\tc"), ("License", " Expat\n Text: of it\n .\n more")];
        assert_eq!(found, [&first[..], &[("Files", " *")]]);
    }

    #[test]
    fn source_in_all_its_forms() {
        let of = |source| source_of("libacl1", "2.3-1+b1", source);
        assert_eq!(of(None), ("libacl1".into(), "2.3-1+b1".into()));
        assert_eq!(of(Some("acl")), ("acl".into(), "2.3-1+b1".into()));
        assert_eq!(of(Some("acl (2.3-1)")), ("acl".into(), "2.3-1".into()));
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(text in "(\\PC|\n){0,200}") {
            for paragraph in paragraphs(&text) {
                paragraph.get("Package");
                paragraph.fields().count();
            }
        }

        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec("[a-z0-9.+~-]{1,12}", 1..5)) {
            let text: String = values.iter().map(|value| format!("Package: {value}\nVersion: {value}\n\n")).collect();
            let read: Vec<_> = paragraphs(&text).filter_map(|p| p.get("Version")).collect();
            prop_assert_eq!(read, values);
        }
    }
}
