//! Nodes of the cluster (`/etc/pve/.members`), and which guest is on which node (`/etc/pve/.vmlist`). Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::platform::pve::call::GuestId;
use crate::platform::pve::call::pvesh::Kind;

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    nodelist: BTreeMap<String, Member>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Whether it is there: 1 or 0.
    #[serde(default)]
    pub online: u8,
    /// Its address in the cluster.
    #[serde(default)]
    pub ip: Option<String>,
}

/// Nodes by name; none when the text is not understood. A node that is not in a cluster has no list.
pub fn nodes(text: &str) -> BTreeMap<String, Member> {
    serde_json::from_str(text).map(|members: Members| members.nodelist).unwrap_or_default()
}

#[derive(Deserialize)]
struct Guests {
    #[serde(default)]
    ids: BTreeMap<String, Listed>,
}

#[derive(Deserialize)]
struct Listed {
    node: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Node and kind of a guest, if there is one with this id.
pub fn guest(text: &str, id: GuestId) -> Option<(String, Kind)> {
    let guests: Guests = serde_json::from_str(text).ok()?;
    let listed = guests.ids.get(&id.to_string())?;
    let kind = match listed.kind.as_str() {
        "lxc" => Kind::Container,
        "qemu" => Kind::Machine,
        _ => return None,
    };
    Some((listed.node.clone(), kind))
}

/// Ids that are taken.
pub fn ids(text: &str) -> Vec<GuestId> {
    let guests: Guests = serde_json::from_str(text).unwrap_or(Guests { ids: BTreeMap::new() });
    guests.ids.keys().filter_map(|id| id.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cluster_and_its_guests() {
        let members = r#"{"nodename":"pve1","version":4,"cluster":{"name":"c","version":2,"nodes":2,"quorate":1},
            "nodelist":{"pve1":{"id":1,"online":1,"ip":"10.0.0.1"},"pve2":{"id":2,"online":0,"ip":"10.0.0.2"}}}"#;
        let nodes = nodes(members);
        assert_eq!(nodes["pve2"], Member { online: 0, ip: Some("10.0.0.2".into()) });
        let list = r#"{"version":7,"ids":{"101":{"node":"pve1","type":"lxc","version":3},"102":{"node":"pve2","type":"qemu","version":1}}}"#;
        assert_eq!(guest(list, 102), Some(("pve2".to_owned(), Kind::Machine)));
        assert_eq!((guest(list, 103), ids(list)), (None, vec![101, 102]));
        assert!(super::nodes(r#"{"nodename":"pve1","version":1}"#).is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,100}") {
            let _ = (nodes(&text), guest(&text, 100), ids(&text));
        }
    }
}
