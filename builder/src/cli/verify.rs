//! `verify`: every file of a template against its manifest, and the signatures of those who built it.

use std::path::PathBuf;

use clap::Args;

use super::Answer;
use crate::error::Error;
use crate::sign::PublicKey;
use crate::verify::{self, Vouched};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The .tar.zst or .qcow2, with its manifest beside it
    template: PathBuf,
    /// Public key that must have signed manifest and SHA256SUMS: the path of FILE.pub, or the key itself in base64
    #[arg(long, value_name = "PUB")]
    key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl VerifyArgs {
    pub(super) fn run(&self) -> Result<Answer, Error> {
        let key = self.key.as_deref().map(PublicKey::load).transpose()?;
        let found = verify::verify(&self.template, key.as_ref())?;
        let listed = if found.listed {
            "its manifest and SHA256SUMS"
        } else {
            "its manifest (no SHA256SUMS lists it)"
        };
        let mut text = format!("{}: {} paths are as {listed} say", self.template.display(), found.paths);
        text.push_str(&match &found.signature {
            Vouched::Verified { key_id, comment } => format!("\n  signed with key {key_id}: {comment}"),
            Vouched::NotChecked { key_id: Some(id) } => {
                format!(
                    "\n  signatures were not checked (of key {id}, they say): name the public key by --key"
                )
            }
            Vouched::NotChecked { key_id: None } => {
                "\n  signatures were not checked, and cannot be read: name the public key by --key".to_owned()
            }
            Vouched::NotSigned => String::new(),
        });
        Ok(Answer::new(&found, text))
    }
}
