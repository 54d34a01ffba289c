//! The committed tables, from the whole schemas of both versions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Call, Properties, Property, Table};

/// Programs whose commands are all in the table, and the commands that are not.
const PROGRAMS: &[&str] = &["pct", "qm", "pvesm", "ha-manager"];
/// What nothing here is to call.
const NOT_USED: &[&str] = &[
    "remote-migrate",
    "mtunnel",
    "vncproxy",
    "nbdstop",
    "importovf",
    "enroll-efi-keys",
    "sendkey",
    "monitor",
    "terminal",
    "scan",
    "export",
    "import",
    "extractconfig",
    "prune-backups",
    "cpusets",
    "fsck",
    "console",
    "enter",
    "glusterfsscan",
];
/// REST endpoints in the table.
const ENDPOINTS: &[&str] = &[
    "/version",
    "/storage",
    "/storage/{storage}",
    "/nodes",
    "/cluster/nextid",
    "/cluster/resources",
    "/cluster/status",
    "/cluster/backup",
    "/cluster/mapping/dir",
    "/cluster/mapping/dir/{id}",
    "/cluster/ha/status/current",
    "/cluster/ha/resources",
    "/cluster/ha/resources/{sid}",
    "/cluster/ha/groups",
    "/cluster/ha/rules",
    "/nodes/{node}/status",
    "/nodes/{node}/version",
    "/nodes/{node}/network",
    "/nodes/{node}/dns",
    "/nodes/{node}/tasks",
    "/nodes/{node}/tasks/{upid}/status",
    "/nodes/{node}/tasks/{upid}/log",
    "/nodes/{node}/storage",
    "/nodes/{node}/storage/{storage}/status",
    "/nodes/{node}/storage/{storage}/content",
    "/nodes/{node}/storage/{storage}/content/{volume}",
    "/nodes/{node}/lxc",
    "/nodes/{node}/lxc/{vmid}",
    "/nodes/{node}/lxc/{vmid}/config",
    "/nodes/{node}/lxc/{vmid}/pending",
    "/nodes/{node}/lxc/{vmid}/interfaces",
    "/nodes/{node}/lxc/{vmid}/snapshot",
    "/nodes/{node}/lxc/{vmid}/status/current",
    "/nodes/{node}/lxc/{vmid}/status/start",
    "/nodes/{node}/lxc/{vmid}/status/stop",
    "/nodes/{node}/lxc/{vmid}/status/shutdown",
    "/nodes/{node}/qemu",
    "/nodes/{node}/qemu/{vmid}",
    "/nodes/{node}/qemu/{vmid}/config",
    "/nodes/{node}/qemu/{vmid}/pending",
    "/nodes/{node}/qemu/{vmid}/snapshot",
    "/nodes/{node}/qemu/{vmid}/status/current",
    "/nodes/{node}/qemu/{vmid}/status/start",
    "/nodes/{node}/qemu/{vmid}/status/stop",
    "/nodes/{node}/qemu/{vmid}/status/shutdown",
    "/nodes/{node}/qemu/{vmid}/agent/ping",
    "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces",
    "/nodes/{node}/qemu/{vmid}/agent/fsfreeze-status",
];

/// The table of one whole schema.
///
/// # Errors
/// When the file cannot be read, or is not as expected.
pub fn table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let schema: Value = serde_json::from_str(&text)?;
    let mut cli = BTreeMap::new();
    for program in PROGRAMS {
        let commands = schema["cli"][program].as_object().context("no commands")?;
        for (name, command) in commands {
            if !NOT_USED.contains(&name.split(' ').next().unwrap_or_default()) {
                cli.insert(format!("{program} {name}"), call(command)?);
            }
        }
    }
    let mut api = BTreeMap::new();
    for path in ENDPOINTS {
        let methods = schema["api"][path].as_object();
        for (method, endpoint) in methods.into_iter().flatten() {
            api.insert(format!("{method} {path}"), call(endpoint)?);
        }
    }
    let mut formats = BTreeMap::new();
    let mut wanted: BTreeSet<String> =
        cli.values().chain(api.values()).flat_map(|call| call.params.values()).filter_map(named).collect();
    while let Some(name) = wanted.pop_first() {
        let known =
            if name.starts_with('#') { &schema["subformats"][&name] } else { &schema["formats"][&name] };
        if formats.contains_key(&name) || !known.is_object() {
            continue;
        }
        let properties = properties(known)?;
        wanted.extend(properties.values().filter_map(named));
        formats.insert(name, properties);
    }
    let version = schema["version"]["version"].as_str().or(schema["version"].as_str()).unwrap_or_default();
    Ok(Table { version: version.to_owned(), cli, api, formats })
}

