//! `user`

use std::collections::BTreeSet;
use std::process::ExitCode;

use smbgw_api::{GatewayName, GatewaySpec, User, UserName};

use super::args::{PasswordArgs, UserVerb};
use super::edit::Edit;
use super::status;
use crate::operation::{Context, Secrets};
use crate::output::view::UserList;
use crate::{Error, Result, password, record};

pub(super) fn run(context: &Context, verb: UserVerb) -> Result<ExitCode> {
    match verb {
        UserVerb::List(args) => list(context, &args.name),
        UserVerb::Add { gateway, user, uid, password, dry } => {
            let edit = Edit { verb: "user add", gateway: &gateway, dry_run: dry.dry_run, force: false };
            let change = |spec: &mut GatewaySpec| {
                if spec.users.iter().any(|other| other.name == user) {
                    let error = Error::resource(
                        "user-exists",
                        format!("gateway {gateway} has a user {user} already"),
                    );
                    return Err(error.hint("`pve-smbgateway user passwd` sets the password"));
                }
                spec.users.push(User { name: user.clone(), uid });
                Ok(())
            };
            let users = BTreeSet::from([user.clone()]);
            edit.run(context, change, &users, || secrets(&password, &gateway, &user))
        }
        UserVerb::Remove { gateway, user, dry } => {
            let edit = Edit { verb: "user remove", gateway: &gateway, dry_run: dry.dry_run, force: false };
            edit.apply(context, |spec| {
                refuse_last_of_share(spec, &user)?;
                spec.users.remove(find(spec, &user)?);
                for share in &mut spec.shares {
                    share.users.retain(|name| *name != user);
                }
                Ok(())
            })
        }
        UserVerb::Passwd { gateway, user, password, dry } => {
            let edit = Edit { verb: "user passwd", gateway: &gateway, dry_run: dry.dry_run, force: false };
            let users = BTreeSet::from([user.clone()]);
            edit.run(
                context,
                |spec| find(spec, &user).map(drop),
                &users,
                || secrets(&password, &gateway, &user),
            )
        }
    }
}

fn secrets(args: &PasswordArgs, gateway: &GatewayName, user: &UserName) -> Result<Secrets> {
    let read = password::read(args, gateway, std::slice::from_ref(user))?;
    Ok(read.into_iter().map(|(user, secret)| ((gateway.clone(), user), secret)).collect())
}

/// A share without a list of users is open to all users: losing its last listed user must not open it.
fn refuse_last_of_share(spec: &GatewaySpec, user: &UserName) -> Result<()> {
    match spec.shares.iter().find(|share| share.users == [user.clone()]) {
        None => Ok(()),
        Some(share) => {
            let error = Error::usage("last-user", format!("{user} is the only user of share {}", share.name));
            Err(error.hint("give the share other users first (`share set`), or remove it: without a list of users it would be open to all"))
        }
    }
}

fn find(spec: &GatewaySpec, user: &UserName) -> Result<usize> {
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
