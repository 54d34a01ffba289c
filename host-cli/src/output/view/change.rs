//! What changing verbs would do, and did.

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::envelope::ErrorView;
use crate::output::{View, table};

/// What a changing verb came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changed {
    /// Gateway or template.
    pub name: String,
    /// `created`, `changed`, `unchanged`, `deleted`, `absent` and the like.
    pub action: String,
    /// Operation; none when there was nothing to do.
    pub operation: Option<String>,
    /// Time it took, in milliseconds.
    pub took_ms: u64,
    /// Address of a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl View for Changed {
    fn human(&self) -> String {
        let mut text = format!("{} {}", self.name, self.action);
        if let Some(address) = &self.address {
            text.push_str(&format!(" at {address}"));
        }
        if self.operation.is_some() {
            text.push_str(&format!(" in {:.2} s", self.took_ms as f64 / 1000.0));
        }
        for note in &self.notes {
            text.push_str(&format!("\n  {note}"));
        }
        text
    }
}

/// What a dry run shows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryPlan {
    /// Verb.
    pub verb: String,
    /// Gateway.
    pub target: String,
    /// Steps that would run; none when all is as wanted.
    pub steps: Vec<DryStep>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A step of a dry run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DryStep {
    /// Stable name, as in the journal.
    pub label: String,
    /// In words.
    pub text: String,
    /// There is no way back from here on.
    pub commits: bool,
}

impl View for DryPlan {
    fn human(&self) -> String {
        if self.steps.is_empty() {
            return format!("{} {}: nothing to do", self.verb, self.target);
        }
        let mut text = format!("{} {} would\n{}", self.verb, self.target, numbered(&self.steps));
        for note in &self.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        text.push_str("nothing was changed");
        text
    }
}

/// Steps with their numbers, one line each.
fn numbered(steps: &[DryStep]) -> String {
    let back = |step: &DryStep| if step.commits { " (no way back from here)" } else { "" };
    steps
        .iter()
        .enumerate()
        .map(|(index, step)| format!("  {:>2}. {}{}\n", index + 1, step.text, back(step)))
        .collect()
}

/// What several came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Results {
    /// Of each gateway, in the order of the manifest.
    pub results: Vec<ResultRow>,
    /// Whether anything was changed.
    pub changed: bool,
}

/// What one came to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ResultRow {
    /// Gateway.
    pub name: String,
    /// `created`, `changed`, `unchanged`, `deleted`, `absent`, `started`, `stopped`, `failed`, or `would …`.
    pub action: String,
    /// Time it took, in milliseconds.
    pub took_ms: u64,
    /// Why it failed.
    pub error: Option<ErrorView>,
    /// Steps that would run, of a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<DryStep>,
}

impl ResultRow {
    /// Something that was done, or was so already.
    pub fn done(name: impl Into<String>, action: impl Into<String>, took_ms: u64) -> Self {
        Self { name: name.into(), action: action.into(), took_ms, error: None, steps: Vec::new() }
    }

    /// Something that failed.
    pub fn failed(name: impl Into<String>, error: &crate::Error) -> Self {
        Self { error: Some(error.into()), ..Self::done(name, "failed", 0) }
    }
}

impl View for Results {
    fn failure(&self) -> Option<&ErrorView> {
        self.results.iter().find_map(|row| row.error.as_ref())
    }

    fn human(&self) -> String {
        let mut text = self.table();
        for row in self.results.iter().filter(|row| !row.steps.is_empty()) {
            text.push_str(&format!("\n{}\n{}", row.name, numbered(&row.steps).trim_end()));
        }
        if !self.changed && self.results.iter().all(|r| r.error.is_none()) {
            text.push_str("\nnothing was changed");
        }
        text
    }

    fn table(&self) -> String {
        table::render(
            &["NAME", "RESULT", "TIME", "ERROR"],
            self.results.iter().map(|r| {
                let time = if r.took_ms == 0 {
                    String::new()
                } else {
                    format!("{:.2} s", r.took_ms as f64 / 1000.0)
                };
                let error = r.error.as_ref().map(|e| e.message.clone()).unwrap_or_default();
                vec![r.name.clone(), r.action.clone(), time, error]
            }),
        )
    }
}
