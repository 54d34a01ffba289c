//! Operations.

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{View, table};

/// `ops list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperationList {
    /// Operations, oldest first.
    pub operations: Vec<OperationRow>,
}

/// An operation in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperationRow {
    /// Id.
    pub id: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// Verb.
    pub verb: String,
    /// Gateway.
    pub target: String,
    /// Who asked.
    pub by: String,
    /// `running`, `done`, `rolled back`, `incomplete` or `cut off`; or why the journal cannot be read.
    pub state: String,
}

impl View for OperationList {
    fn human(&self) -> String {
        if self.operations.is_empty() {
            return "no operations yet".to_owned();
        }
        table::render(
            &["OPERATION", "STARTED", "VERB", "TARGET", "STATE", "BY"],
            self.operations.iter().map(|o| {
                let started = o.started.split('.').next().unwrap_or_default().replace('T', " ");
                vec![o.id.clone(), started, o.verb.clone(), o.target.clone(), o.state.clone(), o.by.clone()]
            }),
        )
    }
}

/// `ops show`
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperationView {
    /// As in the list.
    pub operation: OperationRow,
    /// Steps.
    pub steps: Vec<StepRow>,
    /// Why it failed.
    pub cause: Option<String>,
}

/// A step of an operation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepRow {
    /// Label.
    pub label: String,
    /// In words.
    pub text: String,
    /// Where it stands.
    pub status: String,
    /// How a person takes it back.
    pub by_hand: Vec<String>,
}

impl View for OperationView {
    fn human(&self) -> String {
        let o = &self.operation;
        let mut text = format!("{}  {} {} by {}: {}\n", o.id, o.verb, o.target, o.by, o.state);
        for step in &self.steps {
            text.push_str(&format!("  {:<13} {}\n", step.status, step.text));
        }
        if let Some(cause) = &self.cause {
            text.push_str(&format!("cause: {cause}\n"));
        }
        text
    }
}
