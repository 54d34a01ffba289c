//! `serve` as the unit of the package, on a node with systemd: a known load of a gateway on the node itself is what it says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::monitor::{SOCKET, sample};
use smbgw_lab::{NativeNode, files};

const SIZE: u64 = 8 << 20;
const UNIT: &str = "pve-smbgateway-monitor.service";

fn watched(template: &str) -> Result<()> {
    let node = NativeNode::enter(template)?;
    let (address, password) = (node.address(200)?, node.password_file()?);
    let path = node.data("files")?;
    let before = node.look()?;
    let line = format!(
        "create files --mode native --path {path} --user bob --listen {address} --grant --password-file {password}"
    );
    node.host(line.split(' '))?.ok()?;

    let unit = node.lab.product.source.join("debian/pve-smbgateway.pve-smbgateway-monitor.service");
    node.write(&format!("/etc/systemd/system/{UNIT}"), &std::fs::read_to_string(unit)?)?;
    node.write("/etc/pve-smbgateway/monitor.yaml", "interval: 1\n")?;
    // returns when it has said that it is ready
    node.script(&format!("systemctl daemon-reload && systemctl start {UNIT}"))?;
    // what a gateway has to ask with
    let metrics = || node.script(&format!("{ASK} {SOCKET} /metrics"));
    node.write("/root/ask.pl", PROGRAM)?;
    let up = r#"smbgw_up{gateway="files",mode="native"}"#;
    let ready = || metrics().ok().filter(|text| sample(text, up) == Some(1.0));
    wait_until("the gateway to be seen", Duration::from_secs(30), &Interrupt::new(), ready).with_context(
        || {
            let said = node.script(&format!(
                "systemctl status --no-pager {UNIT}; journalctl --no-pager -u {UNIT} | tail -20; true"
            ));
            format!("{said:?}\n{:?}", metrics())
        },
    )?;

    let gateway = node.gateway("files", &address);
    let (sent, got) = (node.lab.directory().join("sent"), node.lab.directory().join("got"));
    files::random_file(&sent, SIZE >> 20)?;
    let _ = std::fs::remove_file(&got);
    node.client(&gateway, "files", "bob")?.put(&sent, "load.bin")?;
    node.client(&gateway, "files", "bob")?.get("load.bin", &got)?;
    let labels = r#"{gateway="files",mode="native",share="files"}"#;
    let figure = |text: &str, what: &str| sample(text, &format!("smbgw_share_{what}_bytes_total{labels}"));
    let arrived = || {
        metrics().ok().filter(|text| figure(text, "read").is_some_and(|bytes| bytes >= SIZE as f64 * 0.99))
    };
    let text = wait_until("the load", Duration::from_secs(30), &Interrupt::new(), arrived)?;
    for what in ["read", "written"] {
        let seen = figure(&text, what).with_context(|| format!("{what}: {text}"))?;
        ensure!((seen - SIZE as f64).abs() <= SIZE as f64 / 100.0, "{what}: {seen} of {SIZE}");
    }
    // other Sambas of the node are none of its business
    ensure!(!text.contains("gateway=\"node\""), "{text}");

    node.script(&format!(
        "systemctl stop {UNIT} && rm -rf /etc/systemd/system/{UNIT} /etc/pve-smbgateway/monitor.yaml \
         /var/lib/pve-smbgateway/monitor /root/ask.pl && systemctl daemon-reload"
    ))?;
    node.host(["delete", "files"])?.ok()?;
    node.expect_same(&before)?;
    node.leave()
}

/// Asks over a unix socket, with what every Debian has.
const ASK: &str = "perl /root/ask.pl";
const PROGRAM: &str = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; \
     print $s \"GET $ARGV[1] HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n\"; print while <$s>;";

#[test]
fn watched_on_debian_13() -> Result<()> {
    watched("debian-13")
}

#[test]
#[ignore = "the same as on Debian 13, with Samba 4.17: cargo xtask test --thorough"]
fn watched_on_debian_12() -> Result<()> {
    watched("debian-12")
}
