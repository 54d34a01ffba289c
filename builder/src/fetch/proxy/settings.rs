//! Where this machine says which proxies it has: the environment, and if that names none, apt's configuration, where
//! Proxmox VE writes its data center's `http_proxy` (`/etc/apt/apt.conf.d/76pveproxy`; `update_database` in pve-manager's
//! `PVE/API2/APT.pm`).

use std::net::IpAddr;
use std::time::Duration;

use smbgw_command::{Command, CommandError, Runner};
use ureq::http::Uri;

use super::Without;
use crate::error::Error;

/// The variables; the first that is set counts. `HTTP_PROXY` is left out as everywhere: a web server sets it for what a client's
/// header `Proxy` says (CVE-2016-5385).
const HTTP: &[&str] = &["http_proxy"];
const HTTPS: &[&str] = &["https_proxy", "HTTPS_PROXY"];
const NO_PROXY: &[&str] = &["no_proxy", "NO_PROXY"];

/// It reads a few small files.
const APT_DEADLINE: Duration = Duration::from_secs(20);

/// A proxy as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Where, for messages: `the environment variable http_proxy`.
    pub place: String,
    /// Its address. It may hold a password.
    pub value: String,
}

/// What this machine says of proxies.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// For `http://`.
    pub http: Option<Setting>,
    /// For `https://`.
    pub https: Option<Setting>,
    /// In the form of `no_proxy`.
    pub without: String,
}

impl Settings {
    /// Those for a build from this mirror.
    ///
    /// # Errors
    /// [`Error::Proxy`] when apt cannot read its configuration. That there is no apt is none: a build with a lock needs none.
    pub fn of_this_machine(mirror: &str, runner: &dyn Runner) -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var(name).ok()).or_of_machine(mirror, runner)
    }

    fn or_of_machine(self, mirror: &str, runner: &dyn Runner) -> Result<Self, Error> {
        if self.http.is_some() || self.https.is_some() || self.excepts(mirror) {
            return Ok(self);
        }
        let command = Command::new("apt-config").arg("dump").deadline(APT_DEADLINE);
        match runner.run(&command).and_then(|output| output.text(&command)) {
            Ok(dump) => {
                let address = address(mirror);
                Ok(self.or_of_apt(&dump, address.as_ref().and_then(Uri::host)))
            }
            Err(CommandError::NotInstalled { .. }) => Ok(self),
            Err(CommandError::Failed { stderr, .. }) => {
                Err(Error::Proxy { place: "apt's configuration".into(), detail: stderr.trim().to_owned() })
            }
            Err(error) => Err(Error::program("reading apt's configuration")(error)),
        }
    }

    /// Those of an environment, given by a function from name to value.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            let set = |name: &&'static str| {
                let value = variable(name).filter(|value| !value.is_empty())?;
                Some(Setting { place: format!("the environment variable {name}"), value })
            };
            names.iter().find_map(set)
        };
        Self {
            http: first(HTTP),
            https: first(HTTPS),
            without: first(NO_PROXY).map(|setting| setting.value).unwrap_or_default(),
        }
    }

    /// With the proxies of `apt-config dump` for this host. Source: apt-transport-http(1) and apt-transport-https(1): a setting
    /// for the host counts before that for all, `DIRECT` is none, and what is not set for https is that of http. Other than
    /// apt, we ask no proxy for a mirror on this machine: the proxy would look for it on its own.
    fn or_of_apt(mut self, dump: &str, host: Option<&str>) -> Self {
        if host.is_some_and(is_loopback) {
            return self;
        }
        // by scheme: of the host, and of all
        let mut proxies = [const { [None, None] }; 2];
        for (scheme, of, value) in dump.lines().filter_map(proxy_line) {
            let rank = match of {
                None => 1,
                Some(of) if host.is_some_and(|host| host.eq_ignore_ascii_case(of)) => 0,
                Some(_) => continue,
            };
            let none = matches!(value, "DIRECT" | "false" | "");
            let name = of.map(|of| format!("::{of}")).unwrap_or_default();
            let place = format!("apt's configuration, Acquire::{}::Proxy{name}", scheme.name());
            let setting = Setting { place, value: value.to_owned() };
            proxies[scheme as usize][rank] = Some((!none).then_some(setting));
        }
        let [http, https] = proxies.map(|[of_host, of_all]| of_host.or(of_all));
        self.https = https.or_else(|| http.clone()).flatten();
        self.http = http.flatten();
        self
    }

    fn excepts(&self, mirror: &str) -> bool {
        address(mirror).is_some_and(|mirror| Without::parse(&self.without).covers(&mirror))
    }

    /// The variables for a program that asks this mirror.
    pub fn variables(&self, mirror: &str) -> Vec<(&'static str, String)> {
        let excepted = self.excepts(mirror);
        let proxies = [("http_proxy", &self.http), ("https_proxy", &self.https)].into_iter();
        // apt knows no `*`
        let proxies = proxies
            .filter(|_| !excepted)
            .filter_map(|(name, setting)| setting.as_ref().map(|setting| (name, setting.value.clone())));
        let without = Some(&self.without).filter(|without| !without.is_empty());
        proxies.chain(without.map(|without| ("no_proxy", without.clone()))).collect()
    }
}

