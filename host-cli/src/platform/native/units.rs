//! The units of a gateway on the node (systemd.exec(5), systemd.resource-control(5)): the agent, smbd, winbindd for one in a domain,
//! and the slice that they are in.

use std::fmt::Write;
use std::path::Path;

use smbgw_api::GatewayName;

use crate::record::{GuestPlan, NativeService};

/// Unit of the agent.
pub(super) fn agent(name: &GatewayName) -> String {
    format!("smbgw-{name}-agent.service")
}

/// Unit of smbd.
pub(super) fn smbd(name: &GatewayName) -> String {
    format!("smbgw-{name}-smbd.service")
}

/// Unit of winbindd; the agent starts it when the gateway is in a domain (guest-agent/src/cli.rs names it alike).
fn winbind(name: &GatewayName) -> String {
    format!("smbgw-{name}-winbind.service")
}

/// Slice of all. A `-` in its name would make it a part of another slice (systemd.slice(5)).
pub(super) fn slice(name: &GatewayName) -> String {
    format!("smbgw_{}.slice", name.as_str().replace('-', "_"))
}

/// Its services.
pub(super) fn services(name: &GatewayName) -> [String; 3] {
    [agent(name), smbd(name), winbind(name)]
}

/// All its units.
pub(super) fn all(name: &GatewayName) -> [String; 4] {
    [agent(name), smbd(name), winbind(name), slice(name)]
}

/// Where the gateway's own files are on the node.
pub(super) struct Places<'a> {
    /// All that outlives a run.
    pub(super) home: &'a Path,
    /// Directory of the agent's socket.
    pub(super) link: &'a Path,
}

/// A unit: its name and its text.
pub(super) type Unit = (String, String);

/// Renders all units.
pub(super) fn render(guest: &GuestPlan, service: &NativeService, places: &Places<'_>) -> [Unit; 4] {
    let name = &guest.name;
    [
        (agent(name), agent_unit(guest, service, places)),
        (smbd(name), smbd_unit(guest, service, places)),
        (winbind(name), winbind_unit(guest, service, places)),
        (slice(name), slice_unit(guest)),
    ]
}

const HEADER: &str =
    "# Written by pve-smbgateway. What is changed here by hand is overwritten; a drop-in is not.\n";

fn agent_unit(guest: &GuestPlan, service: &NativeService, places: &Places<'_>) -> String {
    let name = &guest.name;
    let mut text = format!(
        "{HEADER}[Unit]\nDescription=Agent of SMB gateway {name}\nDocumentation=man:pve-smbgateway(1)\n\
         Wants=network-online.target\nAfter=network-online.target dbus.service\n"
    );
    sources(&mut text, guest);
    let _ = write!(
        text,
        "# it never gives up: without it nobody could repair the gateway\nStartLimitIntervalSec=0\n\n\
         [Service]\nType=notify\n\
         ExecStart={} serve --socket {} --smbd {} --listen {} --dfree {DFREE}/dfree\n\
         Restart=on-failure\nRestartSec=1s\nTimeoutStopSec=30s\nUMask=0077\n\
         Environment=MALLOC_ARENA_MAX=1 DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/dbus/system_bus_socket\n\
         CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID \
         CAP_SETUID CAP_SYS_PTRACE CAP_AUDIT_WRITE\n",
        quote(&service.agent.display().to_string()),
        quote(&places.link.join(smbgw_api::v1::SOCKET_NAME).display().to_string()),
        smbd(name),
        service.listen,
    );
    world(&mut text, guest, service, places);
    bind(&mut text, "BindPaths", places.link, &places.link.display().to_string());
    bind(&mut text, "BindPaths", &places.home.join("etc"), "/etc");
    bind(&mut text, "BindPaths", &places.home.join("agent"), "/var/lib/smbgw");
    bind(
        &mut text,
        "BindPaths",
        &Path::new("/run/smbgw").join(name.as_str()).join("domain"),
        "/run/smbgw-domain",
    );
    let _ = writeln!(text, "BindReadOnlyPaths=/run/dbus\nRestrictSUIDSGID=yes");
    text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    text
}

