//! Names in a domain. What is accepted needs no escaping in smb.conf, krb5.conf, an argv or a DN.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// Kerberos realm and DNS name of a domain, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Realm(String);

impl Realm {
    /// Checks a realm; its case does not matter.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("domain", text, rule));
        if !is_dns_name(text) {
            return bad("must be the domain's DNS name, as CORP.EXAMPLE");
        }
        if !text.contains('.') {
            return bad("is a NetBIOS name: give the domain's DNS name, as CORP.EXAMPLE");
        }
        Ok(Self(text.to_ascii_uppercase()))
    }

    /// The realm, in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its name in DNS.
    pub fn dns(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The NetBIOS name that domains of this name have as a rule: the first part.
    pub fn workgroup(&self) -> Workgroup {
        let first = self.0.split('.').next().unwrap_or_default();
        Workgroup(first.chars().take(15).collect())
    }

    /// Its base DN, as `DC=corp,DC=example`.
    pub fn dn(&self) -> String {
        let parts: Vec<_> = self.dns().split('.').map(|part| format!("DC={part}")).collect();
        parts.join(",")
    }
}

/// Labels of letters, digits and `-` (RFC 1123), of at most 63 characters.
fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 200 && text.split('.').all(label)
}

/// NetBIOS name of a domain, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Workgroup(String);

impl Workgroup {
    /// Checks a name; its case does not matter.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_&".contains(c);
        if text.is_empty() || text.len() > 15 || !text.chars().all(good) || text.starts_with('-') {
            let rule = "a NetBIOS name has 1 to 15 letters, digits, '-', '_' or '&'";
            return Err(Invalid::new("workgroup", text, rule));
        }
        Ok(Self(text.to_ascii_uppercase()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A machine by its DNS name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// Checks a name. An address is refused: Kerberos knows servers by name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("host name", text, rule));
        if text.parse::<std::net::IpAddr>().is_ok() {
            return bad("is an address: Kerberos needs the name");
        }
        if !is_dns_name(text) || !text.contains('.') {
            return bad("must be a DNS name, as dc1.corp.example");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a name in the DNS domain of a realm.
    pub fn is_in(&self, realm: &Realm) -> bool {
        self.0.strip_suffix(&realm.dns()).is_some_and(|rest| rest.ends_with('.'))
    }
}

/// Characters that mean something in a DN (RFC 4514), in LDAP filters (RFC 4515), in smb.conf or in `net ads join createcomputer=`.
const DN_FORBIDDEN: &str = "\\/,+\"<>;=#*()%";

/// An organizational unit, as `OU=Files,OU=Servers`, innermost first; the domain may follow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrgUnit {
    units: Vec<String>,
    domain: Vec<String>,
}

impl OrgUnit {
    /// Reads a DN, or the part of it before the domain.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Invalid::new("ou", text, rule);
        let (mut units, mut domain) = (Vec::new(), Vec::new());
        if text.len() > 500 {
            return Err(bad("is too long"));
        }
        for part in text.split(',') {
            let (kind, name) = part
                .split_once('=')
                .ok_or_else(|| bad("must be written as OU=Files,OU=Servers, the innermost first"))?;
            let (kind, name) = (kind.trim(), name.trim());
            if name.is_empty()
                || name.chars().count() > 64
                || name.chars().any(|c| c.is_control() || DN_FORBIDDEN.contains(c))
            {
                return Err(bad("the name of a unit has 1 to 64 characters, none of them special in a DN"));
            }
            match kind.to_ascii_uppercase().as_str() {
                "OU" if domain.is_empty() => units.push(name.to_owned()),
                "DC" => domain.push(name.to_ascii_lowercase()),
                "CN" => {
                    return Err(bad(
                        "CN= is a container: leave the option out for the domain's own CN=Computers",
                    ));
                }
                _ => return Err(bad("only OU= and, after them, DC= may be in it")),
            }
        }
        if units.is_empty() {
            return Err(bad("names no unit"));
        }
        Ok(Self { units, domain })
    }

    /// Whether it is in this domain, or says nothing of one.
    pub fn fits(&self, realm: &Realm) -> bool {
        self.domain.is_empty() || self.domain.join(".") == realm.dns()
    }

    /// Its whole DN.
    pub fn dn(&self, realm: &Realm) -> String {
        let units: Vec<_> = self.units.iter().map(|unit| format!("OU={unit}")).collect();
        format!("{},{}", units.join(","), realm.dn())
    }

    /// As `net ads join createcomputer=` takes it: from top to bottom, without `OU=` (net(8)).
    pub fn path(&self) -> String {
        self.units.iter().rev().map(String::as_str).collect::<Vec<_>>().join("/")
    }
}

impl std::fmt::Display for OrgUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = self.units.iter().map(|unit| format!("OU={unit}"));
        let domain = self.domain.iter().map(|part| format!("DC={part}"));
        f.pad(&units.chain(domain).collect::<Vec<_>>().join(","))
    }
}
text_newtype!(OrgUnit);

