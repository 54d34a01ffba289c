//! Directory mappings: /etc/pve/mapping/directory.cfg. Sources: PVE::Mapping::Dir, PVE::API2::Cluster::Mapping::Dir.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::options::Options;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage::section::{Section, parse, render};
use crate::world::{read, write};

const FILE: &str = "mapping/directory.cfg";

fn all() -> Result<Vec<Section>> {
    Ok(parse(&read(FILE)?))
}

fn pairs(map: &str) -> BTreeMap<&str, &str> {
    map.split(',').filter_map(|part| part.split_once('=')).collect()
}

/// The directory of a mapping on this node.
///
/// # Errors
/// When there is none, or it is no directory.
pub fn here(sim: &Sim, id: &str) -> Result<String> {
    let section = all()?.into_iter().find(|section| section.id == id);
    let maps = section.and_then(|section| section.values.get("map").cloned()).unwrap_or_default();
    let own = maps.lines().map(pairs).find(|map| map.get("node") == Some(&sim.node.name.as_str()));
    let path = own.and_then(|map| map.get("path").map(|path| (*path).to_owned()));
    let path = path.ok_or_else(|| {
        Refusal::new(format!("No mapping found for directory '{id}' on node '{}'", sim.node.name))
    })?;
    check(&path).map_err(|refusal| Refusal::new(format!("Directory Mapping invalid: {}", refusal.text)))?;
    Ok(path)
}

fn check(path: &str) -> Result<()> {
    let place = Path::new(path);
    if !place.exists() {
        return Err(Refusal::code(2, format!("Path {path} does not exist")));
    }
    if !place.is_dir() {
        return Err(Refusal::code(20, format!("Path {path} exists, but is not a directory")));
    }
    Ok(())
}

/// Checks the maps of a call: one for each node, and this node's directory is there.
fn checked(sim: &Sim, options: &Options) -> Result<String> {
    let maps = options.list("map");
    let mut seen = Vec::new();
    for map in maps {
        let pairs = pairs(map);
        let node = pairs.get("node").copied().unwrap_or_default();
        let path = pairs.get("path").copied().unwrap_or_default();
        if seen.contains(&node.to_owned()) {
            return refuse(format!("Node '{node}' is already mapped"));
        }
        seen.push(node.to_owned());
        if node == sim.node.name {
            check(path)?;
        }
    }
    let canonical = |map: &String| {
        let pairs = pairs(map);
        format!(
            "node={},path={}",
            pairs.get("node").copied().unwrap_or_default(),
            pairs.get("path").copied().unwrap_or_default()
        )
    };
    Ok(maps.iter().map(canonical).collect::<Vec<_>>().join("\n"))
}

/// `create`.
///
/// # Errors
/// When it is refused.
pub fn create(sim: &Sim, options: &Options) -> Result<()> {
    sim.node.check_quorum()?;
    let id = options.need("id");
    let map = checked(sim, options)?;
    let mut sections = all()?;
    if sections.iter().any(|section| section.id == id) {
        return refuse(format!("dir ID '{id}' already defined"));
    }
    let mut values = BTreeMap::from([("map".to_owned(), map)]);
    if let Some(text) = options.get("description") {
        values.insert("description".to_owned(), text.to_owned());
    }
    sections.push(Section { kind: String::new(), id: id.to_owned(), values });
    write(FILE, &render(&sections))
}

/// `set`: the list is replaced as a whole.
///
/// # Errors
/// When it is refused.
pub fn set(sim: &Sim, options: &Options) -> Result<()> {
    sim.node.check_quorum()?;
    let id = options.need("id");
    let mut sections = all()?;
    let Some(section) = sections.iter_mut().find(|section| section.id == id) else {
        return refuse(format!("no such resource '{id}'"));
    };
    if !options.list("map").is_empty() {
        section.values.insert("map".to_owned(), checked(sim, options)?);
    }
    if let Some(text) = options.get("description") {
        section.values.insert("description".to_owned(), text.to_owned());
    }
    write(FILE, &render(&sections))
}

/// `delete`: nobody asks who uses it.
///
/// # Errors
/// When it cannot be written.
pub fn delete(sim: &Sim, id: &str) -> Result<()> {
    sim.node.check_quorum()?;
    let mut sections = all()?;
    sections.retain(|section| section.id != id);
    write(FILE, &render(&sections))
}

/// All, or one of them.
///
/// # Errors
/// When there is none of this name.
pub fn list(id: Option<&str>) -> Result<Value> {
    let told = |section: &Section| {
        let maps: Vec<&str> =
            section.values.get("map").map(String::as_str).unwrap_or_default().lines().collect();
        let mut item = json!({ "id": section.id, "map": maps });
        if let Some(text) = section.values.get("description") {
            item["description"] = text.as_str().into();
        }
        item
    };
    let sections = all()?;
    match id {
        None => Ok(sections.iter().map(told).collect()),
        Some(id) => match sections.iter().find(|section| section.id == id) {
            Some(section) => Ok(told(section)),
            None => refuse(format!("mapping '{id}' not found")),
        },
    }
}
