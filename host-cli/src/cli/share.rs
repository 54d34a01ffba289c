//! `share`

use std::collections::BTreeMap;
use std::process::ExitCode;

use smbgw_api::{GatewaySpec, Location, Share, ShareName};

use super::args::ShareVerb;
use super::edit::Edit;
use super::location;
use super::status;
use crate::operation::Context;
use crate::output::view::ShareList;
use crate::{Error, Result, record};

pub(super) fn run(context: &Context, verb: ShareVerb) -> Result<ExitCode> {
    match verb {
        ShareVerb::List(args) => {
            let record = context.platform.record(&args.name)?.ok_or_else(|| record::missing(&args.name))?;
            context.output.data(&ShareList { shares: status::shares(&record) });
            Ok(ExitCode::SUCCESS)
        }
        ShareVerb::Add { gateway, share, path, place, folder, options, users, groups, hidden, dry } => {
            let location = match (path, folder, location(&place, &share)?) {
                (Some(path), ..) => Location::Directory(path),
                (None, Some(folder), _) => Location::Folder(folder),
                (None, None, Some(place)) => place,
                (None, None, None) => return Err(Error::internal("a share without a place")),
            };
            let quota = options.quota();
            let handling = options.handling.new_share()?;
            let edit = Edit::of("share add", &gateway, dry.dry_run);
            edit.apply(context, |spec| {
                if spec.shares.iter().any(|other| other.name.same(&share)) {
                    let error = Error::resource(
                        "share-exists",
                        format!("gateway {gateway} has a share {share} already"),
                    );
                    return Err(error.hint("change it with `pve-smbgateway share set`"));
                }
                spec.shares.push(Share {
                    name: share,
                    location,
                    comment: options.comment,
                    read_only: options.read_only,
                    users,
                    groups,
                    allow: options.allow,
                    readers: options.readers,
                    browseable: !hidden,
                    grant: options.grant,
                    quota,
                    user_quotas: BTreeMap::new(),
                    handling,
                });
                Ok(())
            })
        }
        ShareVerb::Set {
            gateway,
            share,
            comment,
            read_only,
            hidden,
            users,
            groups,
            allow,
            all_users,
            readers,
            no_readers,
            handling,
            no_raw_options,
            dry,
        } => {
            let edit = Edit::of("share set", &gateway, dry.dry_run);
            edit.apply(context, |spec| {
                let index = find(spec, &share)?;
                let share = &mut spec.shares[index];
                if let Some(comment) = comment {
                    share.comment = (!comment.is_empty()).then_some(comment);
                }
                share.read_only = read_only.unwrap_or(share.read_only);
                share.browseable = hidden.map_or(share.browseable, |hidden| !hidden);
                if all_users || !users.is_empty() || !groups.is_empty() || !allow.is_empty() {
                    (share.users, share.groups, share.allow) = (users, groups, allow);
                }
                if no_readers || !readers.is_empty() {
                    share.readers = readers;
                }
                if no_raw_options {
                    share.handling.raw_options.clear();
                }
                handling.change(&mut share.handling)?;
                Ok(())
            })
        }
        ShareVerb::Remove { gateway, share, dry } => {
            let edit = Edit::of("share remove", &gateway, dry.dry_run);
            edit.apply(context, |spec| {
                let index = find(spec, &share)?;
                spec.shares.remove(index);
                Ok(())
            })
        }
    }
}

fn find(spec: &GatewaySpec, share: &ShareName) -> Result<usize> {
    spec.shares.iter().position(|other| other.name.same(share)).ok_or_else(|| {
        Error::resource("no-such-share", format!("gateway {} has no share {share}", spec.name))
            .hint(format!("`pve-smbgateway share list {}` shows those there are", spec.name))
    })
}
