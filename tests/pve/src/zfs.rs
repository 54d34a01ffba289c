//! `zfs`, as far as shares use it: datasets are directories of their pool's mount point. Source: zfs(8), zfs-get(8), zfs-create(8).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::storage;

/// Properties of all datasets, by name.
type Datasets = BTreeMap<String, BTreeMap<String, String>>;

fn load(sim: &Sim) -> Result<Datasets> {
    let text = fs::read_to_string(sim.node.own("datasets")).unwrap_or_default();
    let mut all: Datasets = serde_json::from_str(&text).unwrap_or_default();
    for storage in storage::all(sim)?.iter().filter(|storage| storage.kind == "zfspool") {
        let pool = storage.values.get("pool").cloned().unwrap_or_default();
        let mount = storage.values.get("mountpoint").cloned().unwrap_or_else(|| format!("/{pool}"));
        all.entry(pool).or_insert_with(|| BTreeMap::from([("mountpoint".to_owned(), mount)]));
    }
    Ok(all)
}

fn store(sim: &Sim, all: &Datasets) -> Result<()> {
    Ok(fs::write(sim.node.own("datasets"), serde_json::to_string(all).unwrap_or_default())?)
}

/// Runs `zfs`.
///
/// # Errors
/// With what it says.
pub fn main(sim: &Sim, arguments: &[String]) -> Result<i32> {
    sim.before()?;
    let Some((verb, rest)) = arguments.split_first() else { return Err(Refusal::code(2, "missing command")) };
    let mut all = load(sim)?;
    let missing = |name: &str| Refusal::code(1, format!("cannot open '{name}': dataset does not exist"));
    match verb.as_str() {
        "get" | "list" => {
            let plain: Vec<&String> = rest.iter().filter(|word| !word.starts_with('-')).collect();
            let columns = rest.windows(2).find(|pair| pair[0] == "-o").map(|pair| pair[1].clone());
            let plain: Vec<&String> =
                plain.into_iter().filter(|word| Some(*word) != columns.as_ref()).collect();
            let [keys @ .., name] = plain.as_slice() else { return Err(Refusal::code(2, "missing dataset")) };
            let dataset = all.get(*name).ok_or_else(|| missing(name))?;
            let keys = if verb == "list" {
                columns.clone().unwrap_or_else(|| "name".to_owned())
            } else {
                keys.first().map(|keys| (*keys).clone()).unwrap_or_default()
            };
            for key in keys.split(',') {
                let value = match key {
                    "name" => (*name).clone(),
                    "mounted" => "yes".to_owned(),
                    "type" => "filesystem".to_owned(),
                    _ => dataset.get(key).cloned().unwrap_or_else(|| "-".to_owned()),
                };
                match (verb.as_str(), columns.as_deref()) {
                    ("list", _) | (_, Some("value")) => println!("{value}"),
                    _ => println!("{name}\t{key}\t{value}\t-"),
                }
            }
        }
        "create" => {
            let mut properties = BTreeMap::new();
            let mut parents = false;
            let mut name = String::new();
            let mut words = rest.iter();
            while let Some(word) = words.next() {
                match word.as_str() {
                    "-o" => {
                        let pair = words.next().map(String::as_str).unwrap_or_default();
                        let (key, value) = pair
                            .split_once('=')
                            .ok_or_else(|| Refusal::code(2, "missing '=' for property=value argument"))?;
                        properties.insert(key.to_owned(), value.to_owned());
                    }
                    "-p" => parents = true,
                    "-u" => {}
                    word if word.starts_with('-') => {
                        return Err(Refusal::code(2, format!("invalid option '{}'", &word[1..])));
                    }
                    word => word.clone_into(&mut name),
                }
            }
            if all.contains_key(&name) {
                return if parents {
                    Ok(0)
                } else {
                    Err(Refusal::code(1, format!("cannot create '{name}': dataset already exists")))
                };
            }
            let (parent, last) = name
                .rsplit_once('/')
                .ok_or_else(|| Refusal::code(1, format!("cannot create '{name}': missing dataset name")))?;
            let Some(above) = all.get(parent) else {
                return Err(Refusal::code(1, format!("cannot create '{name}': parent does not exist")));
            };
            let mount = format!("{}/{last}", above.get("mountpoint").map(String::as_str).unwrap_or_default());
            let mount = properties.entry("mountpoint".to_owned()).or_insert(mount).clone();
            fs::create_dir_all(PathBuf::from(&mount))?;
            all.insert(name, properties);
            store(sim, &all)?;
        }
        "set" => {
            let [pair, name] = rest else { return Err(Refusal::code(2, "missing dataset")) };
            let dataset = all.get_mut(name).ok_or_else(|| missing(name))?;
            let (key, value) = pair.split_once('=').ok_or_else(|| Refusal::code(2, "missing '='"))?;
            dataset.insert(key.to_owned(), value.to_owned());
            store(sim, &all)?;
        }
        "destroy" => {
            let name = rest.last().map(String::as_str).unwrap_or_default();
            let children = all.keys().any(|other| other.starts_with(&format!("{name}/")));
            if children {
                return Err(Refusal::code(1, format!("cannot destroy '{name}': filesystem has children")));
            }
            let dataset = all.remove(name).ok_or_else(|| missing(name))?;
            if let Some(mount) = dataset.get("mountpoint") {
                fs::remove_dir_all(mount)?;
            }
            store(sim, &all)?;
        }
        _ => return refuse(format!("simulated: zfs {verb} is not there")),
    }
    Ok(0)
}
