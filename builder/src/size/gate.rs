//! The gate: a template that is bigger than its recipe allows is not put in place, and the build says what grew.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{FormSizes, PackageSizes, changes};
use crate::build::megabytes;
use crate::form::Form;
use crate::tarball::Level;

/// Lines of the list of what grew.
const SHOWN: usize = 15;

/// A template as it was packed.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    /// Its form.
    pub form: Form,
    /// How hard it was compressed.
    pub level: Level,
    /// Bytes.
    pub size: u64,
    /// What is in it.
    pub packages: &'a PackageSizes,
}

/// A template that is too big, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    form: Form,
    level: Level,
    size: u64,
    budget: u64,
    against: Against,
    /// What grew, or what is biggest, a line each.
    lines: Vec<String>,
}

/// What it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Against {
    /// Nothing: there is no record at this place, or not of this form.
    Nothing(PathBuf),
    /// The record at this place, where the template had this many bytes at this level.
    Record(PathBuf, Option<u64>),
}

/// Holds a template against its budget in bytes; `record` is what was recorded of its form, at this place.
///
/// # Errors
/// [`Excess`].
pub fn check(
    packed: &Packed<'_>,
    budget: u64,
    record: Option<&FormSizes>,
    place: &Path,
) -> Result<(), Excess> {
    let Packed { form, level, size, packages } = *packed;
    if size <= budget {
        return Ok(());
    }
    let place = place.to_owned();
    let lines = match record {
        Some(record) => {
            let grown = changes(&record.packages, packages).into_iter().filter(|change| change.delta() > 0);
            grown.map(|change| change.to_string()).collect()
        }
        None => {
            let line = |(name, size)| format!("{:>9.2} MB  {name}", megabytes(size));
            packages.biggest_first().into_iter().map(line).collect()
        }
    };
    let against = match record {
        Some(record) => Against::Record(place, record.compressed.get(&level).copied()),
        None => Against::Nothing(place),
    };
    Err(Excess { form, level, size, budget, against, lines })
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { form, level, size, budget, against, lines } = self;
        let over = size.saturating_sub(*budget);
        write!(
            f,
            "the template ({form}, {level}) has {:.2} MB, {:.2} MB more than its budget of {:.0} MB",
            megabytes(*size),
            megabytes(over),
            megabytes(*budget)
        )?;
        match against {
            Against::Nothing(place) => {
                let place = place.display();
                write!(f, "; nothing is recorded in {place}, so these are its biggest packages, unpacked:")?;
            }
            Against::Record(place, recorded) => {
                let place = place.display();
                if let Some(recorded) = recorded {
                    write!(f, "; in {place} it had {:.2} MB", megabytes(*recorded))?;
                }
                match lines.is_empty() {
                    true => write!(f, "; no package is bigger than in {place}")?,
                    false => write!(f, "; bigger than in {place}, unpacked:")?,
                }
            }
        }
        lines.iter().take(SHOWN).try_for_each(|line| write!(f, "\n  {line}"))?;
        match lines.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
