//! A YAML template: its placeholders are whole scalars, so that a value can never become structure.

use std::collections::BTreeMap;

use serde_yaml::Value;

use crate::{Error, Result};

/// Fills a template in. A key whose value is null is left out.
pub(super) fn render(template: &str, values: &BTreeMap<&str, Value>) -> Result<String> {
    let broken = |error: serde_yaml::Error| Error::internal("a cloud-init template is broken").source(error);
    let mut document: Value = serde_yaml::from_str(template).map_err(broken)?;
    fill(&mut document, values)?;
    serde_yaml::to_string(&document).map_err(broken)
}

fn fill(value: &mut Value, values: &BTreeMap<&str, Value>) -> Result<()> {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
                let unknown = || Error::internal(format!("a cloud-init template asks for {name}"));
                *value = values.get(name).cloned().ok_or_else(unknown)?;
            }
        }
        Value::Sequence(items) => items.iter_mut().try_for_each(|item| fill(item, values))?,
        Value::Mapping(entries) => {
            entries.values_mut().try_for_each(|entry| fill(entry, values))?;
            entries.retain(|_, entry| !entry.is_null());
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_without_a_value_are_left_out() {
        let values = BTreeMap::from([("a", Value::Null), ("b", Value::from("x"))]);
        assert_eq!(render("one: ${a}\ntwo:\n- three: ${b}\n", &values).unwrap(), "two:\n- three: x\n");
    }

    #[test]
    fn a_value_that_nobody_has_is_an_error() {
        assert!(render("one: ${nothing}\n", &BTreeMap::new()).is_err());
    }

    proptest! {
        #[test]
        fn a_value_stays_a_value(text in any::<String>()) {
            let rendered = render("key: ${a}\n", &BTreeMap::from([("a", Value::from(text.clone()))])).unwrap();
            let read: BTreeMap<String, String> = serde_yaml::from_str(&rendered).unwrap();
            prop_assert_eq!(read, BTreeMap::from([("key".to_owned(), text)]));
        }
    }
}
