//! Property strings of Proxmox VE, `value,key=value,…` (pve-common, `PVE::JSONSchema::parse_property_string`).

/// Characters that a value cannot have: Proxmox VE has no way to quote them.
pub const FORBIDDEN: [char; 2] = [',', '='];

/// A property string that is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Property(String);

impl Property {
    /// One with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that begins with the value of its default key.
    pub fn of(value: impl std::fmt::Display) -> Self {
        Self(value.to_string())
    }

    /// Adds a key and its value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&format!("{key}={value}"));
        self
    }

    /// Adds a key if there is a value for it.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The text.
    pub fn text(self) -> String {
        self.0
    }
}

/// Value of a key; the default key's is the part without `=`.
pub fn value<'a>(text: &'a str, key: &str, default_key: &str) -> Option<&'a str> {
    text.split(',').map(str::trim).find_map(|part| match part.split_once('=') {
        Some((name, value)) => (name == key).then_some(value),
        None => (key == default_key && !part.is_empty()).then_some(part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_built_reads_back() {
        let text = Property::of("/tank/a b").with("mp", "/srv/smb/a").with_some("tag", None::<u16>).text();
        assert_eq!(text, "/tank/a b,mp=/srv/smb/a");
        assert_eq!(value(&text, "volume", "volume"), Some("/tank/a b"));
        assert_eq!(value(&text, "mp", "volume"), Some("/srv/smb/a"));
        assert_eq!(value(&text, "tag", "volume"), None);
        assert_eq!(value("volume=/a,mp=/b", "volume", "volume"), Some("/a"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            let _ = value(&text, "mp", "volume");
        }
    }
}
