//! Templates.

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{View, table};
use crate::platform::Template;

/// `template list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct TemplateList {
    /// Templates, each name's newest first.
    pub templates: Vec<Template>,
}

impl View for TemplateList {
    fn human(&self) -> String {
        if self.templates.is_empty() {
            return "no templates yet: pve-smbgateway template build debian-13".to_owned();
        }
        self.table()
    }

    fn table(&self) -> String {
        table::render(
            &["TEMPLATE", "MODE", "SAMBA", "STORAGE", "GATEWAYS", "SHA-256"],
            self.templates.iter().map(|t| {
                let sha = t.sha256.chars().take(12).collect();
                vec![
                    t.name.clone(),
                    t.form.to_string(),
                    t.samba.clone(),
                    t.storage.clone().unwrap_or_else(|| "-".to_owned()),
                    t.used_by.len().to_string(),
                    sha,
                ]
            }),
        )
    }
}

/// `template verify`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verified {
    /// Exact name.
    pub name: String,
    /// Differences from the manifest; none when all is as it was built.
    pub differences: Vec<String>,
}

impl View for Verified {
    fn human(&self) -> String {
        if self.differences.is_empty() {
            format!("{}: every file is as it was built", self.name)
        } else {
            format!("{}: {} differences\n{}", self.name, self.differences.len(), self.differences.join("\n"))
        }
    }
}
