//! One value against its type. Texts: PVE::JSONSchema of pve-common 8 and 9.

use std::collections::BTreeMap;

use regex::Regex;

use super::{Properties, Property, Table, find, formats};

/// What was found wrong: the name of the option, and the text. Sorted as Proxmox VE prints them.
pub type Faults = BTreeMap<String, String>;

/// Checks a value. Booleans and numbers come as text.
pub fn value(table: &Table, name: &str, property: &Property, text: &str, faults: &mut Faults) {
    let mut wrong = |what: String| {
        faults.entry(name.to_owned()).or_insert(what);
    };
    let typed = |kind: &str| format!("type check ('{kind}') failed - got '{text}'");
    match property.kind.as_str() {
        "integer" if !matches(r"^[+-]?\d+$", text) => return wrong(typed("integer")),
        "number" if !matches(r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$", text) => {
            return wrong(typed("number"));
        }
        "boolean" if !matches(r"^(?i:1|on|yes|true|0|off|no|false)$", text) => {
            return wrong(typed("boolean"));
        }
        _ => {}
    }
    if let ("integer" | "number", Ok(number)) = (property.kind.as_str(), text.parse::<f64>()) {
        if let Some(least) = property.minimum.filter(|least| number < *least) {
            return wrong(format!("value must have a minimum value of {least}"));
        }
        if let Some(most) = property.maximum.filter(|most| number > *most) {
            return wrong(format!("value must have a maximum value of {most}"));
        }
    }
    if !property.choices.is_empty() && !property.choices.iter().any(|choice| choice == text) {
        let choices = property.choices.join(", ");
        return wrong(format!("value '{text}' does not have a value in the enumeration '{choices}'"));
    }
    let length = text.chars().count();
    if let Some(least) = property.min_length.filter(|least| length < *least) {
        return wrong(format!("value must be at least {least} characters long"));
    }
    if let Some(most) = property.max_length.filter(|most| length > *most) {
        return wrong(format!("value may only be {most} characters long"));
    }
    if let Some(pattern) = &property.pattern
        && !perl(pattern).is_none_or(|pattern| pattern.is_match(text))
    {
        return wrong("value does not match the regex pattern".to_owned());
    }
    if let Some(format) = &property.format {
        let (list, optional) = (format.strip_suffix("-list"), format.strip_suffix("-opt"));
        if let Some(keys) = table.formats.get(format) {
            let mut inner = Faults::new();
            property_string(table, keys, text, &mut inner);
            if !inner.is_empty() {
                let lines: String =
                    inner
                        .iter()
                        .map(|(key, what)| {
                            if key.is_empty() {
                                format!("{what}\n")
                            } else {
                                format!("{name}.{key}: {what}\n")
                            }
                        })
                        .collect();
                wrong(format!("invalid format - format error\n{}", lines.trim_end()));
            }
        } else if let Err(what) = formats::check(format, text) {
            wrong(format!("invalid format - {what}"));
        } else if let Some(item) = list.filter(|_| !formats::known(format)) {
            let split =
                |letter: char| letter == ',' || letter == ';' || letter == '\0' || letter.is_whitespace();
            for part in text.split(split).filter(|part| !part.is_empty()) {
                if let Err(what) = formats::check(item, part) {
                    return wrong(format!("invalid format - {what}"));
                }
            }
        } else if let Some(item) = optional.filter(|_| !text.is_empty())
            && let Err(what) = formats::check(item, text)
        {
            wrong(format!("invalid format - {what}"));
        }
    }
}

/// The pairs of a property string, by their own names. A value without a key belongs to the default key.
///
/// # Errors
/// With what Proxmox VE says.
pub fn pairs(keys: &Properties, text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    let default = keys.iter().find(|(_, property)| property.default_key).map(|(key, _)| key);
    let default = default.map(|key| keys[key].alias.as_ref().unwrap_or(key));
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        match part.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                let property = find(keys, key);
                let name =
                    property.and_then(|property| property.alias.clone()).unwrap_or_else(|| key.to_owned());
                if let Some(remembered) = property.and_then(|property| property.key_alias.clone()) {
                    found.insert(remembered, key.to_owned());
                }
                if found.insert(name, value.to_owned()).is_some() {
                    return Err(format!("duplicate key in comma-separated list property: {key}"));
                }
            }
            Some(_) => return Err("missing key in comma-separated list property".to_owned()),
            None => {
                let default = default.ok_or("value without key, but schema does not define a default key")?;
                if found.insert(default.clone(), part.to_owned()).is_some() {
                    return Err(format!("duplicate key in comma-separated list property: {default}"));
                }
            }
        }
    }
    Ok(found)
}

