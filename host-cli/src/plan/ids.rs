//! Ids of users and groups: given by what this gateway and all others have and had.

use smbgw_api::{GatewaySpec, HostPath, IdBook};

use super::Observed;
use crate::record::Record;
use crate::step::KeepIds;

/// Gives every user and group of a spec an id.
pub(super) fn assign(spec: &mut GatewaySpec, observed: &Observed) {
    let live = |record: &Record| (record.name().clone(), IdBook::of(&record.spec));
    let mut books = observed.ids.clone();
    for (name, book) in observed.records.iter().map(live) {
        let remembered = books.remove(&name).unwrap_or_default();
        books.insert(name, remembered.updated(&book));
    }
    let own = books.remove(&spec.name).unwrap_or_default();
    let others: Vec<IdBook> = books.into_values().collect();
    spec.assign_ids(&own, &others);
}

/// Remembers the ids of users and groups of a gateway that go; none when that is known already.
pub(super) fn keep(old: &Record, new: Option<&GatewaySpec>, observed: &Observed) -> Option<KeepIds> {
    let mut gone = IdBook::of(&old.spec);
    if let Some(new) = new {
        gone.users.retain(|name, _| !new.users.iter().any(|user| user.name == *name));
        gone.groups.retain(|name, _| !new.groups.iter().any(|group| group.name == *name));
    }
    let known = observed.ids.get(old.name()).cloned();
    let ids = known.clone().unwrap_or_default().updated(&gone);
    let is_news = ids != known.clone().unwrap_or_default();
    is_news.then(|| KeepIds { gateway: old.name().clone(), new: ids, old: known })
}

/// Shares whose files others have as well, or that lie in each other: who may open the outer one reaches the inner one. And ids
/// that are two people there.
pub(super) fn overlaps(spec: &GatewaySpec, observed: &Observed) -> Vec<String> {
    let mut notes = Vec::new();
    let directories = |spec: &GatewaySpec| -> Vec<(String, HostPath)> {
        let share = |share: &smbgw_api::Share| Some((share.name.to_string(), share.directory()?.clone()));
        spec.shares.iter().filter_map(share).collect()
    };
    let reaches = "who may open the outer one reaches the inner one";
    let own = directories(spec);
    for (inner, path) in &own {
        for (outer, above) in own.iter().filter(|(_, above)| is_inside(path, above)) {
            notes.push(format!("share {inner} ({path}) lies inside share {outer} ({above}): {reaches}"));
        }
    }
    for other in observed.records.iter().filter(|record| *record.name() != spec.name) {
        let (name, mut common) = (other.name(), None);
        for (share, path) in &own {
            for (theirs, there) in &directories(&other.spec) {
                let relation = match () {
                    () if path == there => {
                        common.get_or_insert(path);
                        continue;
                    }
                    () if is_inside(path, there) => "lies inside",
                    () if is_inside(there, path) => "holds",
                    () => continue,
                };
                common.get_or_insert(path);
                notes.push(format!(
                    "share {share} ({path}) {relation} share {theirs} of gateway {name} ({there}): {reaches}"
                ));
            }
        }
        if let Some(path) = common {
            notes.extend(strangers(&IdBook::of(spec), &IdBook::of(&other.spec)).map(|(id, us, them)| {
                format!(
                    "id {id} is {us} here and {them} in gateway {name}, and both share {path}: files of one are the other's, too"
                )
            }));
        }
    }
    notes
}

/// Ids that different names have.
fn strangers(own: &IdBook, other: &IdBook) -> impl Iterator<Item = (u32, String, String)> {
    let named = |book: &IdBook| -> Vec<(u32, String)> {
        let users = book.users.iter().map(|(name, id)| (*id, name.to_string()));
        users.chain(book.groups.iter().map(|(name, id)| (*id, format!("@{name}")))).collect()
    };
    let theirs = named(other);
    named(own).into_iter().filter_map(move |(id, us)| {
        let them = theirs.iter().find(|(other, name)| *other == id && *name != us)?;
        Some((id, us, them.1.clone()))
    })
}

fn is_inside(inner: &HostPath, outer: &HostPath) -> bool {
    inner.as_str().strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with('/'))
}