fn smbd_unit(guest: &GuestPlan, service: &NativeService, places: &Places<'_>) -> String {
    let name = &guest.name;
    let mut text = format!(
        "{HEADER}[Unit]\nDescription=SMB gateway {name}\nDocumentation=man:smbd(8) man:pve-smbgateway(1)\n\
         # the agent starts it\nAfter={}\n",
        agent(name)
    );
    sources(&mut text, guest);
    text.push_str(
        "\n[Service]\nType=notify\nExecStart=/usr/sbin/smbd --foreground --no-process-group\n\
         ExecReload=/bin/kill -HUP $MAINPID\nLimitNOFILE=16384\n# audited operations may be many\nLogRateLimitIntervalSec=30s\nLogRateLimitBurst=1000\nRestart=on-failure\nRestartSec=1s\nTimeoutStopSec=30s\n\
         CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_LEASE \
         CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID CAP_SYS_RESOURCE\n",
    );
    world(&mut text, guest, service, places);
    bind(&mut text, "BindReadOnlyPaths", &places.home.join("etc"), "/etc");
    text
}

fn winbind_unit(guest: &GuestPlan, service: &NativeService, places: &Places<'_>) -> String {
    let name = &guest.name;
    let mut text = format!(
        "{HEADER}[Unit]\nDescription=Domain membership of SMB gateway {name}\nDocumentation=man:winbindd(8) man:pve-smbgateway(1)\n\
         # the agent starts it, in a domain only\nAfter={}\n\n\
         [Service]\nType=notify\nExecStart=/usr/sbin/winbindd --foreground --no-process-group\n\
         ExecReload=/bin/kill -HUP $MAINPID\nRestart=on-failure\nRestartSec=1s\nTimeoutStopSec=30s\n\
         CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID\n",
        agent(name)
    );
    world(&mut text, guest, service, places);
    // it renews the password of the machine, and with it the keytab
    bind(&mut text, "BindPaths", &places.home.join("etc"), "/etc");
    text
}

fn slice_unit(guest: &GuestPlan) -> String {
    let mut text = format!(
        "{HEADER}[Unit]\nDescription=SMB gateway {}\nDocumentation=man:pve-smbgateway(1)\n\n[Slice]\n",
        guest.name
    );
    if let Some(memory) = guest.memory {
        let _ = writeln!(text, "MemoryMax={}", memory.bytes());
    }
    if let Some(cores) = guest.cores {
        let _ = writeln!(text, "CPUQuota={}%", u64::from(cores) * 100);
    }
    text
}

/// Where Samba finds the agent's program as its `dfree command`.
const DFREE: &str = "/run/smbgw-bin";

/// Units wait for the file systems of their shares, and end before these go.
fn sources(text: &mut String, guest: &GuestPlan) {
    for mount in &guest.mounts {
        let _ = writeln!(text, "RequiresMountsFor={}", quote(mount.source.as_str()));
    }
}

