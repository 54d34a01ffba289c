//! Why a package did not come, and what follows from it.

use std::fmt;
use std::time::Duration;

/// A package that did not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `name_version_architecture`.
    pub package: String,
    /// Where it was asked for.
    pub address: String,
    /// Where that led, if to another address.
    pub redirected: Option<String>,
    /// The proxy that was asked in its place, as `HOST:PORT`.
    pub proxy: Option<String>,
    /// How it ended the last time.
    pub fault: Fault,
    /// How often it was asked for.
    pub attempts: usize,
}

/// How a download ended that brought no package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The mirror does not have it: 404 or 410.
    Gone(u16),
    /// Another status than 200. The mirror does not want to (4xx), or cannot now (5xx).
    Status(u16),
    /// No connection, or one that ended early.
    Connection(String),
    /// A TLS connection that cannot be trusted or agreed on.
    Tls(String),
    /// Nothing came for this long.
    Stalled(Duration),
    /// A redirect that is not followed.
    Redirect(String),
    /// Something else than the package, as its size or its hash tell.
    Content {
        /// What came, and what should have.
        detail: String,
        /// Whether it calls itself a web page.
        page: bool,
    },
}

impl Fault {
    /// How often an address is asked before this is believed.
    pub fn attempts(&self) -> usize {
        match self {
            Self::Connection(_) | Self::Stalled(_) | Self::Status(500..) => 3,
            Self::Content { .. } => 2,
            Self::Gone(_) | Self::Status(_) | Self::Tls(_) | Self::Redirect(_) => 1,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Gone(_) => {
                "make the lock anew with `smbgw-builder lock RECIPE`, or name another mirror with --mirror"
            }
            Self::Connection(_) | Self::Stalled(_) => {
                "check the network and the proxy (http_proxy, https_proxy, no_proxy, or apt's), or name another mirror with --mirror; \
                 what has come is kept, and the next build goes on from there"
            }
            Self::Status(500..) => {
                "the mirror has trouble: try again later, or name another one with --mirror"
            }
            Self::Status(_) | Self::Redirect(_) => {
                "open the address in a browser, or name another mirror with --mirror"
            }
            Self::Tls(_) => {
                "check the clock, and the certificates of this machine (package ca-certificates), or name a mirror by http: \
                 packages are checked by hash either way"
            }
            Self::Content { .. } => {
                "something else answers in place of the mirror (a login page of the network, a proxy), or its copy is \
                 damaged: open the address in a browser, or name another mirror with --mirror"
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.package, self.address)?;
        if let Some(address) = &self.redirected {
            write!(f, ", redirected to {address}")?;
        }
        if let Some(proxy) = &self.proxy {
            write!(f, ", by the proxy {proxy}")?;
        }
        write!(f, ": {}", self.fault)?;
        match self.attempts {
            0 | 1 => Ok(()),
            2 => write!(f, " (twice)"),
            more => write!(f, " ({more} times)"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(status) => write!(f, "the mirror does not have it (status {status})"),
            Self::Status(status) => write!(f, "the mirror answers with status {status}"),
            Self::Connection(detail) => write!(f, "{detail}"),
            Self::Tls(detail) => write!(f, "no connection by TLS: {detail}"),
            Self::Stalled(limit) => write!(f, "nothing came for {} s", limit.as_secs_f32()),
            Self::Redirect(detail) => write!(f, "{detail}"),
            Self::Content { detail, page } => {
                write!(f, "{}{detail}", if *page { "a web page and not the package: " } else { "" })
            }
        }
    }
}
