//! `key`: makes keys that sign templates.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Answer;
use crate::error::Error;
use crate::sign::KeyFile;

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    /// Make a secret key FILE and its public key FILE.pub, in minisign's format
    New(NewArgs),
}

#[derive(Debug, Args)]
struct NewArgs {
    /// Where to write the secret key; nothing is ever overwritten
    file: PathBuf,
    /// Encrypt it with the password in this file's only line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl KeyArgs {
    pub(super) fn json(&self) -> bool {
        let KeyVerb::New(args) = &self.verb;
        args.json
    }

    pub(super) fn run(&self) -> Result<Answer, Error> {
        let KeyVerb::New(args) = &self.verb;
        let made = KeyFile { key: args.file.clone(), password: args.password_file.clone() }.create()?;
        let (id, public) = (made.public.id().to_string(), made.public.to_base64());
        let encrypted = if args.password_file.is_some() { "encrypted" } else { "not encrypted: guard it" };
        let text = format!(
            "{}\n  secret key {id} ({encrypted})\n{}\n  public key {public}",
            args.file.display(),
            made.public_file.display()
        );
        let data = json!({"secret_key": args.file, "public_key": made.public_file, "key_id": id, "public_key_text": public});
        Ok(Answer::new(&data, text))
    }
}
