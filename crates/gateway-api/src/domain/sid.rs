//! Security identifiers (MS-DTYP 2.4.2).

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// A SID, as `S-1-5-21-1-2-3-1103`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sid(String);

impl Sid {
    /// Checks a SID in its text form.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let rest = text.strip_prefix("S-1-").unwrap_or_default();
        let numbers = rest.split('-').filter(|part| !part.is_empty());
        let good = |part: &str| part.len() <= 15 && part.chars().all(|c| c.is_ascii_digit());
        // an authority and 1 to 15 numbers below it
        if !(2..=16).contains(&numbers.count()) || !rest.split('-').all(|part| !part.is_empty() && good(part))
        {
            return Err(Invalid::new("SID", text, "must be of the form S-1-5-21-1-2-3-1103"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The SID.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account of this number in the domain whose SID this is.
    #[must_use]
    pub fn account(&self, rid: u32) -> Self {
        Self(format!("{}-{rid}", self.0))
    }

    /// Its last number, if it is an account of that domain.
    pub fn rid_in(&self, domain: &Self) -> Option<u32> {
        self.0.strip_prefix(domain.as_str())?.strip_prefix('-')?.parse().ok()
    }
}

impl std::fmt::Display for Sid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(Sid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_a_domain() {
        let domain = Sid::parse("S-1-5-21-1-2-3").unwrap();
        let account = domain.account(1103);
        assert_eq!(account.rid_in(&domain), Some(1103));
        assert_eq!(Sid::parse("S-1-5-32-545").unwrap().rid_in(&domain), None);
        assert_eq!(Sid::parse("S-1-5-21-1-2-33-5").unwrap().rid_in(&domain), None);
        for bad in ["", "S-1-", "S-1-5", "S-1-5-x", "S-1-5--1", "s-1-5-1", "S-1-5-21-1 S-1-5-32"] {
            assert!(Sid::parse(bad).is_err(), "{bad}");
        }
    }
}