fn named(property: &Property) -> Option<String> {
    property.format.clone().or_else(|| property.items.as_ref()?.format.clone())
}

fn call(value: &Value) -> Result<Call> {
    let args = value["args"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    Ok(Call {
        args: args.collect(),
        rest: value["extra_args_after_dashdash"] == 1,
        alias: value["alias"].as_str().map(str::to_owned),
        params: properties(&value["params"])?,
    })
}

fn properties(value: &Value) -> Result<Properties> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| Ok((name.clone(), property(value)?)))
        .collect()
}

fn property(value: &Value) -> Result<Property> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let number = |key: &str| value[key].as_f64().or_else(|| value[key].as_str()?.parse().ok());
    let length = |key: &str| number(key).map(|number| number as usize);
    let truth = |key: &str| value[key] == 1 || value[key] == "1" || value[key] == true;
    let choices = value["enum"].as_array().into_iter().flatten();
    Ok(Property {
        kind: text("type").unwrap_or_default(),
        format: text("format"),
        // some say under which condition, in words
        optional: truth("optional") || value["optional"].is_string(),
        default_key: truth("default_key"),
        alias: text("alias"),
        key_alias: text("keyAlias"),
        minimum: number("minimum"),
        maximum: number("maximum"),
        min_length: length("minLength"),
        max_length: length("maxLength"),
        choices: choices
            .map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned))
            .collect(),
        pattern: text("pattern"),
        requires: text("requires"),
        items: if value["items"].is_object() { Some(Box::new(property(&value["items"])?)) } else { None },
    })
}

/// A table as it is committed: one line a call, so that a difference can be read.
///
/// # Errors
/// Never, in truth: when it cannot be written as JSON.
pub fn text(table: &Table) -> Result<String> {
    fn section<T: serde::Serialize>(name: &str, entries: &BTreeMap<String, T>) -> Result<String> {
        let lines: Result<Vec<String>> = entries
            .iter()
            .map(|(key, value)| {
                Ok(format!("{}: {}", serde_json::to_string(key)?, serde_json::to_string(value)?))
            })
            .collect();
        Ok(format!("\"{name}\": {{\n{}\n}}", lines?.join(",\n")))
    }
    Ok(format!(
        "{{\n\"version\": {},\n{},\n{},\n{}\n}}\n",
        serde_json::to_string(&table.version)?,
        section("cli", &table.cli)?,
        section("api", &table.api)?,
        section("formats", &table.formats)?
    ))
}

/// Name of the committed file, and of the schema, of each version.
pub const FILES: &[&str] = &["pve8.json", "pve9.json"];

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed tables are what the schemas say, where those are.
    #[test]
    fn the_committed_tables_are_current() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let schemas = here.join("../../../shared/pve-schema");
        if !schemas.is_dir() {
            assert!(std::env::var_os("CI").is_none(), "{} is missing", schemas.display());
            eprintln!("{} is missing: the tables are not compared", schemas.display());
            return;
        }
        for file in FILES {
            let new = text(&table(&schemas.join(file)).unwrap()).unwrap();
            let committed = std::fs::read_to_string(here.join("facts").join(file)).unwrap();
            assert!(
                new == committed,
                "{file} is old: run `cargo run -p smbgw-pve-sim -- table SCHEMAS tests/pve/facts`"
            );
        }
    }
}
