//! The section-config format of Proxmox VE (`PVE::SectionConfig`): `type: id`, then lines of a tab, a key and a value. What is
//! not understood is kept as it is. Pure.

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Type, as `gateway`; empty where the format has ids alone (directory mappings).
    pub kind: String,
    /// Id.
    pub id: String,
    /// Keys and values, in the order of the file. A key without value has an empty one.
    pub keys: Vec<(String, String)>,
}

impl Section {
    /// A section with nothing in it.
    pub fn new(kind: &str, id: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), id: id.into(), keys: Vec::new() }
    }

    /// Value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key that may be there several times.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.keys.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Sets a key; others keep their place.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let value = value.into();
        match self.keys.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key.to_owned(), value)),
        }
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        self.keys.retain(|(name, _)| name != key);
    }
}

/// Reads a file. Comments and lines outside of sections are dropped, as Proxmox VE drops them.
pub fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim_end();
        if line.trim_start().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            if let Some(section) = sections.last_mut().filter(|_| inside) {
                let line = line.trim_start();
                let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                section.keys.push((key.to_owned(), value.trim_start().to_owned()));
            }
        } else {
            let (kind, id) = line.split_once(':').map_or(("", line), |(kind, id)| (kind, id.trim()));
            let words = |text: &str| text.split_whitespace().count();
            // what is no header has no section
            inside = words(id) == 1 && words(kind) <= 1 && (kind.is_empty() != line.contains(':'));
            if inside {
                sections.push(Section::new(kind.trim(), id));
            }
        }
    }
    sections
}

/// Writes a file.
pub fn render(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        if !text.is_empty() {
            text.push('\n');
        }
        if section.kind.is_empty() {
            text.push_str(&format!("{}\n", section.id));
        } else {
            text.push_str(&format!("{}: {}\n", section.kind, section.id));
        }
        for (key, value) in &section.keys {
            let space = if value.is_empty() { "" } else { " " };
            text.push_str(&format!("\t{key}{space}{value}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup\n\nzfspool: local-zfs\n\tpool rpool/data\n\tsparse\n";

    #[test]
    fn what_is_read_is_written() {
        let sections = parse(TEXT);
        assert_eq!(sections[0].get("path"), Some("/var/lib/vz"));
        assert_eq!((sections[1].id.as_str(), sections[1].get("sparse")), ("local-zfs", Some("")));
        assert_eq!(render(&sections), TEXT);
        let spaces = TEXT.replace('\t', "    ").replace("path ", "path    ");
        assert_eq!(parse(&spaces), sections);
    }

    #[test]
    fn mappings_have_ids_alone() {
        let sections = parse("smbgw-1\n\tmap node=pve1,path=/a b\n\tmap node=pve2,path=/c\n");
        assert_eq!(sections[0].all("map").collect::<Vec<_>>(), ["node=pve1,path=/a b", "node=pve2,path=/c"]);
        assert_eq!((sections[0].kind.as_str(), sections[0].id.as_str()), ("", "smbgw-1"));
    }

    #[test]
    fn keys_are_set_in_place() {
        let mut section = parse(TEXT).remove(0);
        section.set("path", "/x");
        section.set("shared", "1");
        section.remove("content");
        assert_eq!(render(&[section]), "dir: local\n\tpath /x\n\tshared 1\n");
    }

    proptest! {
        #[test]
        fn reading_what_was_written_is_stable(text in "[ \\t\\na-c:#]{0,120}") {
            let once = parse(&text);
            prop_assert_eq!(parse(&render(&once)), once);
        }

        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }
    }
}
