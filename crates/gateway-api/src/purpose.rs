//! What a share is for, and what else happens to its files: the same words in a spec, on the command line and to the agent.

use serde::{Deserialize, Serialize};

use crate::{ByteSize, Invalid, RawOption, text_newtype};

/// What a share is for. Each is a whole set of options, tested together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Files for Windows, Linux and macOS.
    #[default]
    Default,
    /// As a Mac expects it: Finder's metadata, resource forks, Apple's extension of SMB.
    Macos,
    /// Backups by Time Machine.
    Timemachine,
    /// What was written cannot be changed or deleted once its grace period is over.
    Archive,
    /// Fast; what was written last may be lost in a crash.
    Scratch,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Default, Self::Macos, Self::Timemachine, Self::Archive, Self::Scratch];

    /// Whether its clients are Macs, which every share of the gateway has to be ready for then.
    pub fn is_for_macs(self) -> bool {
        matches!(self, Self::Macos | Self::Timemachine)
    }

    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::Macos => "macos",
            Self::Timemachine => "timemachine",
            Self::Archive => "archive",
            Self::Scratch => "scratch",
        })
    }
}

impl std::str::FromStr for Purpose {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|purpose| purpose.to_string() == text);
        let rule = "must be default, macos, timemachine, archive or scratch";
        found.ok_or_else(|| Invalid::new("purpose", text, rule))
    }
}

/// How long what was written to an archive can still be changed. Written `90s`, `5m`, `2h` or `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Grace(u32);

const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl Grace {
    /// That of an archive that does not say: an hour, as vfs_worm(8) has it.
    pub const DEFAULT: Self = Self(3600);

    /// In seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Invalid`] when it is no number with a unit, or not between a second and a year.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("grace period", text, "write a time from 1s to 365d, as 90s, 5m, 2h or 1d");
        let unit = UNITS.iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(bad)?;
        let number = &text[..text.len() - 1];
        if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit()) {
            return Err(bad());
        }
        let seconds = number.parse().ok().and_then(|number: u32| number.checked_mul(unit.1));
        seconds.filter(|seconds| (1..=365 * 86_400).contains(seconds)).map(Self).ok_or_else(bad)
    }
}

impl std::fmt::Display for Grace {
    /// The shortest exact form.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, size) = UNITS.iter().find(|(_, size)| self.0.is_multiple_of(*size)).unwrap_or(&UNITS[3]);
        f.pad(&format!("{}{unit}", self.0 / size))
    }
}

text_newtype!(Grace);

/// Longest time that a recycle bin keeps files: ten years.
const MAX_DAYS: u32 = 3650;

/// Days that a recycle bin keeps files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Days(u32);

impl Days {
    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Days {
    type Error = Invalid;
    fn try_from(days: u32) -> Result<Self, Invalid> {
        let rule = "a recycle bin keeps files for 1 to 3650 days";
        if (1..=MAX_DAYS).contains(&days) {
            Ok(Self(days))
        } else {
            Err(Invalid::new("days", &days.to_string(), rule))
        }
    }
}

impl From<Days> for u32 {
    fn from(days: Days) -> Self {
        days.0
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Days {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Days".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 1, "maximum": MAX_DAYS })
    }
}

/// A recycle bin: what clients delete is moved to `.recycle/USER` in the share, and goes when it is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recycle {
    /// Days until it goes.
    pub days: Days,
    /// Larger files are deleted at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<ByteSize>,
}

/// What happens to the files of a share. Only what is not as usual is written, so that agents which do not know these words
/// are asked for nothing new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Handling {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Purpose::is_default")]
    pub purpose: Purpose,
    /// What Time Machine may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<ByteSize>,
    /// How long what was written to an archive can be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Grace>,
    /// Its recycle bin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recycle: Option<Recycle>,
    /// What a user may not read is not listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hide_unreadable: bool,
    /// Clients must encrypt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypt: bool,
    /// File operations are logged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// Options of smb.conf(5) as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raw_options: Vec<RawOption>,
}

impl Handling {
    /// Whether all is as usual.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What Time Machine may use: its own limit, or the share's quota.
    pub fn time_machine_size(&self, quota: Option<ByteSize>) -> Option<ByteSize> {
        self.max_size.or(quota).filter(|_| self.purpose == Purpose::Timemachine)
    }

