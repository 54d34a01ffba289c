//! Identifiers that are made from content, so that the same input gives the same ones. Source: RFC 9562, version 8.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash;

/// A 128-bit identifier: of a disk, a partition, a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guid([u8; 16]);

impl Guid {
    /// From a SHA-256 in hex; its first 122 bits, with version and variant where they belong.
    pub fn of_hash(sha256: &str) -> Self {
        let digit = |at: usize| sha256.as_bytes().get(at).and_then(|digit| (*digit as char).to_digit(16));
        let byte = |at: usize| (digit(2 * at).unwrap_or(0) << 4 | digit(2 * at + 1).unwrap_or(0)) as u8;
        let mut bytes: [u8; 16] = std::array::from_fn(byte);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x0f | 0x80;
        Self(bytes)
    }

    /// For one thing among several that have the same origin.
    pub fn derive(origin: &str, thing: &str) -> Self {
        Self::of_hash(&hash::of_bytes(format!("{origin}\n{thing}\n").as_bytes()))
    }

    /// A well-known one, as it is written.
    pub const fn known(value: u128) -> Self {
        Self(value.to_be_bytes())
    }

    /// As ext4 has it: in the order of the text.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// As GPT has it, and back: the first three groups with the low byte first. Source: UEFI 2.10, appendix A.
    pub fn swapped(self) -> [u8; 16] {
        let mut bytes = self.0;
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        bytes
    }

    /// From GPT's order of bytes.
    pub fn from_swapped(bytes: [u8; 16]) -> Self {
        Self(Self(bytes).swapped())
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Guid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('-').collect();
        let shaped = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
        let value = u128::from_str_radix(&parts.concat(), 16);
        let hex = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        value.ok().filter(|_| shaped && hex).map(Self::known).ok_or_else(|| format!("`{text}` is not a UUID"))
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> Self {
        guid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shape() {
        let guid = Guid::derive("lock", "root");
        let text = guid.to_string();
        assert_eq!((text.len(), &text[14..15], &text[19..20]), (36, "8", "8"));
        assert_ne!(guid, Guid::derive("lock", "disk"));
        let esp = Guid::known(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
        assert_eq!(esp.swapped()[..6], [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8]);
    }

    proptest! {
        #[test]
        fn text_and_bytes_go_both_ways(value: u128, text in "[0-9a-f-]{0,40}|\\PC{0,40}") {
            let guid = Guid::known(value);
            prop_assert_eq!(Guid::try_from(guid.to_string()), Ok(guid));
            prop_assert_eq!(Guid::from_swapped(guid.swapped()), guid);
            if let Ok(found) = Guid::try_from(text.clone()) {
                prop_assert_eq!(found.to_string(), text);
            }
        }
    }
}
