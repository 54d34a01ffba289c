//! HTTP proxies, as the environment names them for every program: `http_proxy`, `https_proxy`, `no_proxy`.

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Proxy, ProxyProtocol};

use crate::error::Error;

/// The variables; the first that is set counts. `HTTP_PROXY` is left out as everywhere: a web server sets it for what a client's
/// header `Proxy` says (CVE-2016-5385).
pub const VARIABLES: [&[&str]; 3] =
    [&["http_proxy"], &["https_proxy", "HTTPS_PROXY"], &["no_proxy", "NO_PROXY"]];

/// The variables that are set, each by its usual name, for a program to which we pass them.
pub fn variables() -> impl Iterator<Item = (&'static str, String)> {
    let set = |names: &'static [&'static str]| {
        let value =
            names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
        Some((*names.first()?, value))
    };
    VARIABLES.into_iter().filter_map(set)
}

/// The proxies of one build.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<Proxy>,
    /// For `https://`.
    pub https: Option<Proxy>,
    without: Vec<String>,
}

impl Proxies {
    /// Those of the environment.
    ///
    /// # Errors
    /// [`Error::Proxy`].
    pub fn from_environment() -> Result<Self, Error> {
        Self::from(|name| std::env::var(name).ok())
    }

    /// Those of an environment, given by a function from name to value.
    ///
    /// # Errors
    /// [`Error::Proxy`].
    pub fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let first = |names: &[&'static str]| {
            let set =
                |name: &&'static str| Some((*name, variable(name)?)).filter(|(_, value)| !value.is_empty());
            names.iter().find_map(set)
        };
        let [http, https, without] = VARIABLES;
        let proxy = |names, https_too: bool| match first(names) {
            None => Ok(None),
            Some((variable, value)) => {
                parse(&value, https_too).map(Some).map_err(|detail| Error::Proxy { variable, detail })
            }
        };
        let without = first(without).map(|(_, value)| value).unwrap_or_default();
        let words = without.split([',', ' ']).map(|word| word.trim().to_ascii_lowercase());
        Ok(Self {
            http: proxy(http, false)?,
            https: proxy(https, true)?,
            without: words.filter(|word| !word.is_empty()).collect(),
        })
    }

    /// Whether this address is to be reached directly: a word of `no_proxy` is its host, a domain it is in, either with a port,
    /// or `*`.
    pub fn excepted(&self, address: &Uri) -> bool {
        let host = address.host().unwrap_or_default().to_ascii_lowercase();
        let host = host.trim_matches(['[', ']']);
        let default = if address.scheme_str() == Some("https") { 443 } else { 80 };
        let port = format!(":{}", address.port_u16().unwrap_or(default));
        self.without.iter().any(|word| {
            if word == "*" {
                return true;
            }
            let word = word.strip_suffix(&port).unwrap_or(word);
            let word = word.trim_start_matches('*').trim_start_matches('.').trim_matches(['[', ']']);
            let within = |rest: &str| rest.is_empty() || rest.ends_with('.');
            !word.is_empty() && host.strip_suffix(word).is_some_and(within)
        })
    }
}

fn parse(value: &str, https_too: bool) -> Result<Proxy, String> {
    let proxy = Proxy::new(value).map_err(|_| "it is not an address".to_owned())?;
    match proxy.protocol() {
        ProxyProtocol::Http => Ok(proxy),
        ProxyProtocol::Https if https_too => Ok(proxy),
        _ => Err("proxies of this kind cannot be used for it".to_owned()),
    }
}

/// Finds the proxy's address, whatever is asked for.
#[derive(Debug)]
pub(super) struct ToProxy {
    pub(super) proxy: Uri,
    pub(super) resolver: DefaultResolver,
}

impl Resolver for ToProxy {
    fn resolve(
        &self,
        _: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.resolver.resolve(&self.proxy, config, timeout)
    }
}

/// Makes of each connection one that asks a proxy: requests carry the whole address. ureq itself asks for a tunnel even for
/// `http://`, which usual proxies (Squid, apt-cacher-ng) refuse but for port 443. Source: RFC 9112, section 3.2.2.
#[derive(Debug)]
pub(super) struct AskProxy;

