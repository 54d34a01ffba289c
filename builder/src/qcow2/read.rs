//! Reading: enough of the format for what the writer makes, and nothing that depends on other files.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use mkext4::reader::ReadAt;

use super::{
    COMPRESSED, COMPRESSION_TYPE_BIT, HEADER_SIZE, MAGIC, OFFSET, SECTOR, VERSION, ZERO, ZSTD, place_bits,
};

/// More than any template.
const LARGEST: u64 = 1 << 40;
/// Of zstd's windows, as a power of two: one cluster fits, and a damaged frame gets no more memory.
const WINDOW_BITS: u32 = 23;

/// An image that is read. Memory is as for the file's own tables, whatever size it claims.
pub struct Image<D = File> {
    file: D,
    size: u64,
    cluster_bits: u32,
    /// Where each L2 table is; 0 where all of its clusters are zeros.
    tables: Vec<u64>,
    /// What was read last: reads come in order, and smaller than a cluster.
    last: Mutex<Last>,
}

/// The table and the cluster that were read last, with their numbers.
#[derive(Default)]
struct Last {
    table: Option<(u64, Vec<u64>)>,
    cluster: Option<(u64, Vec<u8>)>,
}

impl Image {
    /// Opens an image.
    ///
    /// # Errors
    /// Those of reading, and [`io::ErrorKind::InvalidData`] when it is damaged or uses what the writer does not.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::open(path)?)
    }
}

impl<D: ReadAt> Image<D> {
    /// An image that is open already.
    ///
    /// # Errors
    /// As of [`Image::open`].
    pub fn new(file: D) -> io::Result<Self> {
        let mut header = [0; HEADER_SIZE];
        file.read_exact_at(0, &mut header)?;
        let half = |at: usize| u32::from_be_bytes(std::array::from_fn(|offset| header[at + offset]));
        let full = |at: usize| u64::from_be_bytes(std::array::from_fn(|offset| header[at + offset]));
        if half(0) != MAGIC {
            return Err(damaged("it is not a qcow2 image"));
        }
        let plain = half(4) == VERSION && full(8) == 0 && half(32) == 0 && half(60) == 0;
        if !plain || full(72) != COMPRESSION_TYPE_BIT || header[104] != ZSTD {
            return Err(damaged("it is a qcow2 image of another kind than templates are"));
        }
        let (cluster_bits, size, l1_entries, l1_at) = (half(20), full(24), u64::from(half(36)), full(40));
        if !(9..=21).contains(&cluster_bits) || size > LARGEST {
            return Err(damaged("its header is damaged"));
        }
        let tables = size.div_ceil(1 << cluster_bits).div_ceil(per_table(cluster_bits));
        if l1_entries < tables {
            return Err(damaged("its table is shorter than the disk"));
        }
        let mut image = Self { file, size, cluster_bits, tables: vec![], last: Mutex::default() };
        // piece by piece: memory follows what is in the file, not what its header claims
        while (image.tables.len() as u64) < tables {
            let done = image.tables.len() as u64;
            let at = l1_at.checked_add(done * 8).ok_or_else(|| damaged("its table is damaged"))?;
            let piece = image.numbers(at, (tables - done).min(512))?;
            image.tables.extend(piece.into_iter().map(|entry| entry & OFFSET));
        }
        Ok(image)
    }

    fn numbers(&self, at: u64, count: u64) -> io::Result<Vec<u64>> {
        let mut bytes = vec![0; count as usize * 8];
        self.file.read_exact_at(at, &mut bytes)?;
        Ok(bytes.chunks(8).map(|bytes| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))).collect())
    }

    /// Where a cluster of the disk is.
    fn entry(&self, cluster: u64, last: &mut Option<(u64, Vec<u64>)>) -> io::Result<u64> {
        let per_table = per_table(self.cluster_bits);
        let (number, place) = (cluster / per_table, (cluster % per_table) as usize);
        let table = match last.take() {
            Some((kept, table)) if kept == number => table,
            _ => match self.tables.get(number as usize).copied().ok_or(io::ErrorKind::UnexpectedEof)? {
                0 => return Ok(0),
                at => self.numbers(at, per_table)?,
            },
        };
        let entry = table.get(place).copied().unwrap_or(0);
        *last = Some((number, table));
        Ok(entry)
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The whole disk, from its first byte.
    pub fn reader(&self) -> impl io::Read + '_ {
        Sequential { image: self, at: 0 }
    }

    fn cluster(&self, entry: u64) -> io::Result<Vec<u8>> {
        let size = 1usize << self.cluster_bits;
        if entry & COMPRESSED != 0 {
            let bits = place_bits(self.cluster_bits);
            let at = entry & ((1 << bits) - 1);
            let sectors = (entry & !COMPRESSED) >> bits & ((1 << (62 - bits)) - 1);
            // the length is only known in sectors: what follows the cluster in the last one does not matter
            let mut packed = vec![0; ((sectors + 1) * SECTOR - at % SECTOR) as usize];
            self.file.read_exact_at(at, &mut packed)?;
            let mut cluster = vec![0; size];
            let mut decoder = zstd::Decoder::with_buffer(packed.as_slice())?.single_frame();
            decoder.window_log_max(WINDOW_BITS)?;
            io::Read::read_exact(&mut decoder, &mut cluster)?;
            return Ok(cluster);
        }
        let mut cluster = vec![0; size];
        if entry & OFFSET != 0 && entry & ZERO == 0 {
            self.file.read_exact_at(entry & OFFSET, &mut cluster)?;
        }
        Ok(cluster)
    }
}

impl<D: ReadAt> ReadAt for Image<D> {
    fn read_exact_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        if at.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // a poisoned lock only means that a reader panicked: what is kept is whole
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let number = at >> self.cluster_bits;
            let cluster = match last.cluster.take() {
                Some((kept, bytes)) if kept == number => bytes,
                _ => self.cluster(self.entry(number, &mut last.table)?)?,
            };
            let from = (at - (number << self.cluster_bits)) as usize;
            let count = rest.len().min(cluster.len() - from);
            let (head, tail) = rest.split_at_mut(count);
            head.copy_from_slice(&cluster[from..from + count]);
            last.cluster = Some((number, cluster));
            (at, rest) = (at + count as u64, tail);
        }
        Ok(())
    }
}

struct Sequential<'a, D> {
    image: &'a Image<D>,
    at: u64,
}

impl<D: ReadAt> io::Read for Sequential<'_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.image.size - self.at).min(buffer.len() as u64) as usize;
        self.image.read_exact_at(self.at, &mut buffer[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Entries in an L2 table, which is one cluster.
fn per_table(cluster_bits: u32) -> u64 {
    1 << (cluster_bits - 3)
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
