//! Paths of the API.

use std::collections::BTreeMap;

use crate::sim::Sim;

/// An endpoint, and what the path says.
#[derive(Debug, Clone)]
pub struct Found {
    /// `GET /nodes/{node}/lxc` and the like.
    pub name: String,
    /// `node`, `vmid` and the like.
    pub values: BTreeMap<String, String>,
}

/// Looks an endpoint up.
pub fn find(sim: &Sim, method: &str, path: &str) -> Option<Found> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    sim.table.api.keys().find_map(|name| {
        let (other, pattern) = name.split_once(' ')?;
        if other != method {
            return None;
        }
        let pattern: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        // a volume's id has slashes of its own
        let open = pattern.last() == Some(&"{volume}");
        if parts.len() < pattern.len() || (!open && parts.len() > pattern.len()) {
            return None;
        }
        let mut values = BTreeMap::new();
        for (index, part) in pattern.iter().enumerate() {
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(key) if open && index + 1 == pattern.len() => {
                    values.insert(key.to_owned(), parts[index..].join("/"));
                }
                Some("node") if parts[index] == "localhost" => {
                    values.insert("node".to_owned(), sim.node.name.clone());
                }
                Some(key) => {
                    values.insert(key.to_owned(), parts[index].to_owned());
                }
                None if *part == parts[index] => {}
                None => return None,
            }
        }
        Some(Found { name: name.clone(), values })
    })
}
