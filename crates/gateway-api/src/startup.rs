//! When a guest starts among those of its node.

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Turn of a guest among those that start with the node (PVE 8.4 and 9.2, format `pve-startup-order`): lower numbers start
/// first and stop last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StartOrder {
    /// Its number.
    pub order: u32,
    /// Seconds after its start until the next one starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<u32>,
    /// Seconds that it gets to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<u32>,
}

impl std::str::FromStr for StartOrder {
    type Err = Invalid;

    /// Reads `20`, or `order=20,up=30,down=60`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("startup order", text, "write a number, or order=20,up=30,down=60");
        let (mut order, mut up, mut down) = (None, None, None);
        for part in text.split(',') {
            let (key, value) = part.split_once('=').unwrap_or(("order", part));
            let field = match key {
                "order" => &mut order,
                "up" => &mut up,
                "down" => &mut down,
                _ => return Err(bad()),
            };
            // more than a day makes no sense, and Proxmox VE takes digits only
            let number =
                value.parse().ok().filter(|n| *n <= 86_400 && value.chars().all(|c| c.is_ascii_digit()));
            if field.replace(number.ok_or_else(bad)?).is_some() {
                return Err(bad());
            }
        }
        Ok(Self { order: order.ok_or_else(bad)?, up, down })
    }
}

impl std::fmt::Display for StartOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |key: &str, value: Option<u32>| value.map_or_else(String::new, |n| format!(",{key}={n}"));
        f.pad(&format!("order={}{}{}", self.order, part("up", self.up), part("down", self.down)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns() {
        for (text, same) in [
            ("20", "order=20"),
            ("order=1,up=30,down=60", "order=1,up=30,down=60"),
            ("down=5,order=2", "order=2,down=5"),
        ] {
            assert_eq!(text.parse::<StartOrder>().unwrap().to_string(), same);
        }
        for bad in ["", "x", "up=1", "order=1,order=2", "-1", "+1", "1,2", "order=1,x=2", "999999"] {
            assert!(bad.parse::<StartOrder>().is_err(), "{bad}");
        }
    }
}
