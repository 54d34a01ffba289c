//! Asking mirrors: connections that are kept, proxies, TLS, redirects, and what each way to fail means.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::header::{CONTENT_TYPE, LOCATION, PROXY_AUTHORIZATION};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Body, BodyReader, Proxy, Timeout};

use super::fault::Fault;
use super::proxy::{AskProxy, Proxies, ToProxy};

/// Redirects that are followed for one package.
const REDIRECTS: usize = 5;

/// How long a mirror may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a name to be found, and then for a connection.
    pub connect: Duration,
    /// Without a single byte.
    pub stall: Duration,
    /// Before the second and the third attempt.
    pub pauses: [Duration; 2],
}

impl Limits {
    /// The usual limits, with this one for stalls.
    pub fn with_stall(stall: Duration) -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall,
            pauses: [Duration::from_millis(500), Duration::from_secs(2)],
        }
    }
}

/// A client for all mirrors of one fetch.
pub(super) struct Client {
    http: Routes,
    https: Routes,
    proxies: Proxies,
    limits: Limits,
}

/// The ways to the addresses of one scheme.
struct Routes {
    direct: Agent,
    proxied: Option<Agent>,
}

/// What a mirror gives.
pub(super) struct Answer {
    /// What it calls the size, in bytes.
    pub(super) size: Option<u64>,
    /// Whether it calls itself a web page.
    pub(super) page: bool,
    body: BodyReader<'static>,
    limits: Limits,
}

impl Client {
    pub(super) fn new(proxies: Proxies, limits: Limits, connections: usize) -> Self {
        let tls = tls();
        let config = |proxy: Option<&Proxy>| config(limits, connections, &tls, proxy);
        let through = |proxy: &Proxy| {
            let connector = ().chain(TcpConnector::default()).chain(AskProxy);
            let resolver = ToProxy { proxy: proxy.uri().clone(), resolver: DefaultResolver::default() };
            Agent::with_parts(config(None), connector, resolver)
        };
        let tunnel = |proxy: &Proxy| Agent::new_with_config(config(Some(proxy)));
        let direct = || Agent::new_with_config(config(None));
        Self {
            http: Routes { direct: direct(), proxied: proxies.http.as_ref().map(through) },
            https: Routes { direct: direct(), proxied: proxies.https.as_ref().map(tunnel) },
            proxies,
            limits,
        }
    }

    /// Ends every connection, so that whoever waits for one goes on at once, with an error. Nobody can connect after that.
    pub(super) fn shut_down(&self) {
        for routes in [&self.http, &self.https] {
            for agent in std::iter::once(&routes.direct).chain(&routes.proxied) {
                agent.clone().shutdown();
            }
        }
    }

    /// Asks for an address, following redirects. `address` becomes the one that was asked last.
    pub(super) fn get(&self, address: &mut String) -> Result<Answer, Fault> {
        for _ in 0..=REDIRECTS {
            let uri: Uri =
                address.parse().map_err(|error| Fault::Redirect(format!("this is no address: {error}")))?;
            let response = self.ask(&uri)?;
            match response.status().as_u16() {
                200 => return Ok(Answer::new(response, self.limits)),
                301 | 302 | 303 | 307 | 308 => {
                    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                    let next = location.and_then(|location| onward(&uri, location));
                    *address = next.ok_or_else(|| {
                        let to = location.unwrap_or("nowhere");
                        Fault::Redirect(format!("it redirects to {to}, which is not followed"))
                    })?;
                }
                status @ (404 | 410) => return Err(Fault::Gone(status)),
                status => return Err(Fault::Status(status)),
            }
        }
        Err(Fault::Redirect(format!("it is the end of {REDIRECTS} redirects, and one more")))
    }

    /// The proxy that is asked for an address, as `HOST:PORT`.
    pub(super) fn proxy_of(&self, address: &str) -> Option<String> {
        let uri: Uri = address.parse().ok()?;
        let proxy = if uri.scheme_str() == Some("https") { &self.proxies.https } else { &self.proxies.http };
        let proxy = proxy.as_ref().filter(|_| !self.proxies.excepted(&uri))?;
        Some(format!("{}:{}", proxy.host(), proxy.port()))
    }