/// Characters that no account name has (MS-SAMR 3.1.1.6, [MS-ADTS] sAMAccountName), and `%`, which Samba expands.
const ACCOUNT_FORBIDDEN: &str = "\"/\\[]:;|=,+*?<>@%";

fn is_account(text: &str) -> bool {
    (1..=104).contains(&text.chars().count())
        && !text.chars().any(|c| c.is_control() || ACCOUNT_FORBIDDEN.contains(c))
        && !text.starts_with([' ', '-', '.'])
        && !text.ends_with([' ', '.'])
}

/// An account that joins a gateway to its domain, as `joiner`; without its domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainUser(String);

impl DomainUser {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("domain user", text, rule));
        if text.contains(['\\', '@']) {
            return bad("give the name alone, without its domain");
        }
        // between name and password in `net -U`
        if !is_account(text) || text.contains(['\'', '$']) {
            return bad("must be the logon name of a user, as joiner");
        }
        Ok(Self(text.to_owned()))
    }

    /// The account that every domain has.
    pub fn administrator() -> Self {
        Self("Administrator".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user or group of a domain, as `CORP\Team`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainPrincipal {
    domain: Workgroup,
    name: String,
}

impl DomainPrincipal {
    /// Reads `CORP\Team`.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Invalid::new("domain group", text, rule);
        let (domain, name) = text
            .split_once('\\')
            .ok_or_else(|| bad("must be DOMAIN\\NAME with the domain's NetBIOS name, as 'CORP\\Team'"))?;
        if !is_account(name) {
            return Err(bad("the name after '\\' is none that an account of a domain can have"));
        }
        Ok(Self { domain: Workgroup::parse(domain)?, name: name.to_owned() })
    }

    /// Name without the domain.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// NetBIOS name of its domain.
    pub fn domain(&self) -> &Workgroup {
        &self.domain
    }
}

impl std::fmt::Display for DomainPrincipal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}\\{}", self.domain, self.name))
    }
}
text_newtype!(DomainPrincipal);

macro_rules! display {
    ($($type:ident),*) => { $(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
        text_newtype!($type);
    )* };
}
display!(Realm, Workgroup, HostName, DomainUser);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn realms() {
        let realm = Realm::parse("lab.test").unwrap();
        assert_eq!((realm.as_str(), realm.dn().as_str()), ("LAB.TEST", "DC=lab,DC=test"));
        assert_eq!(Realm::parse("averyveryverylongname.x").unwrap().workgroup().as_str(), "AVERYVERYVERYLO");
        for bad in ["", "LAB", "a..b", "-a.b", "a.b/", "a_b.c", "a b.c", ".a.b"] {
            assert!(Realm::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn units() {
        let (ou, realm) =
            (OrgUnit::parse("ou=Web Files,OU=Servers").unwrap(), Realm::parse("lab.test").unwrap());
        assert_eq!(ou.dn(&realm), "OU=Web Files,OU=Servers,DC=lab,DC=test");
        assert_eq!(ou.path(), "Servers/Web Files");
        assert_eq!(ou.to_string(), "OU=Web Files,OU=Servers");
        let whole = OrgUnit::parse("OU=a,DC=LAB,DC=test").unwrap();
        assert!(whole.fits(&realm) && !OrgUnit::parse("OU=a,DC=x").unwrap().fits(&realm));
        for bad in ["", "Files", "CN=Computers", "OU=", "OU=a/b", "OU=a\\,b", "DC=a", "DC=a,OU=b", "OU=a*"] {
            assert!(OrgUnit::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn accounts() {
        assert_eq!(DomainPrincipal::parse("lab\\Team A").unwrap().to_string(), "LAB\\Team A");
        for bad in ["Team", "\\Team", "LAB\\", "LAB\\a\\b", "LAB\\a%U", "LAB\\a\"b", "a b\\c"] {
            assert!(DomainPrincipal::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "LAB\\joiner", "joiner@LAB.TEST", "-U", "a%b"] {
            assert!(DomainUser::parse(bad).is_err(), "{bad}");
        }
        let host = HostName::parse("DC1.lab.test").unwrap();
        assert!(host.is_in(&"LAB.TEST".parse().unwrap()) && !host.is_in(&"B.TEST".parse().unwrap()));
        assert!(HostName::parse("10.0.0.1").is_err() && HostName::parse("dc1").is_err());
    }

    proptest! {
        #[test]
        fn accepted_names_are_harmless(text in "\\PC{0,60}") {
            if let Ok(user) = DomainUser::parse(&text) {
                prop_assert!(!user.as_str().contains(['%', '\n', '\\', '"', '@']) && !user.as_str().starts_with('-'));
            }
            if let Ok(ou) = OrgUnit::parse(&format!("OU={text}")) {
                prop_assert_eq!(OrgUnit::parse(&ou.to_string()).unwrap(), ou);
            }
        }
    }
}
