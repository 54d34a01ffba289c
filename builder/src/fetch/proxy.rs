//! HTTP proxies.
//!
//! * `settings`: where they are written down · `without`: `no_proxy` · `request`: how one is asked

mod request;
mod settings;
mod without;

use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

use crate::error::Error;

pub(super) use request::{AskProxy, ToProxy};
pub use settings::{Setting, Settings};
pub use without::Without;

/// The proxies of one build.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<Proxy>,
    /// For `https://`.
    pub https: Option<Proxy>,
    without: Without,
}

impl Proxies {
    /// What the settings mean.
    ///
    /// # Errors
    /// [`Error::Proxy`].
    pub fn parse(settings: Settings) -> Result<Self, Error> {
        let proxy = |setting: Option<Setting>, https_too| match setting {
            None => Ok(None),
            Some(Setting { place, value }) => match parse(&value, https_too) {
                Ok(proxy) => Ok(Some(proxy)),
                Err(detail) => Err(Error::Proxy { place, detail }),
            },
        };
        Ok(Self {
            http: proxy(settings.http, false)?,
            https: proxy(settings.https, true)?,
            without: Without::parse(&settings.without),
        })
    }

    /// Whether this address is to be reached directly.
    pub fn excepted(&self, address: &Uri) -> bool {
        self.without.covers(address)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(http: Option<&str>, https: Option<&str>) -> Result<Proxies, Error> {
        let setting = |value: &str| Setting {
            place: "the environment variable http_proxy".into(),
            value: value.into(),
        };
        let settings = Settings { http: http.map(setting), https: https.map(setting), ..Settings::default() };
        Proxies::parse(settings)
    }

    #[test]
    fn each_kind_of_address_has_its_own_proxy() {
        let found = proxies(Some("http://a:3128"), Some("b:8080")).unwrap();
        let at = |proxy: Option<Proxy>| proxy.map(|proxy| (proxy.host().to_owned(), proxy.port()));
        assert_eq!((at(found.http), at(found.https)), (Some(("a".into(), 3128)), Some(("b".into(), 8080))));
        let none = proxies(None, None).unwrap();
        assert!(none.http.is_none() && none.https.is_none());
    }

    #[test]
    fn what_is_no_proxy_is_told_without_its_password() {
        for value in ["socks5://user:geheim@a", "https://user:geheim@a", "http://user:geheim@ a"] {
            let error = proxies(Some(value), None).unwrap_err();
            let text = format!("{error} {error:?} {:?}", error.hint());
            assert!(text.contains("http_proxy") && !text.contains("geheim"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(proxy in "\\PC{0,40}") {
            let _ = proxies(Some(&proxy), Some(&proxy));
        }
    }
}
