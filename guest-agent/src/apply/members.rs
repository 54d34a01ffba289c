//! Groups in a plan, and whose access a change narrows. Pure.

use smbgw_api::spec::{MAX_UID, MIN_UID};
use smbgw_api::v1::{DesiredShare, DesiredState, DesiredUser};
use smbgw_api::{Access, UserName};

use super::observe::Observed;
use crate::accounts::Group;
use crate::accounts::groups::{Changes, Wanted};
use crate::error::{Result, invalid};

/// Checks the rules of groups that the types cannot hold.
pub(super) fn check(desired: &DesiredState) -> Result<()> {
    for (index, group) in desired.groups.iter().enumerate() {
        let bad = |rule: String| Err(invalid(format!("group {}: {rule}", group.name)));
        if !(MIN_UID..=MAX_UID).contains(&group.gid) {
            return bad(format!("gid {} is outside {MIN_UID}-{MAX_UID}", group.gid));
        }
        let others = &desired.groups[..index];
        if others.iter().any(|other| other.name == group.name || other.gid == group.gid) {
            return bad(format!("its name, or gid {}, is there twice", group.gid));
        }
        // a user has a group of the same name and id
        let same =
            |user: &&DesiredUser| user.uid == group.gid || user.name.as_str() == group.name.unix_name();
        if let Some(user) = desired.users.iter().find(same) {
            return bad(format!("the own group of user {} has its name or gid {}", user.name, group.gid));
        }
        for (place, name) in group.members.iter().enumerate() {
            if !desired.users.iter().any(|user| user.name == *name) {
                return bad(format!("its member {name} is no user of the gateway"));
            }
            if group.members[..place].contains(name) {
                return bad(format!("its member {name} is there twice"));
            }
        }
    }
    Ok(())
}

/// Plans groups. Refuses what would touch one that is not ours.
pub(super) fn plan(desired: &DesiredState, observed: &Observed, renewed: &[DesiredUser]) -> Result<Changes> {
    let wanted: Vec<Wanted> = desired.groups.iter().map(Wanted::from).collect();
    for group in &wanted {
        let same = |there: &&Group| there.name == group.name && !there.ours || taken(there, group, &wanted);
        if let Some(there) = observed.accounts.groups.iter().find(same) {
            return Err(invalid(format!(
                "group {} with gid {} cannot be made: group {} with gid {} is there already",
                group.name, group.gid, there.name, there.gid
            )));
        }
    }
    let now: Vec<Group> = observed.accounts.our_groups().cloned().collect();
    let renewed: Vec<UserName> = renewed.iter().map(|user| user.name.clone()).collect();
    Ok(Changes::between(&now, &wanted, &renewed))
}

/// Whether another group has the gid, and keeps it.
fn taken(there: &Group, group: &Wanted, wanted: &[Wanted]) -> bool {
    let moves = wanted.iter().any(|other| other.name == there.name && other.gid != there.gid);
    there.gid == group.gid && there.name != group.name && !moves
}

/// What a user of a share is left with, of those who may do less than before; none when there is none. Users whose sessions
/// end anyway do not count.
pub(super) fn narrowed(
    (old, was): (&DesiredState, &DesiredShare),
    (new, now): (&DesiredState, &DesiredShare),
    ended: &[UserName],
) -> Option<Access> {
    let staying = old.users.iter().filter(|user| !ended.contains(&user.name));
    let less = staying.filter_map(|user| {
        let after = if new.users.contains(user) { new.access(now, &user.name) } else { Access::Closed };
        (after < old.access(was, &user.name)).then_some(after)
    });
    // to end all connections covers both
    less.max()
}

/// Users who stay and whose sessions must end: who left a group, and who may do less in a share because of another one.
pub(super) fn ended(old: &DesiredState, new: &DesiredState) -> Vec<UserName> {
    let gids = |state: &DesiredState, user: &UserName| -> Vec<u32> {
        state.groups.iter().filter(|group| group.members.contains(user)).map(|group| group.gid).collect()
    };
    let loses = |user: &&DesiredUser| {
        let (was, now) = (gids(old, &user.name), gids(new, &user.name));
        let left = was.iter().any(|gid| !now.contains(gid));
        let joined = now.iter().any(|gid| !was.contains(gid));
        let narrowed = || {
            old.shares.iter().any(|before| {
                let after = new.shares.iter().find(|share| share.name == before.name);
                after.is_some_and(|after| new.access(after, &user.name) < old.access(before, &user.name))
            })
        };
        left || joined && narrowed()
    };
    new.users
        .iter()
        .filter(|user| old.users.contains(user))
        .filter(loses)
        .map(|user| user.name.clone())
        .collect()
}
