//! Reading: enough of the format for what the writer makes, and nothing that depends on other files.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use mkext4::reader::ReadAt;

use super::{
    COMPRESSED, COMPRESSION_TYPE_BIT, HEADER_SIZE, MAGIC, OFFSET, SECTOR, VERSION, ZERO, ZSTD, place_bits,
};

/// More than any template: bounds what a damaged header makes us allocate.
const LARGEST: u64 = 1 << 40;

/// An image that is read.
pub struct Image {
    file: File,
    size: u64,
    cluster_bits: u32,
    /// Where each cluster of the disk is.
    entries: Vec<u64>,
    /// The cluster that was read last: reads come in order, and smaller than a cluster.
    last: Mutex<Option<(u64, Vec<u8>)>>,
}

impl Image {
    /// Opens an image.
    ///
    /// # Errors
    /// Those of reading, and [`io::ErrorKind::InvalidData`] when it is damaged or uses what the writer does not.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
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
        let clusters = size.div_ceil(1 << cluster_bits);
        let per_table = 1u64 << (cluster_bits - 3);
        if l1_entries < clusters.div_ceil(per_table) {
            return Err(damaged("its table is shorter than the disk"));
        }
        let mut entries = Vec::with_capacity(clusters as usize);
        for table in 0..clusters.div_ceil(per_table) {
            let mut number = [0; 8];
            let at = l1_at.checked_add(table * 8).ok_or_else(|| damaged("its table is damaged"))?;
            file.read_exact_at(at, &mut number)?;
            let wanted = per_table.min(clusters - table * per_table);
            match u64::from_be_bytes(number) & OFFSET {
                0 => entries.resize(entries.len() + wanted as usize, 0),
                at => {
                    let mut bytes = vec![0; wanted as usize * 8];
                    file.read_exact_at(at, &mut bytes)?;
                    let numbers =
                        bytes.chunks(8).map(|bytes| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
                    entries.extend(numbers);
                }
            }
        }
        Ok(Self { file, size, cluster_bits, entries, last: Mutex::new(None) })
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The whole disk, from its first byte.
    pub fn reader(&self) -> impl io::Read + '_ {
        Sequential { image: self, at: 0 }
    }

    fn cluster(&self, number: u64) -> io::Result<Vec<u8>> {
        let size = 1usize << self.cluster_bits;
        let entry = self.entries.get(number as usize).copied().ok_or(io::ErrorKind::UnexpectedEof)?;
        if entry & COMPRESSED != 0 {
            let bits = place_bits(self.cluster_bits);
            let at = entry & ((1 << bits) - 1);
            let sectors = (entry & !COMPRESSED) >> bits & ((1 << (62 - bits)) - 1);
            // the length is only known in sectors: what follows the cluster in the last one does not matter
            let mut packed = vec![0; ((sectors + 1) * SECTOR - at % SECTOR) as usize];
            self.file.read_exact_at(at, &mut packed)?;
            let mut cluster = vec![0; size];
            let mut decoder = zstd::Decoder::with_buffer(packed.as_slice())?.single_frame();
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

impl ReadAt for Image {
    fn read_exact_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        if at.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // a poisoned lock only means that a reader panicked: what is kept is whole
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let number = at >> self.cluster_bits;
            let cluster = match last.take() {
                Some((kept, bytes)) if kept == number => bytes,
                _ => self.cluster(number)?,
            };
            let from = (at - (number << self.cluster_bits)) as usize;
            let count = rest.len().min(cluster.len() - from);
            let (head, tail) = rest.split_at_mut(count);
            head.copy_from_slice(&cluster[from..from + count]);
            *last = Some((number, cluster));
            (at, rest) = (at + count as u64, tail);
        }
        Ok(())
    }
}

struct Sequential<'a> {
    image: &'a Image,
    at: u64,
}

impl io::Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.image.size - self.at).min(buffer.len() as u64) as usize;
        self.image.read_exact_at(self.at, &mut buffer[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
