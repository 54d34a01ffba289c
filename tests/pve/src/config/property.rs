//! Property strings: `value,key=value,…`. Source: PVE::JSONSchema, `print_property_string`.

use std::collections::BTreeMap;

use crate::schema::check::pairs;
use crate::schema::{Properties, Table, find};

/// Pairs of an option's value by key.
pub type Pairs = BTreeMap<String, String>;

/// The keys of an option whose value is a property string.
pub fn keys<'a>(table: &'a Table, command: &str, option: &str) -> Option<&'a Properties> {
    let property = find(&table.command(command)?.params, option)?;
    table.formats.get(property.format.as_ref()?)
}

/// Reads a value that has been checked.
pub fn read(keys: &Properties, text: &str) -> Pairs {
    pairs(keys, text).unwrap_or_default()
}

/// Writes a value: the default key first and without its name, then what must be there, then the rest, each sorted.
pub fn print(keys: &Properties, pairs: &Pairs) -> String {
    let mut parts = Vec::new();
    let default = keys.iter().find(|(_, property)| property.default_key).map(|(key, _)| key.clone());
    let mut done: Vec<&str> = Vec::new();
    // a network card is `MODEL=ADDRESS`
    if let (Some(model), Some(address)) = (pairs.get("model"), pairs.get("macaddr")) {
        parts.push(format!("{model}={address}"));
        done.extend(["model", "macaddr"]);
    }
    if let Some(key) = &default
        && let Some(value) = pairs.get(key).filter(|_| !done.contains(&key.as_str()))
    {
        parts.push(value.clone());
        done.push(key);
    }
    for optional in [false, true] {
        for (key, value) in pairs {
            let known = keys.get(key);
            if !done.contains(&key.as_str()) && known.is_none_or(|property| property.optional) == optional {
                let truth = known.is_some_and(|property| property.kind == "boolean");
                let value = match value.to_lowercase().as_str() {
                    "on" | "yes" | "true" if truth => "1",
                    "off" | "no" | "false" if truth => "0",
                    _ => value,
                };
                parts.push(format!("{key}={value}"));
            }
        }
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    #[test]
    fn canonical() {
        let table = Table::of(Release::V9_2).unwrap();
        let again = |command: &str, option: &str, text: &str| {
            let keys = keys(&table, command, option).unwrap();
            print(keys, &read(keys, text))
        };
        assert_eq!(
            again("pct set", "mp0", "replicate=0,mp=/srv/a,idmap=passthrough,volume=/tank/a"),
            "/tank/a,mp=/srv/a,idmap=passthrough,replicate=0"
        );
        assert_eq!(
            again("pct set", "net0", "ip=10.0.0.5/24,bridge=vmbr0,name=eth0"),
            "name=eth0,bridge=vmbr0,ip=10.0.0.5/24"
        );
        assert_eq!(
            again("qm set", "net0", "bridge=vmbr0,virtio=BC:24:11:AA:01:02"),
            "virtio=BC:24:11:AA:01:02,bridge=vmbr0"
        );
        assert_eq!(again("qm set", "virtiofs0", "cache=never,dirid=a-b"), "a-b,cache=never");
    }
}
