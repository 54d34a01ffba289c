//! `smbprofile.tdb`, in which each smbd counts what it does: by process, a number that stands for the layout, and counters in the
//! order in which `smbstatus -P` prints their names. Samba knows more counters with each version, so the names are asked for.
//!
//! An smbd writes its counters down once a second, and when it ends. What a process that has ended did is added to its parent's
//! record, so the sum of all never drops while the parent lives.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;

use smbgw_api::v1::{Operations, Traffic};

use super::tdb::{self, Source};

/// How often a file is looked at again that somebody is writing.
const TRIES: usize = 5;
/// Of a file that is longer, the rest is not looked at.
const MAX_FILE: u64 = 16 << 20;
/// A value longer than this is none of smbd's.
const MAX_VALUE: u32 = 1 << 16;

/// System calls that read file data, and those that write it, as smbd names its counters (Samba 4.17 to 4.22).
const READS: [&str; 3] = ["syscall_pread", "syscall_asys_pread", "syscall_sendfile"];
const WRITES: [&str; 3] = ["syscall_pwrite", "syscall_asys_pwrite", "syscall_recvfile"];
/// What is counted of each.
const KINDS: [&str; 3] = ["count", "bytes", "time"];

/// Which counters are where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// What stands for it; not known before a process has written anything down.
    magic: Option<u64>,
    /// How many counters there are.
    counters: usize,
    /// Those that are summed: for reads and then writes, count, bytes and time.
    places: [Vec<usize>; 6],
}

impl Layout {
    /// Of what `smbstatus -P` prints: headings in asterisks, and `name:   number`. Nothing when file data is not counted.
    pub(super) fn learn(printed: &str) -> Option<Self> {
        let names: Vec<&str> = printed
            .lines()
            .filter(|line| !line.starts_with('*'))
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                value.trim().parse::<u64>().is_ok().then_some(name.trim())
            })
            .collect();
        let place = |name: String| names.iter().position(|known| *known == name);
        let mut places: [Vec<usize>; 6] = Default::default();
        for (side, calls) in [READS, WRITES].iter().enumerate() {
            for (kind, what) in KINDS.iter().enumerate() {
                places[side * 3 + kind] =
                    calls.iter().filter_map(|call| place(format!("{call}_{what}"))).collect();
            }
        }
        // bytes of both directions, or what is said would be half of it
        (!places[1].is_empty() && !places[4].is_empty()).then_some(Self {
            magic: None,
            counters: names.len(),
            places,
        })
    }

    /// The same, now that it is known what stands for it.
    pub(super) fn known_by(self, magic: Option<u64>) -> Self {
        Self { magic, ..self }
    }

    /// Whether that is known.
    pub(super) fn is_known(&self) -> bool {
        self.magic.is_some()
    }

    /// For [`super::tally`]: `magic counters places…`.
    pub(super) fn render(&self) -> String {
        let mut out = self.magic.map_or_else(|| "-".to_owned(), |magic| format!("{magic:x}"));
        let _ = write!(out, " {}", self.counters);
        for places in &self.places {
            let places: Vec<String> = places.iter().map(usize::to_string).collect();
            let _ = write!(out, " {}", if places.is_empty() { "-".to_owned() } else { places.join(",") });
        }
        out.push('\n');
        out
    }

    /// Reads back what [`Self::render`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let magic = match words.next()? {
            "-" => None,
            word => Some(u64::from_str_radix(word, 16).ok()?),
        };
        let counters = words.next()?.parse().ok()?;
        let mut places: [Vec<usize>; 6] = Default::default();
        for list in &mut places {
            let word = words.next()?;
            if word != "-" {
                *list = word.split(',').map(|place| place.parse().ok()).collect::<Option<_>>()?;
            }
        }
        Some(Self { magic, counters, places })
    }

    /// What a value says, if it has this layout.
    pub(super) fn traffic(&self, value: &[u8]) -> Option<Traffic> {
        if value.len() != (self.counters + 1) * 8
            || self.magic.is_some_and(|magic| Some(magic) != at(value, 0))
        {
            return None;
        }
        let sum = |places: &[usize]| {
            places.iter().try_fold(0_u64, |sum, place| Some(sum.saturating_add(at(value, place + 1)?)))
        };
        let operations = |places: &[Vec<usize>]| {
            let [count, bytes, time] = places else { return None };
            Some(Operations { count: sum(count)?, bytes: sum(bytes)?, time_us: sum(time)? })
        };
        Some(Traffic { read: operations(&self.places[..3])?, write: operations(&self.places[3..])? })
    }
}

fn at(value: &[u8], place: usize) -> Option<u64> {
    let start = place.checked_mul(8)?;
    Some(u64::from_le_bytes(value.get(start..start.checked_add(8)?)?.try_into().ok()?))
}

/// What all processes say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// By process.
    pub(super) processes: BTreeMap<u32, Traffic>,
    /// What stands for the layout, if there is a record at all.
    pub(super) magic: Option<u64>,
    /// The layout is another one.
    pub(super) foreign: bool,
}

/// Reads all records.
pub(super) fn read(file: &File, layout: &Layout) -> Option<Counts> {
    let records = (0..TRIES).find_map(|_| tdb::records(file))?;
    let mut counts = Counts::default();
    for record in records {
        let (Ok(key), true) = (<[u8; 4]>::try_from(record.key.as_slice()), record.length <= MAX_VALUE) else {
            // a later version has records of other things
            continue;
        };
        let value = settled(file, record.at, record.length)?;
        counts.magic = at(&value, 0);
        match layout.traffic(&value) {
            Some(traffic) => {
                counts.processes.insert(u32::from_le_bytes(key), traffic);
            }
            None => counts.foreign = true,
        }
    }
    Some(counts)
}