    /// Checks what cannot go together.
    ///
    /// # Errors
    /// [`Invalid`] with the first conflict.
    pub fn check(&self, share: &str, read_only: bool, quota: Option<ByteSize>) -> Result<(), Invalid> {
        let conflict = |rule: &str| Err(Invalid::new("share", share, rule));
        let purpose = self.purpose;
        if self.max_size.is_some() && purpose != Purpose::Timemachine {
            return conflict("max-size is for the purpose timemachine; a quota limits any share");
        }
        if self.grace.is_some() && purpose != Purpose::Archive {
            return conflict("a grace period is for the purpose archive");
        }
        if purpose == Purpose::Timemachine {
            if read_only {
                return conflict("Time Machine writes: it cannot be read-only");
            }
            match (self.max_size, quota) {
                (None, None) => {
                    return conflict(
                        "Time Machine fills all that it is given: it needs a quota or a max-size (as 500G)",
                    );
                }
                (Some(max), Some(quota)) if max > quota => {
                    return conflict("its max-size is more than its quota, so it could never be reached");
                }
                _ => {}
            }
        }
        if self.recycle.is_some() {
            match purpose {
                Purpose::Archive => {
                    return conflict("nothing is deleted from an archive: it has no recycle bin");
                }
                Purpose::Scratch => {
                    return conflict("nothing is kept of a scratch share: it has no recycle bin");
                }
                Purpose::Timemachine => {
                    return conflict(
                        "a recycle bin would keep what Time Machine deletes to make room: it cannot have one",
                    );
                }
                Purpose::Default | Purpose::Macos if read_only => {
                    return conflict("nothing is deleted from a read-only share: it has no recycle bin");
                }
                Purpose::Default | Purpose::Macos => {}
            }
        }
        for (index, option) in self.raw_options.iter().enumerate() {
            if self.raw_options[..index].iter().any(|other| other.same_name(option)) {
                return conflict(&format!("the raw option {} is there twice", option.name()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_by_name() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.to_string().parse::<Purpose>().unwrap(), purpose);
        }
        assert!("mac".parse::<Purpose>().is_err());
    }

    #[test]
    fn times() {
        for (text, seconds, same) in [
            ("90s", 90, "90s"),
            ("60s", 60, "1m"),
            ("5m", 300, "5m"),
            ("48h", 172_800, "2d"),
            ("365d", 31_536_000, "365d"),
        ] {
            let grace = Grace::parse(text).unwrap();
            assert_eq!((grace.seconds(), grace.to_string().as_str()), (seconds, same));
        }
        for bad in ["", "5", "m", "0s", "-5m", "+5m", "1.5h", "366d", "99999999999d", "5 m", "5ä", "ä"] {
            assert!(Grace::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_go_together() {
        let check = |yaml: &str, read_only: bool, quota: Option<u64>| {
            let handling: Handling = serde_yaml::from_str(yaml).unwrap();
            handling.check("x", read_only, quota.map(ByteSize::from_mib))
        };
        for (yaml, read_only, quota) in [
            ("{max-size: 1G}", false, None),
            ("{grace: 5m}", false, None),
            ("{purpose: timemachine}", false, None),
            ("{purpose: timemachine, max-size: 1G}", true, None),
            ("{purpose: timemachine, max-size: 1G}", false, Some(512)),
            ("{purpose: timemachine, max-size: 1G, recycle: {days: 1}}", false, None),
            ("{purpose: archive, recycle: {days: 1}}", false, None),
            ("{purpose: scratch, recycle: {days: 1}}", false, None),
            ("{recycle: {days: 1}}", true, None),
            ("{raw-options: [strict sync = no, Strict Sync = yes]}", false, None),
        ] {
            assert!(check(yaml, read_only, quota).is_err(), "{yaml}");
        }
        for (yaml, read_only, quota) in [
            ("{}", true, None),
            ("{purpose: timemachine}", false, Some(512)),
            ("{purpose: timemachine, max-size: 256M}", false, Some(512)),
            ("{purpose: archive, grace: 5m}", true, None),
            ("{purpose: macos, recycle: {days: 30, max-size: 2G}}", false, None),
        ] {
            check(yaml, read_only, quota).unwrap();
        }
        for bad in [
            "{recycle: {days: 0}}",
            "{recycle: {days: 3651}}",
            "{recycle: {}}",
            "{purpose: macos, colour: red}",
        ] {
            assert!(serde_yaml::from_str::<Handling>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_unusual_is_written() {
        assert_eq!(serde_json::to_string(&Handling::default()).unwrap(), "{}");
        let handling: Handling = serde_yaml::from_str("{purpose: macos, audit: true}").unwrap();
        assert_eq!(serde_json::to_string(&handling).unwrap(), r#"{"purpose":"macos","audit":true}"#);
    }
}
