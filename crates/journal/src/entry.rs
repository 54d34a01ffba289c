//! What a journal file holds: a header line, then one line an event.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Name of an operation: a ULID, so that names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(String);

impl OperationId {
    /// The id of an operation that begins now; the caller brings the randomness (only its low 80 bits count).
    pub fn new(now: Timestamp, random: u128) -> Self {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
        Self(ulid::Ulid::from_parts(millis, random).to_string())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for OperationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for OperationId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::str::FromStr for OperationId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match ulid::Ulid::from_string(text) {
            Ok(id) => Ok(Self(id.to_string())),
            Err(_) => Err(format!(
                "operation id {text:?}: must be 26 letters and digits, as `ops list` prints them"
            )),
        }
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.0
    }
}

/// First line of a journal file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Format of the file: 1.
    pub version: u32,
    /// Name of the operation, and of the file.
    pub operation: OperationId,
    /// What the person asked for, as `create`.
    pub verb: String,
    /// What it is about, as the gateway's name.
    pub target: String,
    /// Who asked.
    pub by: String,
    /// When it began.
    pub started: Timestamp,
    /// The steps, in order, as the program that runs them wrote them.
    pub plan: Vec<serde_json::Value>,
    /// Label and description of each step, so that people and other versions can read them.
    pub steps: Vec<StepText>,
}

/// A step in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepText {
    /// [`crate::Step::label`]
    pub label: String,
    /// [`crate::Step::describe`]
    pub text: String,
    /// [`crate::Step::by_hand`]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
}

/// Any line after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// Something happened to a step.
    Step {
        /// Its index in the plan.
        step: usize,
        /// What happened.
        #[serde(flatten)]
        event: Event,
        /// When.
        at: Timestamp,
    },
    /// The operation is over.
    Finished {
        /// How it ended.
        finished: OperationResult,
        /// When.
        at: Timestamp,
    },
}

/// What happened to a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Written before it acts.
    Started,
    /// It succeeded.
    Done,
    /// It failed.
    Failed {
        /// Why, with all causes.
        error: String,
    },
    /// Written before its undo acts.
    UndoStarted,
    /// It is taken back.
    Undone,
    /// Its undo failed.
    UndoFailed {
        /// Why, with all causes.
        error: String,
    },
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationResult {
    /// All steps succeeded.
    Done,
    /// A step failed, all is as before.
    RolledBack,
    /// Some undo failed, or a step past the point of no return did: hand work or `ops recover` is needed.
    Incomplete,
}

impl std::fmt::Display for OperationResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Done => "done",
            Self::RolledBack => "rolled back",
            Self::Incomplete => "incomplete",
        })
    }
}
