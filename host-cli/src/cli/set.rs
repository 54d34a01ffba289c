//! `set`

use std::process::ExitCode;

use super::args::SetArgs;
use super::edit::Edit;
use super::show_plan;
use crate::operation::{self, Context, Secrets};
use crate::output::view::Changed;
use crate::plan::Plan;
use crate::platform::GuestState;
use crate::step::GrowDisk;
use crate::{Error, Result, record};

pub(super) fn run(context: &Context, args: SetArgs) -> Result<ExitCode> {
    let nothing = args.memory.is_none()
        && args.cores.is_none()
        && args.security.is_none()
        && args.onboot.is_none()
        && args.startup.is_none()
        && args.network.nameservers.is_empty()
        && args.network.searchdomain.is_none()
        && args.network.bridge.is_none()
        && args.network.ip.is_none()
        && args.network.gateway.is_none()
        && args.network.vlan.is_none()
        && args.network.listen.is_none();
    if args.grow_disk {
        return grow_disk(context, &args, nothing);
    }
    if nothing {
        return Err(Error::usage("nothing-to-set", "nothing is said that should be set")
            .hint("see `pve-smbgateway set --help`"));
    }
    let edit = Edit::of("set", &args.name, args.dry.dry_run);
    edit.apply(context, |spec| {
        spec.memory = args.memory.or(spec.memory);
        spec.cores = args.cores.or(spec.cores);
        spec.security = args.security.unwrap_or(spec.security);
        spec.onboot = args.onboot.unwrap_or(spec.onboot);
        spec.startup = args.startup.or(spec.startup);
        if !args.network.nameservers.is_empty() {
            spec.network.nameservers = args.network.nameservers;
        }
        spec.network.searchdomain = args.network.searchdomain.or_else(|| spec.network.searchdomain.take());
        if args.network.bridge.is_some() {
            spec.network.bridge = args.network.bridge;
        }
        spec.network.ip = args.network.ip.unwrap_or(spec.network.ip);
        spec.network.gateway = args.network.gateway.or(spec.network.gateway);
        spec.network.vlan = args.network.vlan.or(spec.network.vlan);
        spec.listen = args.network.listen.or(spec.listen);
        Ok(())
    })
}

fn grow_disk(context: &Context, args: &SetArgs, alone: bool) -> Result<ExitCode> {
    if !alone {
        return Err(Error::usage("grow-alone", "--grow-disk goes alone").hint("say `set` twice"));
    }
    let name = &args.name;
    let _lock = context.platform.lock(name)?;
    operation::refuse_unfinished(context, name.as_str())?;
    let record = context.platform.record(name)?.ok_or_else(|| record::missing(name))?;
    if record.spec.disk.is_none() {
        return Err(Error::usage("no-disk", format!("gateway {name} has no disk of its own")));
    }
    if !matches!(context.platform.guest_state(name)?, GuestState::Running { .. }) {
        return Err(Error::resource("gateway-stopped", format!("gateway {name} does not run"))
            .hint(format!("start it first: pve-smbgateway start {name}")));
    }
    let plan = Plan {
        verb: "set",
        target: name.to_string(),
        steps: vec![GrowDisk { guest: record.guest }.into()],
        notes: Vec::new(),
        details: Vec::new(),
    };
    if args.dry.dry_run {
        return Ok(show_plan(context, &plan));
    }
    let report = operation::run(context, plan, Secrets::new())?;
    context.output.data(&Changed {
        name: name.to_string(),
        action: "changed".to_owned(),
        operation: report.operation.map(|id| id.to_string()),
        took_ms: report.took_ms,
        address: None,
        notes: Vec::new(),
    });
    Ok(ExitCode::SUCCESS)
}
