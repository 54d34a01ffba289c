//! `--output json`: one document, the same shape for every verb.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use crate::{Category, Error};

/// What is printed when all went well.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Success<T> {
    /// True.
    pub success: bool,
    /// Data of the verb.
    pub data: T,
    /// RFC 3339.
    pub timestamp: String,
}

/// What is printed when something went wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Failure<T> {
    /// False.
    pub success: bool,
    /// What; of several results the first that failed.
    pub error: ErrorView,
    /// All results, where a verb has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<T>,
    /// RFC 3339.
    pub timestamp: String,
}

/// An error.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ErrorView {
    /// Whose move it is; decides the exit code.
    pub category: Category,
    /// Stable short code.
    pub code: String,
    /// What happened, with all causes.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Operation that it happened in.
    pub operation: Option<String>,
}

impl From<&Error> for ErrorView {
    fn from(error: &Error) -> Self {
        Self {
            category: error.category,
            code: error.code.to_owned(),
            message: error.chain(),
            hint: error.hint.clone(),
            operation: error.operation.clone(),
        }
    }
}

/// The document of a result.
pub fn success(data: &impl View, now: Timestamp) -> String {
    match data.failure() {
        None => document(&Success { success: true, data, timestamp: now.to_string() }),
        Some(error) => document(&Failure {
            success: false,
            error: error.clone(),
            data: Some(data),
            timestamp: now.to_string(),
        }),
    }
}

/// The document of an error.
pub fn failure(error: &Error, now: Timestamp) -> String {
    document(&Failure::<()> { success: false, error: error.into(), data: None, timestamp: now.to_string() })
}

fn document(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value)
        .unwrap_or_else(|error| format!("{{\"success\":false,\"error\":\"{error}\"}}"))
}
