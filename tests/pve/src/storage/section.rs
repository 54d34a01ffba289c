//! Section-config files. Source: PVE::SectionConfig.

use std::collections::BTreeMap;

/// A section: `KIND: ID`, and below it `key value` lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// What it is; empty where the heading is the name alone.
    pub kind: String,
    /// Its name.
    pub id: String,
    /// Its options. Those that come more than once are joined by line ends.
    pub values: BTreeMap<String, String>,
}

/// Reads a file.
pub fn parse(text: &str) -> Vec<Section> {
    let mut found: Vec<Section> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            let (key, value) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), "1"));
            if let Some(section) = found.last_mut() {
                let value = value.trim();
                section
                    .values
                    .entry(key.to_owned())
                    .and_modify(|old| *old = format!("{old}\n{value}"))
                    .or_insert_with(|| value.to_owned());
            }
        } else {
            let (kind, id) = line.split_once(':').unwrap_or(("", line));
            found.push(Section {
                kind: kind.trim().to_owned(),
                id: id.trim().to_owned(),
                values: BTreeMap::new(),
            });
        }
    }
    found
}

/// Writes a file.
pub fn render(sections: &[Section]) -> String {
    let mut text = String::new();
    for Section { kind, id, values } in sections {
        let heading = if kind.is_empty() { id.clone() } else { format!("{kind}: {id}") };
        text.push_str(&format!("{heading}\n"));
        for (key, value) in values {
            for value in value.lines() {
                text.push_str(&format!("\t{key} {value}\n"));
            }
        }
        text.push('\n');
    }
    text
}
