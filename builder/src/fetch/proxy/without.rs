//! Hosts that are reached without a proxy.

use ureq::http::Uri;

/// The words of `no_proxy`: hosts, domains, either with a port, or `*`.
#[derive(Debug, Clone, Default)]
pub struct Without(Vec<String>);

impl Without {
    /// Words between commas or blanks.
    pub fn parse(text: &str) -> Self {
        let words = text.split([',', ' ']).map(|word| word.trim().to_ascii_lowercase());
        Self(words.filter(|word| !word.is_empty()).collect())
    }

    /// Whether this address is to be reached directly.
    pub fn covers(&self, address: &Uri) -> bool {
        let host = address.host().unwrap_or_default().to_ascii_lowercase();
        let host = host.trim_matches(['[', ']']);
        let default = if address.scheme_str() == Some("https") { 443 } else { 80 };
        let port = format!(":{}", address.port_u16().unwrap_or(default));
        self.0.iter().any(|word| {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covers(list: &str, address: &str) -> bool {
        Without::parse(list).covers(&address.parse().unwrap())
    }

    #[test]
    fn hosts_and_domains() {
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
            assert!(covers(list, address), "{list}: {address}");
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
            assert!(!covers(list, address), "{list}: {address}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(list in "\\PC{0,40}") {
            let _ = covers(&list, "http://deb.example.org/debian");
        }
    }
}
