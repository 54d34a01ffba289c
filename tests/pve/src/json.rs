//! JSON as Perl's JSON module prints it: keys sorted, and pretty with three blanks and ` : `.

use serde_json::Value;

/// On one line.
pub fn compact(value: &Value) -> String {
    value.to_string()
}

/// On many lines.
pub fn pretty(value: &Value) -> String {
    let mut text = String::new();
    put(&mut text, value, 0);
    text
}

fn put(text: &mut String, value: &Value, depth: usize) {
    let pad = |depth: usize| "   ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push_str("{\n");
            for (index, (key, value)) in fields.iter().enumerate() {
                text.push_str(&format!("{}{} : ", pad(depth + 1), Value::from(key.as_str())));
                put(text, value, depth + 1);
                text.push_str(if index + 1 < fields.len() { ",\n" } else { "\n" });
            }
            text.push_str(&format!("{}}}", pad(depth)));
        }
        Value::Array(items) if !items.is_empty() => {
            text.push_str("[\n");
            for (index, value) in items.iter().enumerate() {
                text.push_str(&pad(depth + 1));
                put(text, value, depth + 1);
                text.push_str(if index + 1 < items.len() { ",\n" } else { "\n" });
            }
            text.push_str(&format!("{}]", pad(depth)));
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_perl_prints_it() {
        let value = serde_json::json!({ "exited": 1, "exitcode": 0, "list": [1, "a"], "none": [] });
        assert_eq!(
            super::pretty(&value),
            "{\n   \"exitcode\" : 0,\n   \"exited\" : 1,\n   \"list\" : [\n      1,\n      \"a\"\n   ],\n   \"none\" : []\n}"
        );
    }
}