/// What they see of the node: programs and libraries, and of all else their own.
fn world(text: &mut String, guest: &GuestPlan, service: &NativeService, places: &Places<'_>) {
    let name = &guest.name;
    let _ = write!(
        text,
        "Slice={}\n\
         RuntimeDirectory=smbgw/{name}/samba smbgw/{name}/sizes smbgw/{name}/domain\nRuntimeDirectoryMode=0755\nRuntimeDirectoryPreserve=yes\n\
         NoNewPrivileges=yes\nPrivateTmp=yes\nPrivateDevices=yes\n\
         ProtectClock=yes\nProtectControlGroups=yes\nProtectHostname=yes\nProtectKernelLogs=yes\nProtectKernelModules=yes\n\
         ProtectKernelTunables=yes\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\nRestrictNamespaces=yes\n\
         RestrictRealtime=yes\nLockPersonality=yes\nMemoryDenyWriteExecute=yes\nSystemCallArchitectures=native\n\
         SystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM\n\
         # nothing of the node's data, accounts and services is seen but what follows\n\
         TemporaryFileSystem=/:ro,mode=0755\nBindReadOnlyPaths=/usr -/bin -/lib -/lib64 -/sbin /proc /sys\n",
        slice(name)
    );
    for (from, to) in [("lib", "/var/lib/samba"), ("cache", "/var/cache/samba"), ("log", "/var/log/samba")] {
        bind(text, "BindPaths", &places.home.join(from), to);
    }
    // the package has it in /usr, a build elsewhere
    if !service.agent.starts_with("/usr") {
        bind(text, "BindReadOnlyPaths", &service.agent, &service.agent.display().to_string());
    }
    let run = Path::new("/run/smbgw").join(name.as_str());
    bind(text, "BindPaths", &run.join("samba"), "/run/samba");
    bind(text, "BindPaths", &run.join("sizes"), "/run/smbgw-sizes");
    bind(text, "BindReadOnlyPaths", &places.home.join("bin"), DFREE);
    for mount in &guest.mounts {
        bind(text, "BindPaths", Path::new(mount.source.as_str()), &mount.share.guest_path());
    }
    text.push_str(
        "BindReadOnlyPaths=/run/systemd -/etc/alternatives -/etc/hosts -/etc/ld.so.cache -/etc/localtime -/etc/login.defs \
         -/etc/resolv.conf\n",
    );
}

fn bind(text: &mut String, option: &str, from: &Path, to: &str) {
    let _ = writeln!(text, "{option}={}:{}", quote(&from.display().to_string()), quote(to));
}

/// A path as systemd reads it back: whole words in quotes; backslashes and the colon of a bind escaped, no specifiers
/// (systemd.syntax(7)).
fn quote(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) {
        return path.to_owned();
    }
    let mut out = String::from('"');
    for c in path.chars() {
        match c {
            '\\' | ':' => out.extend(['\\', c]),
            '%' => out.push_str("%%"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{GuestForm, GuestMount};
    use smbgw_api::{HostPath, Listen, ShareName};

    fn guest() -> (GuestPlan, NativeService) {
        let service = NativeService {
            agent: "/usr/lib/pve-smbgateway/smbgw-agent".into(),
            listen: Listen::parse("10.0.0.5").unwrap(),
        };
        let mount = |source: &str, share: &str| GuestMount {
            source: HostPath::parse(source).unwrap(),
            share: ShareName::parse(share).unwrap(),
        };
        let guest = GuestPlan {
            name: GatewayName::parse("team-a").unwrap(),
            template: None,
            memory: Some(smbgw_api::ByteSize::from_mib(512)),
            cores: Some(2),
            network: None,
            form: GuestForm::Native(service.clone()),
            mounts: vec![mount("/tank/team", "Team"), mount("/srv/a: 50%", "Büro")],
            onboot: true,
            startup: None,
            storage: None,
        };
        (guest, service)
    }

    #[test]
    fn units_of_a_gateway() {
        let (guest, service) = guest();
        let places = Places {
            home: Path::new("/var/lib/pve-smbgateway/native/team-a"),
            link: Path::new("/var/lib/pve-smbgateway/links/team-a"),
        };
        let text: String = render(&guest, &service, &places)
            .iter()
            .map(|(name, text)| format!("==> {name}\n{text}\n"))
            .collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn no_slice_is_a_part_of_another() {
        let of = |name: &str| slice(&GatewayName::parse(name).unwrap());
        assert_eq!((of("a").as_str(), of("a-b").as_str()), ("smbgw_a.slice", "smbgw_a_b.slice"));
    }
}
