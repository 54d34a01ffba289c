//! `create`

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::process::ExitCode;

use smbgw_api::{Disk, DiskSource, FolderPath, GatewaySpec, Location, Network, Share, ShareName, User};

use super::args::{CreateArgs, DiskArgs};
use super::{location, show_plan};
use crate::operation::{self, Context, Secrets};
use crate::output::view::Changed;
use crate::plan::{self, Observed};
use crate::{Error, Result, password, record};

pub(super) fn run(context: &Context, args: CreateArgs) -> Result<ExitCode> {
    let mut spec = spec(&args)?;
    let _lock = context.platform.lock(&spec.name)?;
    operation::refuse_unfinished(context, spec.name.as_str())?;
    let observed = Observed::look(&*context.platform, Some(&mut spec))?;
    let users: BTreeSet<_> = args.users.iter().cloned().collect();
    let plan = plan::create::plan(
        &|what| context.platform.by_hand(what),
        spec.clone(),
        &users,
        &observed,
        context.entropy()?,
    )?;
    if args.dry.dry_run {
        return Ok(show_plan(context, &plan));
    }
    // asked for last: a person should not type a password for a plan that cannot work
    let secrets: Secrets = password::read(&args.password, &spec.name, &args.users)?
        .into_iter()
        .map(|(user, secret)| ((spec.name.clone(), user), secret))
        .collect();
    let context = &super::ad::joiner_of_create(context, &spec, &args.joiner, &args.precreated)?;
    let notes = plan.notes.clone();
    let report = operation::run(context, plan, secrets)?;
    let address = address(context, &spec)?;
    let ip = address.split('/').next().unwrap_or_default();
    // what clients type
    let unc = spec.shares.iter().map(|share| format!("\\\\{ip}\\{}", share.name));
    context.output.data(&Changed {
        name: spec.name.to_string(),
        action: "created".to_owned(),
        operation: report.operation.map(|id| id.to_string()),
        took_ms: report.took_ms,
        notes: unc.chain(notes).collect(),
        address: Some(address),
    });
    Ok(ExitCode::SUCCESS)
}

/// The address it got; one by DHCP is known to the agent only.
fn address(context: &Context, spec: &GatewaySpec) -> Result<String> {
    let record = context.platform.record(&spec.name)?.ok_or_else(|| record::missing(&spec.name))?;
    let planned = record.guest.address();
    if record.guest.is_native() || record.guest.ip().is_some() {
        return Ok(planned);
    }
    let state = context.world(Secrets::new()).agent(&spec.name)?.state()?;
    // it comes from the gateway: only what is an address is shown
    let is_ipv4 = |text: &&String| text.split('/').next().is_some_and(|ip| ip.parse::<Ipv4Addr>().is_ok());
    Ok(state.addresses.iter().find(is_ipv4).cloned().unwrap_or(planned))
}

fn spec(args: &CreateArgs) -> Result<GatewaySpec> {
    let disk = disk(&args.disk)?;
    let handling = args.share_options.handling.new_share()?;
    let name = match &args.share {
        Some(name) => name.clone(),
        None => ShareName::parse(args.name.as_str())?,
    };
    let location = match (&args.path, &disk) {
        _ if args.place.storage.is_some() => location(&args.place, &name)?,
        (Some(path), _) => Some(Location::Directory(path.clone())),
        (None, Some(_)) => Some(Location::Folder(match &args.disk.folder {
            Some(folder) => folder.clone(),
            None => FolderPath::parse(name.as_str())?,
        })),
        (None, None) => None,
    };
    if location.is_none()
        && (args.share.is_some()
            || args.share_options.quota.is_some()
            || !handling.is_default()
            || args.disk.folder.is_some())
    {
        return Err(Error::usage("no-location", "it is not said what to share")
            .hint("a directory on this node: --path (on Proxmox VE also --storage); or a disk for a virtual machine: --disk or --rbd"));
    }
    let share = |location| Share {
        name,
        location,
        comment: args.share_options.comment.clone(),
        read_only: args.share_options.read_only,
        // to name somebody of the domain closes a share to all others, but not to those who are made along with it
        users: if args.share_options.allow.is_empty() { Vec::new() } else { args.users.clone() },
        groups: Vec::new(),
        allow: args.share_options.allow.clone(),
        readers: args.share_options.readers.clone(),
        browseable: true,
        grant: args.share_options.grant,
        quota: args.share_options.quota(),
        user_quotas: BTreeMap::new(),
        handling,
    };
    let shares = location.map(share).into_iter().collect();
    let spec = GatewaySpec {
        name: args.name.clone(),
        mode: args.mode,
        template: args.template.clone(),
        memory: args.memory,
        cores: args.cores,
        onboot: !args.no_onboot,
        startup: args.startup,
        guest_storage: args.guest_storage.clone(),
        network: Network {
            bridge: args.network.bridge.clone(),
            ip: args.network.ip.unwrap_or(Network::default().ip),
            gateway: args.network.gateway,
            vlan: args.network.vlan,
            nameservers: args.network.nameservers.clone(),
            searchdomain: args.network.searchdomain.clone(),
        },
        listen: args.network.listen,
        firmware: args.firmware,
        disk,
        domain: args.domain.domain(),
        security: args.security,
        users: args.users.iter().map(|name| User { name: name.clone(), uid: None }).collect(),
        groups: args.groups.clone(),
        shares,
    };
    spec.check()?;
    Ok(spec)
}

fn disk(args: &DiskArgs) -> Result<Option<Disk>> {
    let file = args.disk.clone().map(DiskSource::File);
    let rbd = args.rbd.clone().map(|image| DiskSource::Rbd { image, user: args.ceph_user.clone() });
    let volume = args.volume.clone().map(DiskSource::Volume);
    match file.or(rbd).or(volume) {
        Some(source) => Ok(Some(Disk { source, format: args.format })),
        None if args.format => Err(Error::usage("no-disk", "there is no disk that could be formatted")
            .hint("--format goes with --disk, --rbd or --volume")),
        None => Ok(None),
    }
}
