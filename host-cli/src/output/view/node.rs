//! What a doctor says of the node.

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::View;
use crate::platform::{Finding, Verdict};

/// `doctor`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// Platform.
    pub platform: String,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// What `--fix` did.
    pub mended: Vec<String>,
}

impl View for Diagnosis {
    fn human(&self) -> String {
        let mut text: String = self.mended.iter().map(|line| format!("mended: {line}\n")).collect();
        for finding in &self.findings {
            let mark = match finding.verdict {
                Verdict::Good => "good",
                Verdict::Limited => "limited",
                Verdict::Mendable | Verdict::Bad => "LACKING",
            };
            text.push_str(&format!("{mark:<8} {}: {}\n", finding.subject, finding.detail));
            if let Some(fix) = &finding.fix {
                text.push_str(&format!("         fix: {fix}\n"));
            }
        }
        text
    }
}