    fn ask(&self, uri: &Uri) -> Result<ureq::http::Response<Body>, Fault> {
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Fault::Redirect("it is neither http:// nor https://".into())),
        };
        let routes = if secure { &self.https } else { &self.http };
        let proxied = routes.proxied.as_ref().filter(|_| !self.proxies.excepted(uri));
        let mut request = proxied.unwrap_or(&routes.direct).get(uri.clone());
        // a tunnel has had it when it was made
        if let Some(proxy) = self.proxies.http.as_ref().filter(|_| proxied.is_some() && !secure)
            && let Some(user) = proxy.username()
        {
            let secret = BASE64_STANDARD.encode(format!("{user}:{}", proxy.password().unwrap_or_default()));
            request = request.header(PROXY_AUTHORIZATION, format!("Basic {secret}"));
        }
        request.call().map_err(|error| fault(error, self.limits))
    }
}

impl Answer {
    fn new(response: ureq::http::Response<Body>, limits: Limits) -> Self {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let page = kind.is_some_and(|kind| kind.starts_with("text/html"));
        let body = response.into_body();
        Self { size: body.content_length(), page, body: body.into_reader(), limits }
    }

    /// Reads what comes next; 0 bytes at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        self.body.read(buffer).map_err(|error| fault(error.into(), self.limits))
    }
}

fn config(limits: Limits, connections: usize, tls: &TlsConfig, proxy: Option<&Proxy>) -> Config {
    Agent::config_builder()
        .user_agent(concat!("smbgw-builder/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(connections)
        .max_idle_connections_per_host(connections)
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_per_read(Some(limits.stall))
        .timeout_per_write(Some(limits.stall))
        .tls_config(tls.clone())
        .proxy(proxy.cloned())
        .build()
}

/// TLS that trusts whom this machine trusts. Without any certificate here every mirror is a stranger, which the error says then.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let certificates: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// What an error of the client means.
fn fault(error: ureq::Error, limits: Limits) -> Fault {
    match error {
        ureq::Error::Timeout(Timeout::PerRead | Timeout::PerWrite) => Fault::Stalled(limits.stall),
        ureq::Error::Timeout(Timeout::Resolve) => {
            Fault::Connection(format!("its name was not found within {} s", limits.connect.as_secs_f32()))
        }
        ureq::Error::Timeout(_) => {
            Fault::Connection(format!("no connection within {} s", limits.connect.as_secs_f32()))
        }
        ureq::Error::Rustls(error) => Fault::Tls(error.to_string()),
        ureq::Error::Io(error) => match of_tls(&error) {
            Some(detail) => Fault::Tls(detail),
            None => Fault::Connection(error.to_string()),
        },
        other => Fault::Connection(other.to_string()),
    }
}

fn of_tls(error: &io::Error) -> Option<String> {
    Some(error.get_ref()?.downcast_ref::<rustls::Error>()?.to_string())
}

/// Where a redirect leads: `location` may be an address, or a path (RFC 9110, section 10.2.2). Never from https to http.
fn onward(from: &Uri, location: &str) -> Option<String> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let to = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let (directory, _) = from.path().rsplit_once('/')?;
        format!("{scheme}://{authority}{directory}/{location}")
    };
    let uri: Uri = to.parse().ok()?;
    let allowed = match uri.scheme_str()? {
        "https" => true,
        "http" => scheme == "http",
        _ => false,
    };
    (allowed && uri.host().is_some()).then(|| to.split('#').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn where_redirects_lead() {
        let from: Uri = "http://m.test:8080/debian/pool/a.deb?x=1".parse().unwrap();
        for (location, to) in [
            ("http://other.test/a.deb", Some("http://other.test/a.deb")),
            ("https://other.test/a.deb#top", Some("https://other.test/a.deb")),
            ("//other.test/a.deb", Some("http://other.test/a.deb")),
            ("/b.deb", Some("http://m.test:8080/b.deb")),
            ("b.deb", Some("http://m.test:8080/debian/pool/b.deb")),
            ("file:///etc/passwd", None),
            ("ftp://other.test/a.deb", None),
            ("http://", None),
        ] {
            assert_eq!(onward(&from, location).as_deref(), to, "{location}");
        }
        let secure: Uri = "https://m.test/a.deb".parse().unwrap();
        assert_eq!(onward(&secure, "http://m.test/a.deb"), None);
        assert_eq!(onward(&secure, "/b.deb").as_deref(), Some("https://m.test/b.deb"));
    }

    proptest! {
        #[test]
        fn redirects_lead_to_mirrors_or_nowhere(location in "(http|https|ftp)?(://|//|/)?\\PC{0,30}") {
            let from: Uri = "https://m.test/debian/a.deb".parse().unwrap();
            if let Some(to) = onward(&from, &location) {
                prop_assert!(to.starts_with("https://") && to.parse::<Uri>().is_ok(), "{to}");
            }
        }
    }
}