impl<In: Transport> Connector<In> for AskProxy {
    type Out = Asking<In>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let (host, port) = (details.uri.host().unwrap_or_default(), details.uri.port_u16());
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(chained.map(|inner| Asking { inner, origin: format!("http://{host}{port}") }))
    }
}

/// A connection to a proxy.
#[derive(Debug)]
pub(super) struct Asking<In> {
    inner: In,
    origin: String,
}

impl<In: Transport> Transport for Asking<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        /// How every request here begins, and where its address does: we ask only, and send nothing.
        const BEGIN: &[u8] = b"GET /";
        const ADDRESS: usize = 4;
        let output = self.inner.buffers().output();
        let begins = output.get(..amount).is_some_and(|head| head.starts_with(BEGIN));
        if !begins {
            return self.inner.transmit_output(amount, timeout);
        }
        let longer = amount + self.origin.len();
        if longer > output.len() {
            return Err(std::io::Error::other("the address is too long for a request").into());
        }
        output.copy_within(ADDRESS..amount, ADDRESS + self.origin.len());
        output[ADDRESS..ADDRESS + self.origin.len()].copy_from_slice(self.origin.as_bytes());
        self.inner.transmit_output(longer, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, Error> {
        Proxies::from(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_kind_of_address_has_its_own_proxy() {
        let found =
            proxies(&[("http_proxy", "http://a:3128"), ("HTTPS_PROXY", "b:8080"), ("HTTP_PROXY", "evil")])
                .unwrap();
        let at = |proxy: Option<Proxy>| proxy.map(|proxy| (proxy.host().to_owned(), proxy.port()));
        assert_eq!((at(found.http), at(found.https)), (Some(("a".into(), 3128)), Some(("b".into(), 8080))));
        let none = proxies(&[("http_proxy", ""), ("HTTP_PROXY", "http://evil")]).unwrap();
        assert!(none.http.is_none() && none.https.is_none());
    }

    #[test]
    fn what_is_no_proxy_is_told_without_its_password() {
        for value in ["socks5://user:geheim@a", "https://user:geheim@a", "http://user:geheim@ a"] {
            let error = proxies(&[("http_proxy", value)]).unwrap_err();
            let text = format!("{error} {error:?} {:?}", error.hint());
            assert!(text.contains("http_proxy") && !text.contains("geheim"), "{text}");
        }
    }

    #[test]
    fn hosts_and_domains_without_a_proxy() {
        let excepted = |list: &str, address: &str| {
            proxies(&[("no_proxy", list)]).unwrap().excepted(&address.parse().unwrap())
        };
        for (list, address) in [
            ("localhost,example.org", "http://Example.org/debian"),
            ("example.org", "http://deb.example.org/"),
            (".example.org", "http://deb.example.org/"),
            ("*.example.org", "https://deb.example.org:8443/"),
            ("a, 10.0.0.1 ,b", "http://10.0.0.1/"),
            ("10.0.0.1:3142", "http://10.0.0.1:3142/"),
            ("example.org:80", "http://example.org/"),
            ("::1", "http://[::1]:80/"),
            ("*", "https://anything/"),
        ] {
            assert!(excepted(list, address), "{list}: {address}");
        }
        for (list, address) in [
            ("", "http://example.org/"),
            (".", "http://example.org/"),
            (":80", "http://example.org/"),
            (",", "http://example.org/"),
            ("ample.org", "http://example.org/"),
            ("example.org:443", "http://example.org/"),
            ("example.org", "http://example.org.evil/"),
        ] {
            assert!(!excepted(list, address), "{list}: {address}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(proxy in "\\PC{0,40}", list in "\\PC{0,40}") {
            let found = proxies(&[("http_proxy", &proxy), ("https_proxy", &proxy), ("no_proxy", &list)]);
            if let Ok(found) = found {
                let _ = found.excepted(&"http://deb.example.org/debian".parse().unwrap());
            }
        }
    }
}
