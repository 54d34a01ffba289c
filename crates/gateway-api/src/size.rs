//! Sizes in bytes, as people write them.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// A number of bytes. Written `500G`, `128MiB`, `1.5T`; units are powers of 1024, as in ZFS, LVM and Proxmox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

const UNITS: [(&str, u32); 6] = [("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50), ("E", 60)];

impl ByteSize {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Reads a size: digits, an optional fraction, an optional unit (`K`, `M`, `G`, `T`, `P`, `E`, each also with
    /// `iB` or `B`); a number without unit is bytes.
    ///
    /// # Errors
    /// [`Invalid`] when it is not such a text, is zero, or does not fit into 64 bits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Invalid::new("size", text, rule);
        let form = || bad("write a number and a unit, as 500G, 128MiB or 1.5T");
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim_start().to_ascii_uppercase());
        let unit = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
        let shift = match unit {
            "" => 0,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(form)?.1,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.len() > 9 {
            return Err(form());
        }
        if !fraction.is_empty() && shift == 0 {
            return Err(bad("a fraction of a byte is not possible"));
        }
        let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(form());
        }
        let too_large = || bad("is too large");
        let whole: u128 = whole.parse().map_err(|_| too_large())?;
        let scale = 10u128.pow(fraction.len() as u32);
        let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| form())? };
        let scaled = whole.checked_mul(scale).and_then(|n| n.checked_add(fraction)).ok_or_else(too_large)?;
        let bytes = scaled.checked_mul(1 << shift).ok_or_else(too_large)? / scale;
        match u64::try_from(bytes).map_err(|_| too_large())? {
            0 => Err(bad("must not be zero")),
            bytes => Ok(Self(bytes)),
        }
    }
}

impl std::fmt::Display for ByteSize {
    /// The shortest exact form: `128M`, `1536M`, `1000`. Parses back to the same value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = UNITS.iter().rev().find(|(_, shift)| self.0.trailing_zeros() >= *shift && self.0 != 0);
        match unit {
            Some((name, shift)) => f.pad(&format!("{}{name}", self.0 >> shift)),
            None => f.pad(&self.0.to_string()),
        }
    }
}

text_newtype!(ByteSize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("1", 1),
            ("1024", 1024),
            ("500G", 500 << 30),
            ("500 GiB", 500 << 30),
            ("128MiB", 128 << 20),
            ("1.5t", 3 << 39),
            ("2gb", 2 << 30),
        ] {
            assert_eq!(ByteSize::parse(text).map(ByteSize::bytes), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in
            ["", "G", "0", "0G", "-1G", "1.G", "1..5G", "5X", "1.5", "lots", "1e9", "99999999999E", "5 G B"]
        {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_back(bytes in 1u64..) {
            prop_assert_eq!(ByteSize::parse(&ByteSize::from_bytes(bytes).to_string()), Ok(ByteSize::from_bytes(bytes)));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = ByteSize::parse(&text);
        }
    }
}