fn property_string(table: &Table, keys: &Properties, text: &str, faults: &mut Faults) {
    let found = match pairs(keys, text) {
        Ok(found) => found,
        Err(what) => {
            faults.insert(String::new(), what);
            return;
        }
    };
    object(table, keys, &found, faults);
}

/// Checks names and values, and that nothing needed is missing.
pub fn object(table: &Table, keys: &Properties, found: &BTreeMap<String, String>, faults: &mut Faults) {
    for (key, text) in found {
        match find(keys, key) {
            Some(property) if property.alias.is_none() => value(table, key, property, text, faults),
            _ => {
                let what =
                    "property is not defined in schema and the schema does not allow additional properties";
                faults.insert(key.clone(), what.to_owned());
            }
        }
    }
    for (key, property) in keys {
        let family = key.contains('[');
        if !property.optional && !family && property.alias.is_none() && !found.contains_key(key) {
            faults.insert(key.clone(), "property is missing and it is not optional".to_owned());
        }
        if let Some(other) = &property.requires
            && found.contains_key(key)
            && !found.contains_key(other)
        {
            faults.insert(other.clone(), format!("missing property - '{key}' requires this property"));
        }
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// A Perl expression that must match the whole value; none when it is beyond this engine.
fn perl(pattern: &str) -> Option<Regex> {
    let pattern = pattern.replace("(?^:", "(?:").replace("(?^i:", "(?i:");
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    fn check(release: Release, command: &str, name: &str, text: &str) -> Option<String> {
        let table = Table::of(release).unwrap();
        let property = find(&table.command(command).unwrap().params, name).unwrap().clone();
        let mut faults = Faults::new();
        value(&table, name, &property, text, &mut faults);
        faults.remove(name)
    }

    #[test]
    fn numbers_have_limits() {
        let says = |text| check(Release::V9_2, "pct create", "memory", text);
        assert_eq!(says("16"), None);
        assert_eq!(says("15").unwrap(), "value must have a minimum value of 16");
        assert_eq!(says("1G").unwrap(), "type check ('integer') failed - got '1G'");
    }

    #[test]
    fn mount_points_differ_by_version() {
        let passed = "/tank/a,mp=/srv/a,idmap=passthrough,replicate=0,mountoptions=nodev;noexec;nosuid";
        assert_eq!(check(Release::V9_2, "pct set", "mp0", passed), None);
        for old in [Release::V8_4, Release::V9_0, Release::V9_1] {
            assert!(
                check(old, "pct set", "mp0", passed).unwrap().contains("mp0.idmap: property is not defined")
            );
        }
        assert!(
            check(Release::V9_2, "pct set", "mp0", "/tank/a")
                .unwrap()
                .contains("mp0.mp: property is missing")
        );
        assert!(check(Release::V9_2, "pct set", "mp0", "/a/../b,mp=/x").is_some());
        assert!(check(Release::V9_2, "pct set", "mp0", "/a,mp=/x,mountoptions=bind").is_some());
        assert_eq!(check(Release::V9_2, "pct set", "mp0", "/a b,mp=srv/x"), None);
    }

    #[test]
    fn drives_take_their_keys() {
        let says = |text| check(Release::V8_4, "qm create", "scsi1", text);
        assert_eq!(says("rbd:100,discard=on,iothread=1,serial=smbgw-data"), None);
        assert!(says("rbd:100,discards=on").unwrap().contains("scsi1.discards"));
        assert_eq!(check(Release::V8_4, "qm set", "net0", "virtio,bridge=vmbr0,tag=12"), None);
        assert_eq!(check(Release::V8_4, "qm set", "net0", "virtio=BC:24:11:AA:01:02,bridge=vmbr0"), None);
        assert_eq!(check(Release::V8_4, "qm set", "agent", "enabled=1"), None);
        assert_eq!(check(Release::V8_4, "qm set", "virtiofs0", "smbgw-a,cache=never,expose-acl=1"), None);
    }
}