#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// `Acquire::http::Proxy "VALUE";` or `Acquire::http::Proxy::HOST "VALUE";`. Names are in any case.
fn proxy_line(line: &str) -> Option<(Scheme, Option<&str>, &str)> {
    let (name, value) = line.split_once(' ')?;
    let value = value.strip_prefix('"')?.strip_suffix("\";")?;
    let mut words = name.splitn(4, "::");
    let mut word = || words.next();
    let is = |word: Option<&str>, name: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(name));
    if !is(word(), "Acquire") {
        return None;
    }
    let scheme = match word()? {
        scheme if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
        scheme if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        _ => return None,
    };
    if !is(word(), "Proxy") {
        return None;
    }
    Some((scheme, word().filter(|host| !host.is_empty()), value))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

fn address(mirror: &str) -> Option<Uri> {
    // `{archive}` in a path is no part of an address
    mirror.replace(['{', '}'], "").parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smbgw_command::Recorder;

    use super::*;

    fn of_apt(dump: &str, mirror: &str) -> Settings {
        Settings::default().or_of_apt(dump, address(mirror).as_ref().and_then(Uri::host))
    }

    fn value(setting: Option<Setting>) -> Option<String> {
        setting.map(|setting| setting.value)
    }

    fn with(variables: &[(&str, &str)]) -> Settings {
        Settings::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_of_every_spelling_but_one() {
        let settings =
            with(&[("http_proxy", "a"), ("HTTPS_PROXY", "b"), ("HTTP_PROXY", "evil"), ("NO_PROXY", "c")]);
        assert_eq!(
            settings.variables("http://mirror"),
            [("http_proxy", "a".to_owned()), ("https_proxy", "b".into()), ("no_proxy", "c".into())]
        );
        let none = with(&[("http_proxy", ""), ("HTTP_PROXY", "evil")]);
        assert!(none.variables("http://mirror").is_empty());
    }

    #[test]
    fn a_mirror_that_is_excepted_is_asked_without_a_proxy() {
        let settings = with(&[("http_proxy", "http://a"), ("no_proxy", "*")]);
        assert_eq!(settings.variables("http://mirror/debian"), [("no_proxy", "*".to_owned())]);
    }

    #[test]
    fn what_proxmox_ve_writes_counts_for_both_schemes() {
        let settings = of_apt(
            "Acquire \"\";\nAcquire::http \"\";\nAcquire::http::Proxy \"http://p:3128\";\n",
            "http://m",
        );
        let http = settings.http.unwrap();
        assert_eq!(http.value, "http://p:3128");
        assert_eq!(http.place, "apt's configuration, Acquire::http::Proxy");
        assert_eq!(value(settings.https), Some("http://p:3128".into()));
    }

    #[test]
    fn a_host_of_its_own_counts_before_all() {
        let dump = "acquire::HTTP::proxy::Deb.local \"http://near\";\n\
                    Acquire::http::Proxy \"http://all\";\n\
                    Acquire::http::Proxy::inside \"DIRECT\";\n\
                    Acquire::http::Proxy-Auto-Detect \"/bin/detect\";\n\
                    Acquire::https::Proxy \"false\";\n\
                    Acquire::ftp::Proxy \"http://ftp\";\n";
        let at = |mirror: &str| {
            let settings = of_apt(dump, mirror);
            (value(settings.http), value(settings.https))
        };
        assert_eq!(at("http://deb.local:80/x/{archive}/y"), (Some("http://near".into()), None));
        assert_eq!(at("http://elsewhere"), (Some("http://all".into()), None));
        for mirror in ["http://inside", "http://127.0.0.1:80/x", "http://localhost", "http://[::1]:3142"] {
            assert_eq!(at(mirror).0, None, "{mirror}");
        }
    }

    #[test]
    fn apt_is_asked_where_the_environment_names_none() {
        let apt = Recorder::new().answer("apt-config", "Acquire::http::Proxy \"http://p\";\n");
        let settings = with(&[("https_proxy", "http://mine")]).or_of_machine("http://m", &apt).unwrap();
        assert_eq!((settings.http, apt.seen().len()), (None, 0));
        let settings = with(&[("no_proxy", "a")]).or_of_machine("http://m", &apt).unwrap();
        assert_eq!(
            (value(settings.http), apt.seen()),
            (Some("http://p".into()), vec!["apt-config dump".into()])
        );
    }

    #[test]
    fn an_apt_that_cannot_read_its_configuration_is_an_error() {
        let broken = Recorder::new().fail("apt-config", 100, "E: Syntax error");
        let told = with(&[]).or_of_machine("http://m", &broken).unwrap_err();
        assert!(told.to_string().contains("apt's configuration: E: Syntax error"), "{told}");
        with(&[("no_proxy", "m")]).or_of_machine("http://m", &broken).unwrap();
    }

    proptest! {
        #[test]
        fn anything_is_read_without_panic(line in "(Acquire::http::Proxy)?\\PC{0,40}", mirror in "\\PC{0,40}") {
            let _ = of_apt(&line, &mirror).variables(&mirror);
        }
    }
}
