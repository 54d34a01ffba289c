//! `set`

use std::process::ExitCode;

use super::args::SetArgs;
use super::edit::Edit;
use crate::operation::Context;
use crate::{Error, Result};

pub(super) fn run(context: &Context, args: SetArgs) -> Result<ExitCode> {
    let nothing = args.memory.is_none()
        && args.cores.is_none()
        && args.security.is_none()
        && args.onboot.is_none()
        && args.network.bridge.is_none()
        && args.network.ip.is_none()
        && args.network.gateway.is_none();
    if nothing {
        return Err(Error::usage("nothing-to-set", "nothing is said that should be set")
            .hint("see `pve-smbgateway set --help`"));
    }
    let edit = Edit { verb: "set", gateway: &args.name, dry_run: args.dry.dry_run };
    edit.apply(context, |spec| {
        spec.memory = args.memory.or(spec.memory);
        spec.cores = args.cores.or(spec.cores);
        spec.security = args.security.unwrap_or(spec.security);
        spec.onboot = args.onboot.unwrap_or(spec.onboot);
        if args.network.bridge.is_some() {
            spec.network.bridge = args.network.bridge;
        }
        spec.network.ip = args.network.ip.unwrap_or(spec.network.ip);
        spec.network.gateway = args.network.gateway.or(spec.network.gateway);
        Ok(())
    })
}
