//! `group`

use std::process::ExitCode;

use smbgw_api::{GatewayName, GatewaySpec, Group, GroupName, Principal, UserName};

use super::args::GroupVerb;
use super::edit::Edit;
use super::user::{self, refuse_last_of_share};
use crate::operation::Context;
use crate::output::view::{GroupList, GroupRow};
use crate::{Error, Result, record};

pub(super) fn run(context: &Context, verb: GroupVerb) -> Result<ExitCode> {
    match verb {
        GroupVerb::List(args) => list(context, &args.name),
        GroupVerb::Add { gateway, group, gid, members, dry } => {
            let edit = Edit::of("group add", &gateway, dry.dry_run);
            edit.apply(context, |spec| {
                if spec.groups.iter().any(|other| other.name == group) {
                    let error = Error::resource(
                        "group-exists",
                        format!("gateway {gateway} has a group {group} already"),
                    );
                    return Err(error.hint("`pve-smbgateway group set` changes who is in it"));
                }
                known(spec, &members)?;
                spec.groups.push(Group { name: group, gid, members });
                Ok(())
            })
        }
        GroupVerb::Set { gateway, group, members, remove, dry } => {
            let edit = Edit::of("group set", &gateway, dry.dry_run);
            edit.apply(context, |spec| {
                known(spec, &members)?;
                let index = find(spec, &group)?;
                let group = &mut spec.groups[index];
                if let Some(absent) = remove.iter().find(|user| !group.members.contains(user)) {
                    return Err(Error::resource(
                        "no-such-member",
                        format!("{absent} is not in group {}", group.name),
                    )
                    .hint(format!("`pve-smbgateway group list {gateway}` shows who is")));
                }
                if let Some(both) = members.iter().find(|user| remove.contains(user)) {
                    let message = format!("{both} cannot both come into group {} and leave it", group.name);
                    return Err(Error::usage("member-twice", message).hint("say one of the two"));
                }
                group.members.retain(|user| !remove.contains(user));
                for user in members {
                    if !group.members.contains(&user) {
                        group.members.push(user);
                    }
                }
                Ok(())
            })
        }
        GroupVerb::Remove { gateway, group, force, dry } => {
            let edit = Edit::of("group remove", &gateway, dry.dry_run);
            edit.apply(context, |spec| {
                let index = find(spec, &group)?;
                let principal = Principal::Group(group);
                refuse_last_of_share(spec, &principal)?;
                let shares = user::shares_naming(spec, &principal);
                if !force && !shares.is_empty() {
                    let message =
                        format!("group {} is named by {}", spec.groups[index].name, shares.join(", "));
                    return Err(Error::resource("group-in-use", message)
                        .hint("take it out of them first (`share set`), or say --force"));
                }
                user::forget(spec, &principal);
                spec.groups.remove(index);
                Ok(())
            })
        }
    }
}

/// Members must be users of the gateway.
fn known(spec: &GatewaySpec, members: &[UserName]) -> Result<()> {
    members.iter().try_for_each(|name| user::find(spec, name).map(drop))
}

fn find(spec: &GatewaySpec, group: &GroupName) -> Result<usize> {
    spec.groups.iter().position(|other| other.name == *group).ok_or_else(|| missing(spec, group))
}

/// The error of a group that is not there.
pub(super) fn missing(spec: &GatewaySpec, group: &GroupName) -> Error {
    Error::resource("no-such-group", format!("gateway {} has no group {group}", spec.name))
        .hint(format!("`pve-smbgateway group list {}` shows those there are", spec.name))
}

fn list(context: &Context, name: &GatewayName) -> Result<ExitCode> {
    let record = context.platform.record(name)?.ok_or_else(|| record::missing(name))?;
    let row = |group: &Group| GroupRow {
        name: group.name.to_string(),
        gid: group.gid,
        members: group.members.iter().map(ToString::to_string).collect(),
        shares: user::shares_naming(&record.spec, &Principal::Group(group.name.clone())),
    };
    context.output.data(&GroupList { groups: record.spec.groups.iter().map(row).collect() });
    Ok(ExitCode::SUCCESS)
}
