//! A gateway on the node itself: what it needs there, and where it takes connections.

use smbgw_api::{GatewaySpec, Listen, SMB_PORT, Share};

use super::Observed;
use crate::record::{GuestForm, NativeService, Record};
use crate::{Error, Result};

/// Works out the service of a spec.
///
/// # Errors
/// Codes `no-systemd`, `samba-missing`, `winbind-missing`, `agent-missing`, `address-missing`, `port-taken`, `path-unsuitable`.
pub(super) fn service(spec: &GatewaySpec, observed: &Observed) -> Result<NativeService> {
    let facts = &observed.node.native;
    let listen = spec.listen.unwrap_or_default();
    if !facts.systemd {
        return Err(Error::infrastructure("no-systemd", "this node was not started by systemd")
            .hint("a gateway on the node itself is two services of systemd; use mode lxc or vm here"));
    }
    let list = |files: &[std::path::PathBuf]| {
        files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    if !facts.missing.is_empty() {
        return Err(Error::infrastructure(
            "samba-missing",
            format!("Samba is not installed on this node: {} is missing", list(&facts.missing)),
        )
        .hint("apt-get install samba (on Debian 12 also samba-vfs-modules); unless the node has shares of its own: systemctl disable --now smbd nmbd"));
    }
    if spec.domain.is_some() && !facts.missing_for_domain.is_empty() {
        return Err(Error::infrastructure(
            "winbind-missing",
            format!("what a member of a domain needs is not installed on this node: {}", list(&facts.missing_for_domain)),
        )
        .hint("apt-get install winbind libnss-winbind krb5-user tdb-tools; unless the node is in a domain itself: systemctl disable --now winbind"));
    }
    let agent = facts.agent.clone().ok_or_else(|| {
        Error::infrastructure("agent-missing", "the agent's program is not on this node")
            .hint("it comes with the package pve-smbgateway, as /usr/lib/pve-smbgateway/smbgw-agent")
    })?;
    if let Some(address) = listen.address.filter(|address| !facts.addresses.contains(address)) {
        let there: Vec<_> = facts.addresses.iter().map(ToString::to_string).collect();
        return Err(Error::resource(
            "address-missing",
            format!("this node has no address {address} (it has {})", there.join(", ")),
        )
        .hint("give the node that address first (/etc/network/interfaces), or leave --listen out"));
    }
    taken(spec, listen, observed)?;
    quotes(spec)?;
    Ok(NativeService { agent, listen })
}

/// systemd hands what is bound from its manager to its executor, and that fails on quotes (seen with 257).
fn quotes(spec: &GatewaySpec) -> Result<()> {
    let quoted = |text: &str| text.contains(['\'', '"']);
    let bad = |share: &&Share| {
        quoted(share.name.as_str()) || share.directory().is_some_and(|path| quoted(path.as_str()))
    };
    match spec.shares.iter().find(bad) {
        None => Ok(()),
        Some(share) => Err(Error::usage(
            "path-unsuitable",
            format!("share {} ({}): systemd cannot bind a name with quotes", share.name, share.location),
        )
        .hint("rename it, or use mode lxc or vm")),
    }
}

/// Refuses what another gateway, or another program, has.
fn taken(spec: &GatewaySpec, listen: Listen, observed: &Observed) -> Result<()> {
    let theirs = |record: &&Record| match &record.guest.form {
        GuestForm::Native(native) => native.listen.overlaps(&listen),
        _ => false,
    };
    let here = |record: &&Record| *record.name() != spec.name && !observed.elsewhere.contains(record.name());
    let mut others = observed.records.iter().filter(here);
    if let Some(other) = others.find(theirs) {
        return Err(Error::resource(
            "port-taken",
            format!("gateway {} takes the connections to {listen}", other.name()),
        )
        .hint("a gateway can have many shares: `share add`; or give each an address: --listen ADDRESS"));
    }
    let own = observed.records.iter().find(|record| *record.name() == spec.name);
    let own = own.and_then(|record| match &record.guest.form {
        GuestForm::Native(native) => Some(native.listen),
        _ => None,
    });
    if own == Some(listen) {
        return Ok(());
    }
    // one of all addresses is in the way of one of all, or on the same; beside one of a single address it can be: the kernel
    // gives a connection to the socket that is bound more closely
    let meets = |socket: &&std::net::SocketAddr| {
        listen.meets(**socket)
            && (listen.address.is_none() || !socket.ip().is_unspecified())
            && !own.is_some_and(|own| own.is(**socket))
    };
    match observed.node.native.listeners.iter().find(meets) {
        Some(socket) => Err(Error::resource(
            "port-taken",
            format!("a program on this node listens on {socket} already: a Samba of its own?"),
        )
        .hint(if listen.port == SMB_PORT {
            "it stays as it is; give the gateway an address of its own: --listen ADDRESS (Windows knows no other port)"
        } else {
            "choose another port, or an address of its own: --listen ADDRESS:PORT"
        })),
        None => Ok(()),
    }
}

/// What a person should know.
pub(super) fn notes(spec: &GatewaySpec, observed: &Observed) -> Vec<String> {
    let listen = spec.listen.unwrap_or_default();
    let mut notes = Vec::new();
    let everywhere = |socket: &&std::net::SocketAddr| socket.ip().is_unspecified() && listen.meets(**socket);
    if let (Some(address), Some(socket)) =
        (listen.address, observed.node.native.listeners.iter().find(everywhere))
    {
        notes.push(format!(
            "the program that listens on {socket} stays as it is, but connections to {address} reach the gateway from now on"
        ));
    }
    if listen.port != SMB_PORT {
        notes.push(format!("port {}: Windows before 11 24H2 knows port 445 only", listen.port));
    }
    notes
}