/// What one process has written down, as it lies there: nothing inside while it has written nothing.
pub(super) fn of(file: &File, pid: u32) -> Option<Option<Vec<u8>>> {
    let records = (0..TRIES).find_map(|_| tdb::records(file))?;
    let Some(record) = records.iter().find(|record| record.key == pid.to_le_bytes()) else {
        return Some(None);
    };
    if record.length > MAX_VALUE {
        return None;
    }
    Some(Some(settled(file, record.at, record.length)?))
}

/// What a process wrote down whose record was just removed: its bytes lie there until something is put in their place. Nothing
/// when that has happened, or when there is more than one such place.
pub(super) fn remains(file: &File, layout: &Layout, pid: u32) -> Option<Vec<u8>> {
    let records = (0..TRIES).find_map(|_| tdb::records(file))?;
    let magic = match layout.magic {
        Some(magic) => magic.to_le_bytes(),
        None => {
            let mut magic = [0; 8];
            file.fill(&mut magic, records.first()?.at)?;
            magic
        }
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    let mark: Vec<u8> = pid.to_le_bytes().into_iter().chain(magic).collect();
    let length = (layout.counters + 1) * 8;
    let unused = |start: usize| {
        let (start, end) = (start as u64, (start + 4 + length) as u64);
        records.iter().all(|record| {
            let begin = record.at.saturating_sub(record.key.len() as u64);
            end <= begin || record.at + u64::from(record.length) <= start
        })
    };
    let mut found = bytes
        .windows(mark.len())
        .enumerate()
        // records begin at multiples of four
        .filter(|(at, window)| at % 4 == 0 && *window == mark.as_slice() && unused(*at))
        .map(|(at, _)| at);
    let (at, None) = (found.next()?, found.next()) else { return None };
    Some(bytes.get(at + 4..at + 4 + length)?.to_vec())
}

/// A value that nobody was just writing.
fn settled<S: Source + ?Sized>(source: &S, place: u64, length: u32) -> Option<Vec<u8>> {
    let (mut one, mut two) = (vec![0; length as usize], vec![0; length as usize]);
    for _ in 0..TRIES {
        source.fill(&mut one, place)?;
        source.fill(&mut two, place)?;
        if one == two {
            return Some(one);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tdb::tests::file;
    use super::*;
    use std::io::Write as _;

    const PRINTED: &str = "**** SMBD loop ****\nconnect_count:  0\n**** System Calls ****\nsyscall_pread_count:   1\n\
        syscall_pread_time: 0\nsyscall_pread_idle: 0\nsyscall_pread_bytes:  0\nsyscall_asys_pwrite_count: 0\n\
        syscall_asys_pwrite_bytes: 0\n";

    fn value(magic: u64, counters: &[u64]) -> Vec<u8> {
        std::iter::once(&magic).chain(counters).flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn learns_and_reads() {
        let layout = Layout::learn(PRINTED).unwrap();
        assert_eq!(Layout::parse(&layout.render()), Some(layout.clone()));
        let known = Layout { magic: Some(7), ..layout.clone() };
        assert_eq!(Layout::parse(&known.render()), Some(known.clone()));
        let (one, two) = (value(7, &[9, 1, 2, 3, 4, 5, 6]), value(8, &[0; 7]));
        let mut on_disk = tempfile::tempfile().unwrap();
        on_disk
            .write_all(&file(&[(&[1, 0, 0, 0], &one), (&[2, 0, 0, 0], &two), (b"a share", &one)]))
            .unwrap();
        let expected = Traffic {
            read: Operations { count: 1, bytes: 4, time_us: 2 },
            write: Operations { count: 5, bytes: 6, time_us: 0 },
        };
        let counts = read(&on_disk, &known).unwrap();
        assert_eq!(counts.processes, BTreeMap::from([(1, expected)]));
        assert!(counts.foreign);
        assert_eq!(of(&on_disk, 1), Some(Some(one)));
        assert_eq!(of(&on_disk, 3), Some(None));
        // one that is there is no remains
        assert_eq!(remains(&on_disk, &known, 1), None);
        assert_eq!(read(&on_disk, &layout).unwrap().processes.len(), 2);
    }

    #[test]
    fn remains_of_a_record() {
        let layout = Layout::learn(PRINTED).unwrap().known_by(Some(7));
        let (one, two) = (value(7, &[9, 1, 2, 3, 4, 5, 6]), value(7, &[0; 7]));
        let mut bytes = file(&[(&[2, 0, 0, 0], &two)]);
        bytes.extend([0; 24]);
        bytes.extend([1, 0, 0, 0]);
        bytes.extend(&one);
        let on_disk = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            std::io::Seek::rewind(&mut file).unwrap();
            file
        };
        assert_eq!(remains(&on_disk(&bytes), &layout, 1), Some(one.clone()));
        assert_eq!(remains(&on_disk(&bytes), &layout.clone().known_by(None), 1), Some(one.clone()));
        assert_eq!(remains(&on_disk(&bytes), &layout, 3), None);
        bytes.extend([1, 0, 0, 0]);
        bytes.extend(&one);
        assert_eq!(remains(&on_disk(&bytes), &layout, 1), None, "which of them?");
        bytes.truncate(bytes.len() - 90);
        assert_eq!(remains(&on_disk(&bytes), &layout, 1), None, "a part");
    }

    #[test]
    fn what_counts_no_data_is_no_layout() {
        assert_eq!(Layout::learn(""), None);
        assert_eq!(Layout::learn("connect_count: 1\nsyscall_pread_bytes: 1\n"), None);
        assert_eq!(Layout::parse("x 1 - - - - - -"), None);
        assert_eq!(Layout::parse("- 1 - - -"), None);
    }
}
