//! Ids of a domain's users and groups.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// First id that a domain may have: local users and groups of gateways are below, and so are the ids of [`BUILTIN_IDS`].
pub const FIRST_DOMAIN_ID: u32 = 100_000;
/// Last id that a domain may have: ids from 2^31 on are negative for some programs.
pub const LAST_DOMAIN_ID: u32 = 2_000_000_000;
/// Ids of what is in no domain that is configured, as `BUILTIN\Users` (smb.conf(5), `idmap config *`).
pub const BUILTIN_IDS: (u32, u32) = (90_000, 99_999);

/// How ids follow from a domain's accounts (idmap_rid(8), idmap_ad(8), idmap_autorid(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IdBackend {
    /// First id and RID: the same on every gateway.
    #[default]
    Rid,
    /// `uidNumber` and `gidNumber` in the directory (RFC 2307): the same everywhere; who has none, has no access.
    Ad,
    /// RID and a range for each domain in the order they are met: for forests. Gateways need not agree.
    Autorid,
}

impl IdBackend {
    /// Whether it is the default.
    pub fn is_rid(&self) -> bool {
        *self == Self::Rid
    }

    /// Its name in smb.conf.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rid => "rid",
            Self::Ad => "ad",
            Self::Autorid => "autorid",
        }
    }
}

impl std::fmt::Display for IdBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Ids of a domain's users and groups, as `100000-1099999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainIds {
    first: u32,
    last: u32,
}

impl Default for DomainIds {
    /// A million.
    fn default() -> Self {
        Self { first: FIRST_DOMAIN_ID, last: FIRST_DOMAIN_ID + 999_999 }
    }
}

impl DomainIds {
    /// Reads `100000-1099999`.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: String| Invalid::new("ids", text, rule);
        let form = || bad("must be FIRST-LAST, as 100000-1099999".to_owned());
        let (first, last) = text.split_once('-').ok_or_else(form)?;
        let (first, last): (u32, u32) =
            (first.parse().map_err(|_| form())?, last.parse().map_err(|_| form())?);
        if first < FIRST_DOMAIN_ID || last > LAST_DOMAIN_ID {
            return Err(bad(format!("must lie within {FIRST_DOMAIN_ID}-{LAST_DOMAIN_ID}")));
        }
        if last < first || last - first < 1999 {
            return Err(bad("must be at least 2000: a domain's own accounts begin at 1000".to_owned()));
        }
        Ok(Self { first, last })
    }

    /// First id.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// Last id.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// The id of an account by its RID with [`IdBackend::Rid`]; none when it does not fit.
    pub fn of_rid(&self, rid: u32) -> Option<u32> {
        self.first.checked_add(rid).filter(|id| *id <= self.last)
    }

    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What a backend needs of it.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn check(&self, backend: IdBackend) -> Result<(), Invalid> {
        // idmap_autorid(8): rangesize, 100000 by default, one range for BUILTIN and one for each domain
        if backend == IdBackend::Autorid && self.last - self.first < 199_999 {
            let rule =
                "autorid needs at least 200000: one range of 100000 for each domain, and one of its own";
            return Err(Invalid::new("ids", &self.to_string(), rule));
        }
        Ok(())
    }
}

impl std::fmt::Display for DomainIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}-{}", self.first, self.last))
    }
}
text_newtype!(DomainIds);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let ids = DomainIds::default();
        assert_eq!(ids.to_string(), "100000-1099999");
        assert_eq!(
            (ids.of_rid(1103), ids.of_rid(999_999), ids.of_rid(1_000_000)),
            (Some(101_103), Some(1_099_999), None)
        );
        for bad in ["", "100000", "5-9", "100000-100500", "200000-100000", "100000-3000000000", "100000-x"] {
            assert!(DomainIds::parse(bad).is_err(), "{bad}");
        }
        assert!(DomainIds::parse("100000-250000").unwrap().check(IdBackend::Autorid).is_err());
    }
}
