//! What can go wrong with a domain controller, on demand.

use anyhow::Result;

use super::{DomainController, dns};
use crate::Answer;

/// Where the name server is that knows nothing.
const WRONG_DNS: u16 = 5353;

/// What is wrong with a domain controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Samba has ended: every port refuses.
    Stopped,
    /// Samba stands still: ports accept, and nobody answers.
    Frozen,
    /// Nothing arrives, as with a machine that is off or a cable that is cut.
    Silent,
    /// A firewall drops what is for this port, TCP and UDP.
    Port(u16),
    /// A firewall refuses what is for this port.
    PortRefused(u16),
    /// Its DNS does not know any name.
    UnknownToDns,
    /// Its clock is ahead, in minutes.
    Clock(i32),
}

impl DomainController {
    /// Lets this go wrong, until [`Self::mend`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn fail(&mut self, fault: Fault) -> Result<()> {
        let filter =
            |rules: &str| format!("chain input {{ type filter hook input priority filter; {rules}\n }}");
        match fault {
            Fault::Stopped => self.stop_samba(),
            Fault::Frozen => self.signal("STOP"),
            Fault::Silent => self.packets(&filter("iifname eth0 drop")),
            Fault::Port(port) => {
                self.packets(&filter(&format!("tcp dport {port} drop; udp dport {port} drop")))
            }
            Fault::PortRefused(port) => self.packets(&filter(&format!(
                "tcp dport {port} reject with tcp reset; udp dport {port} reject"
            ))),
            Fault::UnknownToDns => {
                self.wrong_dns = Some(dns::WrongServer::start(self.pid, WRONG_DNS)?);
                let to = format!("udp dport 53 redirect to :{WRONG_DNS}");
                self.packets(&format!("chain names {{ type nat hook prerouting priority dstnat; {to}\n }}"))
            }
            Fault::Clock(minutes) => {
                self.stop_samba()?;
                self.start_samba(Some(minutes))
            }
        }
    }

    /// Lets packets through again; the domain may go on as if nothing had been.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn mend_packets(&self) -> Result<()> {
        self.packets("")
    }

    /// Makes all right again.
    ///
    /// # Errors
    /// When it does not serve again.
    pub fn mend(&mut self) -> Result<()> {
        self.signal("CONT")?;
        self.packets("")?;
        drop(self.wrong_dns.take());
        if self.wrong_clock {
            self.stop_samba()?;
        }
        if self.samba.is_none() { self.start_samba(None) } else { self.wait_serving() }
    }

    /// What happens to packets, instead of what was said before. Source: nft(8).
    fn packets(&self, chains: &str) -> Result<()> {
        let rules =
            format!("table inet fault\ndelete table inet fault\ntable inet fault {{\n {chains}\n}}\n");
        let pid = self.pid.to_string();
        let command = smbgw_command::Command::new("nsenter").args(["--net", "-t", &pid, "nft", "-f", "-"]);
        Answer::of(&command.stdin(rules))?.ok().map(drop)
    }
}
