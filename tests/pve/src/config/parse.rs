//! Text of a configuration file, and back. Source: PVE::LXC::Config `parse_pct_config`, PVE::QemuServer `parse_vm_config`.

use super::{Config, Kind, Part, raw};
use crate::schema::check::{Faults, value};
use crate::schema::{Table, find};

/// Reads a file; gives the warnings too. What a container's file has that is wrong is kept, a machine's is not.
pub fn parse(table: &Table, kind: Kind, vmid: u32, text: &str) -> (Config, Vec<String>) {
    let mut config = Config::default();
    let mut warnings = Vec::new();
    let mut section: Option<String> = None;
    let mut part = Part::default();
    let known = table.command(kind.command()).map(|call| &call.params);
    for line in text.lines() {
        if line.trim().is_empty() {
            continue;
        }
        if let Some(name) = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            finish(&mut config, kind, section.replace(name.to_owned()), std::mem::take(&mut part));
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            let description = part.description.get_or_insert_default();
            description.push_str(&decode(comment));
            description.push('\n');
            continue;
        }
        if kind == Kind::Ct && line.starts_with("lxc.") {
            match raw::line(line) {
                Some((key, value)) => match raw::check(vmid, &key) {
                    Ok(()) => part.raw.push((key, value)),
                    Err(warning) => warnings.push(warning),
                },
                None => warnings.push(format!("vm {vmid} - unable to parse config: {line}")),
            }
            continue;
        }
        let Some((key, text)) =
            line.split_once(':').map(|(key, text)| (key, text.trim())).filter(|(_, text)| !text.is_empty())
        else {
            warnings.push(format!("vm {vmid} - unable to parse config: {line}"));
            continue;
        };
        let own =
            ["snaptime", "parent", "snapstate", "vmstate", "meta", "runningmachine", "runningcpu", "delete"];
        match known.and_then(|known| find(known, key)) {
            Some(property) => {
                let mut faults = Faults::new();
                value(table, key, property, text, &mut faults);
                if let Some(fault) = faults.values().next() {
                    let fault = fault.strip_prefix("invalid format - ").unwrap_or(fault);
                    warnings.push(format!("vm {vmid} - unable to parse value of '{key}' - {fault}"));
                    if kind == Kind::Vm {
                        continue;
                    }
                }
            }
            // what only one command takes, as `unprivileged`, is not among the options of `set`
            None if own.contains(&key)
                || ["unprivileged", "arch", "lock", "template", "unused0"].contains(&key) => {}
            None if key.starts_with("unused") => {}
            None => {
                warnings.push(format!("vm {vmid} - unable to parse config: {line}"));
                if kind == Kind::Ct {
                    continue;
                }
            }
        }
        part.values.insert(key.to_owned(), text.to_owned());
    }
    finish(&mut config, kind, section, part);
    (config, warnings)
}

fn finish(config: &mut Config, kind: Kind, section: Option<String>, part: Part) {
    match section {
        None => config.now = part,
        Some(name) if name.eq_ignore_ascii_case(kind.pending()) => config.pending = part,
        Some(name) => config.sections.push((name, part)),
    }
}

/// The canonical text.
pub fn render(kind: Kind, config: &Config) -> String {
    let mut text = String::new();
    part(&mut text, &config.now);
    if !config.pending.values.is_empty() {
        text.push_str(&format!("\n[{}]\n", kind.pending()));
        part(&mut text, &config.pending);
    }
    for (name, section) in &config.sections {
        text.push_str(&format!("\n[{name}]\n"));
        part(&mut text, section);
    }
    text
}

fn part(text: &mut String, part: &Part) {
    for line in part.description.as_deref().unwrap_or_default().lines() {
        text.push_str(&format!("#{}\n", encode(line)));
    }
    for (key, value) in &part.values {
        text.push_str(&format!("{key}: {value}\n"));
    }
    for (key, value) in &part.raw {
        text.push_str(&format!("{key}: {value}\n"));
    }
}

/// Control characters, `%`, `:` and all beyond ASCII. Source: PVE::Tools, `encode_text`.
pub fn encode(text: &str) -> String {
    let plain = |byte: &u8| matches!(byte, 0x20..=0x24 | 0x26..=0x39 | 0x3b..=0x7e);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The other way.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut found = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        found.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&found).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    const FILE: &str = "lxc.mount.entry = /a b/c none bind,create=dir 0 0\n#Büro%3A 1\nswap: 512\nlxc.foo: 1\narch: amd64\nunprivileged: 1\nlxc.hook.pre-start: /usr/bin/x y\n\n[one]\nswap: 1\nsnaptime: 5\nlxc.idmap: u 0 1 1\n";

    #[test]
    fn canonical() {
        let table = Table::of(Release::V9_2).unwrap();
        let (config, warnings) = parse(&table, Kind::Ct, 101, FILE);
        assert_eq!(warnings, ["vm 101 - unable to parse config: lxc.foo"]);
        assert_eq!(config.now.description.as_deref(), Some("Büro: 1\n"));
        let text = render(Kind::Ct, &config);
        assert_eq!(
            text,
            "#B%C3%BCro%3A 1\narch: amd64\nswap: 512\nunprivileged: 1\nlxc.mount.entry: /a b/c none bind,create=dir 0 0\nlxc.hook.pre-start: /usr/bin/x y\n\n[one]\nsnaptime: 5\nswap: 1\nlxc.idmap: u 0 1 1\n"
        );
        assert_eq!(parse(&table, Kind::Ct, 101, &text), (config, Vec::new()));
    }

    #[test]
    fn the_file_of_a_newer_version() {
        let table = Table::of(Release::V8_4).unwrap();
        let (config, warnings) = parse(&table, Kind::Ct, 101, "mp0: /a,mp=/b,idmap=passthrough\n");
        assert!(
            warnings[0].starts_with("vm 101 - unable to parse value of 'mp0' - format error"),
            "{warnings:?}"
        );
        assert!(config.get("mp0").is_some());
    }
}
