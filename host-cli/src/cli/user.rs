//! `user`

use std::collections::BTreeSet;
use std::process::ExitCode;

use smbgw_api::{GatewayName, GatewaySpec, GroupName, Principal, Share, User, UserName};

use super::args::{PasswordArgs, UserVerb};
use super::edit::{Asked, Edit};
use super::{import, status};
use crate::operation::{Context, Secrets};
use crate::output::view::{NewUser, NewUsers, UserList};
use crate::{Error, Result, password, record, world};

pub(super) fn run(context: &Context, verb: UserVerb) -> Result<ExitCode> {
    match verb {
        UserVerb::List(args) => list(context, &args.name),
        UserVerb::Add { gateway, user, uid, groups, password, generate, dry } => {
            let edit = Edit::of("user add", &gateway, dry.dry_run);
            let change = |spec: &mut GatewaySpec| {
                if spec.users.iter().any(|other| other.name == user) {
                    let error = Error::resource(
                        "user-exists",
                        format!("gateway {gateway} has a user {user} already"),
                    );
                    return Err(error.hint("`pve-smbgateway user passwd` sets the password"));
                }
                spec.users.push(User { name: user.clone(), uid });
                groups.iter().try_for_each(|group| join(spec, group, &user))
            };
            if generate {
                return generated(context, edit, "added", &user, change);
            }
            let users = BTreeSet::from([user.clone()]);
            edit.run(context, change, &users, || secrets(&password, &gateway, &user))
        }
        UserVerb::Remove { gateway, user, force, dry } => {
            let edit = Edit::of("user remove", &gateway, dry.dry_run);
            edit.apply(context, |spec| {
                let index = find(spec, &user)?;
                let principal = Principal::User(user.clone());
                refuse_last_of_share(spec, &principal)?;
                let mut places = shares_naming(spec, &principal);
                places.extend(
                    spec.groups
                        .iter()
                        .filter(|group| group.members.contains(&user))
                        .map(|group| format!("group {}", group.name)),
                );
                if !force && !places.is_empty() {
                    return Err(Error::resource(
                        "user-in-use",
                        format!("user {user} is named by {}", places.join(", ")),
                    )
                    .hint("take the user out of them first (`share set`, `group set`), or say --force"));
                }
                forget(spec, &principal);
                spec.users.remove(index);
                Ok(())
            })
        }
        UserVerb::Import { gateway, file, create_groups, dry } => {
            import::run(context, &gateway, &file, create_groups, dry)
        }
        UserVerb::Passwd { gateway, user, password, generate, dry } => {
            let edit = Edit::of("user passwd", &gateway, dry.dry_run);
            let change = |spec: &mut GatewaySpec| find(spec, &user).map(drop);
            if generate {
                return generated(context, edit, "changed", &user, change);
            }
            let users = BTreeSet::from([user.clone()]);
            edit.run(context, change, &users, || secrets(&password, &gateway, &user))
        }
    }
}

/// Does an edit with a made password of one user, and prints that.
fn generated(
    context: &Context,
    edit: Edit<'_>,
    action: &'static str,
    user: &UserName,
    change: impl FnOnce(&mut GatewaySpec) -> Result<()>,
) -> Result<ExitCode> {
    let gateway = edit.gateway.clone();
    let made = password::generate(world::random()?);
    let asked = Asked { with_password: BTreeSet::from([user.clone()]), notes: Vec::new() };
    let secrets = Secrets::from([((gateway.clone(), user.clone()), made.clone())]);
    if let Some(done) = edit.perform(context, |spec| change(spec).map(|()| asked), |_| Ok(secrets))? {
        let record = context.platform.record(&gateway)?.ok_or_else(|| record::missing(&gateway))?;
        let row = NewUser::of(&record, user, action, Some(made));
        context.output.data(&NewUsers::of(&gateway, done.operation, done.took_ms, vec![row], done.notes));
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes a user into a group.
pub(super) fn join(spec: &mut GatewaySpec, group: &GroupName, user: &UserName) -> Result<()> {
    let missing = super::group::missing(spec, group);
    let group = spec.groups.iter_mut().find(|other| other.name == *group).ok_or(missing)?;
    if !group.members.contains(user) {
        group.members.push(user.clone());
    }
    Ok(())
}

fn secrets(args: &PasswordArgs, gateway: &GatewayName, user: &UserName) -> Result<Secrets> {
    let read = password::read(args, gateway, std::slice::from_ref(user))?;
    Ok(read.into_iter().map(|(user, secret)| ((gateway.clone(), user), secret)).collect())
}

/// Shares that name a user or group, as `share team`.
pub(super) fn shares_naming(spec: &GatewaySpec, principal: &Principal) -> Vec<String> {
    let names = |share: &&Share| {
        share.readers.contains(principal)
            || match principal {
                Principal::User(name) => share.users.contains(name),
                Principal::Group(name) => share.groups.contains(name),
            }
    };
    spec.shares.iter().filter(names).map(|share| format!("share {}", share.name)).collect()
}

/// Takes a user or group out of all shares, and a user out of all groups.
pub(super) fn forget(spec: &mut GatewaySpec, principal: &Principal) {
    for share in &mut spec.shares {
        share.readers.retain(|reader| reader != principal);
        share.user_quotas.remove(principal);
        match principal {
            Principal::User(name) => share.users.retain(|user| user != name),
            Principal::Group(name) => share.groups.retain(|group| group != name),
        }
    }
    if let Principal::User(name) = principal {
        spec.groups.iter_mut().for_each(|group| group.members.retain(|member| member != name));
    }
}

/// A share that names neither users nor groups is open to all users: losing the last that it names must not open it.
pub(super) fn refuse_last_of_share(spec: &GatewaySpec, principal: &Principal) -> Result<()> {
    let mut without = spec.clone();
    forget(&mut without, principal);
    let opened = |(was, now): &(&Share, &Share)| !was.admission().is_open() && now.admission().is_open();
    match spec.shares.iter().zip(&without.shares).find(opened) {
        None => Ok(()),
        Some((share, _)) => {
            let message = format!("{principal} is the only one who may open share {}", share.name);
            Err(Error::usage("last-user", message).hint("give the share others first (`share set`), or remove it: without a list of users and groups it would be open to all"))
        }
    }
}

pub(super) fn find(spec: &GatewaySpec, user: &UserName) -> Result<usize> {
    spec.users.iter().position(|other| other.name == *user).ok_or_else(|| {
        Error::resource("no-such-user", format!("gateway {} has no user {user}", spec.name))
            .hint(format!("`pve-smbgateway user list {}` shows those there are", spec.name))
    })
}

fn list(context: &Context, name: &GatewayName) -> Result<ExitCode> {
    let record = context.platform.record(name)?.ok_or_else(|| record::missing(name))?;
    let mut users = status::users(&record);
    // a stopped gateway is no error here: whether a password is set is then unknown
    if let Ok(known) = context.world(Secrets::new()).agent(name).and_then(|agent| agent.users()) {
        for user in &mut users {
            user.has_password = known.iter().find(|k| k.name.as_str() == user.name).map(|k| k.has_password);
        }
    }
    context.output.data(&UserList { users });
    Ok(ExitCode::SUCCESS)
}
