//! TDB files, read only and without locks: a walk along all hash chains, bounded whatever is in the file. Layout as in tdb(3)
//! and Samba's `lib/tdb/common/tdb_private.h`.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where a file begins that has locks for its chains in front: by the header before them.
const MAGIC: &[u8] = b"TDB file\n";
/// Version of the format.
const VERSION: u32 = 0x2601_196d;
/// Length of the header: magic, 9 numbers, 25 reserved ones.
const HEADER: u64 = 168;
/// A record that is in use.
const LIVE: u32 = 0x2601_1999;
/// Length of a record's header.
const RECORD: u64 = 24;
/// More chains, records and bytes in a key than this has no file of ours.
const MAX_CHAINS: u32 = 1 << 17;
const MAX_STEPS: usize = 1 << 17;
const MAX_KEY: u32 = 256;

/// Something that can be read at any place.
pub(super) trait Source {
    /// Fills the buffer, or gives nothing.
    fn fill(&self, buffer: &mut [u8], at: u64) -> Option<()>;
}

impl Source for File {
    fn fill(&self, buffer: &mut [u8], at: u64) -> Option<()> {
        self.read_exact_at(buffer, at).ok()
    }
}

impl Source for [u8] {
    fn fill(&self, buffer: &mut [u8], at: u64) -> Option<()> {
        let start = usize::try_from(at).ok()?;
        buffer.copy_from_slice(self.get(start..start.checked_add(buffer.len())?)?);
        Some(())
    }
}

/// A record: its key, and where its value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Key.
    pub(super) key: Vec<u8>,
    /// Place of the value in the file.
    pub(super) at: u64,
    /// Its length.
    pub(super) length: u32,
}

/// All records in use. Nothing when it is no such file; and when a chain breaks off, as it can while somebody writes.
pub(super) fn records<S: Source + ?Sized>(source: &S) -> Option<Vec<Record>> {
    let mut head = [0; 68];
    source.fill(&mut head, 0)?;
    if !head.starts_with(MAGIC) || number(&head, 32)? != VERSION {
        return None;
    }
    let (chains, base) = (number(&head, 36)?, u64::from(number(&head, 64)?));
    if chains > MAX_CHAINS {
        return None;
    }
    // the first is the list of what is free
    let mut tops = vec![0; chains as usize * 4];
    source.fill(&mut tops, base + HEADER + 4)?;
    let mut found = Vec::new();
    let mut steps = 0;
    for top in tops.chunks_exact(4) {
        let mut next = number(top, 0)?;
        while next != 0 {
            steps += 1;
            if steps > MAX_STEPS {
                return None;
            }
            let (record, following) = record(source, base + u64::from(next))?;
            found.extend(record);
            next = following;
        }
    }
    Some(found)
}

/// The record at a place, if its key is not too long, and the next one's place.
fn record<S: Source + ?Sized>(source: &S, at: u64) -> Option<(Option<Record>, u32)> {
    let mut head = [0; RECORD as usize];
    source.fill(&mut head, at)?;
    let (room, key_length, length) = (number(&head, 4)?, number(&head, 8)?, number(&head, 12)?);
    if number(&head, 20)? != LIVE || key_length.checked_add(length)? > room {
        return None;
    }
    let next = number(&head, 0)?;
    if key_length > MAX_KEY {
        return Some((None, next));
    }
    let mut key = vec![0; key_length as usize];
    source.fill(&mut key, at + RECORD)?;
    Some((Some(Record { key, at: at + RECORD + u64::from(key_length), length }), next))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file with locks in front, as smbd makes it, with these records in chains of 7.
    pub(in super::super) fn file(records: &[(&[u8], &[u8])]) -> Vec<u8> {
        let base = 0x40_usize;
        let header = |mutex: u32| {
            let mut out = vec![0; HEADER as usize];
            out[..MAGIC.len()].copy_from_slice(MAGIC);
            out[32..36].copy_from_slice(&VERSION.to_le_bytes());
            out[36..40].copy_from_slice(&7_u32.to_le_bytes());
            out[64..68].copy_from_slice(&mutex.to_le_bytes());
            out
        };
        let mut out = header(base as u32);
        out.truncate(68);
        out.resize(base, 0);
        out.truncate(base);
        let first = header(base as u32);
        out[..base].copy_from_slice(&first[..base]);
        out.extend(&first);
        // lies beneath the 68 bytes that are looked at
        out[64..68].copy_from_slice(&(base as u32).to_le_bytes());
        out.extend([0; 4 * 8]);
        for (index, (key, value)) in records.iter().enumerate() {
            let top = base + HEADER as usize + 4 + 4 * (index % 7);
            let next: [u8; 4] = out[top..top + 4].try_into().unwrap();
            let place = (out.len() - base) as u32;
            out[top..top + 4].copy_from_slice(&place.to_le_bytes());
            out.extend(next);
            for number in [(key.len() + value.len()) as u32, key.len() as u32, value.len() as u32, 0, LIVE] {
                out.extend(number.to_le_bytes());
            }
            out.extend(*key);
            out.extend(*value);
        }
        out
    }

    #[test]
    fn finds_all_records() {
        let many: Vec<(Vec<u8>, Vec<u8>)> = (0..40_u8).map(|n| (vec![n; 4], vec![n; 16])).collect();
        let pairs: Vec<(&[u8], &[u8])> = many.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        let file = file(&pairs);
        let mut found = records(&file[..]).unwrap();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(found.len(), 40);
        for (record, (key, value)) in found.iter().zip(&many) {
            let mut read = vec![0; record.length as usize];
            file[..].fill(&mut read, record.at).unwrap();
            assert_eq!((&record.key, &read), (key, value));
        }
    }

    #[test]
    fn a_ring_ends() {
        let mut file = file(&[(b"key1", b"value")]);
        let at = file.len() - 9 - RECORD as usize;
        let own = ((at - 0x40) as u32).to_le_bytes();
        file[at..at + 4].copy_from_slice(&own);
        assert_eq!(records(&file[..]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = records(&bytes[..]);
        }

        #[test]
        fn any_damage_is_survived(places in proptest::collection::vec((0..1000_usize, any::<u8>()), 1..20), cut in 0..1200_usize) {
            let mut file = file(&[(b"key1", &[1; 300]), (b"key2", &[2; 300]), (b"key3", b"")]);
            for (place, byte) in places {
                if let Some(at) = file.get_mut(place) {
                    *at = byte;
                }
            }
            file.truncate(cut.max(64));
            let _ = records(&file[..]);
        }
    }
}
