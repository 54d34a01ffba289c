//! What happens to the files of a share: the same options for `create`, `share add` and `share set`.

use clap::Args;
use smbgw_api::{ByteSize, Days, Grace, Handling, Invalid, Purpose, RawOption, Recycle};

use crate::{Error, Result};

/// Options of a share's files; what is not given stays as it is.
#[derive(Debug, Default, Args)]
pub struct HandlingArgs {
    /// What it is for: default, macos, timemachine, archive or scratch
    #[arg(long, value_name = "PURPOSE")]
    pub purpose: Option<Purpose>,
    /// What Time Machine may use, as 500G [default: the quota]
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<ByteSize>,
    /// How long what is new in an archive can be changed, as 5m [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub grace: Option<Grace>,
    /// Keep what clients delete for so many days, in .recycle/USER; or none
    #[arg(long, value_name = "DAYS", value_parser = parse_recycle)]
    pub recycle: Option<Bin>,
    /// Larger files are deleted at once, as 2G
    #[arg(long, value_name = "SIZE")]
    pub recycle_max_size: Option<ByteSize>,
    /// Do not list what a user may not read
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub hide_unreadable: Option<bool>,
    /// Refuse clients that do not encrypt
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub encrypt: Option<bool>,
    /// Log file operations
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub audit: Option<bool>,
    /// Option of smb.conf as it is, as 'strict sync = no'; may be given several
    /// times
    #[arg(long = "raw-option", value_name = "LINE")]
    pub raw_options: Vec<RawOption>,
    /// Yes, raw options, which nobody has tested
    #[arg(long)]
    pub allow_raw_options: bool,
}

/// A recycle bin, or none.
#[derive(Debug, Clone, Copy)]
pub struct Bin(pub Option<Days>);

fn parse_recycle(text: &str) -> std::result::Result<Bin, Invalid> {
    if text == "none" {
        return Ok(Bin(None));
    }
    // what is no number is no number of days either
    Days::try_from(text.parse().unwrap_or(0)).map(|days| Bin(Some(days)))
}

impl HandlingArgs {
    /// Changes what is given. What belongs to a purpose goes with it.
    ///
    /// # Errors
    /// Codes `raw-options-consent` and `no-recycle-bin`.
    pub fn change(&self, handling: &mut Handling) -> Result<()> {
        if let Some(purpose) = self.purpose {
            if purpose != Purpose::Timemachine {
                handling.max_size = None;
            }
            if purpose != Purpose::Archive {
                handling.grace = None;
            }
            handling.purpose = purpose;
        }
        handling.max_size = self.max_size.or(handling.max_size);
        handling.grace = self.grace.or(handling.grace);
        match self.recycle {
            Some(Bin(None)) => handling.recycle = None,
            Some(Bin(Some(days))) => {
                let max_size = handling.recycle.and_then(|bin| bin.max_size);
                handling.recycle = Some(Recycle { days, max_size });
            }
            None => {}
        }
        match (&mut handling.recycle, self.recycle_max_size) {
            (_, None) => {}
            (Some(bin), max_size) => bin.max_size = max_size,
            (None, Some(_)) => {
                return Err(Error::usage("no-recycle-bin", "the share has no recycle bin")
                    .hint("say how long it keeps files: --recycle 30"));
            }
        }
        handling.hide_unreadable = self.hide_unreadable.unwrap_or(handling.hide_unreadable);
        handling.encrypt = self.encrypt.unwrap_or(handling.encrypt);
        handling.audit = self.audit.unwrap_or(handling.audit);
        if !self.raw_options.is_empty() {
            if !self.allow_raw_options {
                return Err(Error::usage(
                    "raw-options-consent",
                    "raw options go to smb.conf as they are, and nobody has tested them",
                )
                .hint("if that is what you want, add --allow-raw-options"));
            }
            handling.raw_options.clone_from(&self.raw_options);
        }
        Ok(())
    }

    /// That of a new share.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub fn new_share(&self) -> Result<Handling> {
        let mut handling = Handling::default();
        self.change(&mut handling)?;
        Ok(handling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_purpose_goes_with_it() {
        let mut handling = Handling::default();
        let set = |handling: &mut Handling, args: HandlingArgs| args.change(handling).unwrap();
        let archive = HandlingArgs {
            purpose: Some(Purpose::Archive),
            grace: Some(Grace::DEFAULT),
            audit: Some(true),
            ..HandlingArgs::default()
        };
        set(&mut handling, archive);
        set(&mut handling, HandlingArgs { purpose: Some(Purpose::Macos), ..HandlingArgs::default() });
        assert_eq!(handling, Handling { purpose: Purpose::Macos, audit: true, ..Handling::default() });
        let recycle = parse_recycle("30").unwrap();
        set(&mut handling, HandlingArgs { recycle: Some(recycle), ..HandlingArgs::default() });
        assert_eq!(handling.recycle.unwrap().days.number(), 30);
        set(&mut handling, HandlingArgs { recycle: Some(Bin(None)), ..HandlingArgs::default() });
        assert_eq!(handling.recycle, None);
    }

    #[test]
    fn raw_options_need_consent() {
        let raw_options = vec![RawOption::parse("strict sync = no").unwrap()];
        let args = HandlingArgs { raw_options, ..HandlingArgs::default() };
        assert_eq!(args.new_share().unwrap_err().code, "raw-options-consent");
        assert!(HandlingArgs { allow_raw_options: true, ..args }.new_share().is_ok());
        for bad in ["", "0", "-1", "3651", "many"] {
            assert!(parse_recycle(bad).is_err(), "{bad}");
        }
    }
}
