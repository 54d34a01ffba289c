//! Writing: clusters are compressed by all processors and written in order, so that the bytes do not depend on how many there are.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use smbgw_command::Interrupt;

use super::{
    CLUSTER_BITS, COMPRESSED, COMPRESSION_TYPE_BIT, COPIED, HEADER_SIZE, MAGIC, SECTOR, VERSION, ZSTD,
    place_bits,
};
use crate::error::Error;
use crate::hash;
use crate::parallel::join_all;
use crate::sparse;
use crate::tarball::Level;

const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries in an L2 table.
const L2_ENTRIES: usize = CLUSTER as usize / 8;
/// Counts in a block of reference counts, 16 bits each.
const COUNTS: u64 = CLUSTER / 2;
/// Clusters that a thread takes at a time.
const BATCH: usize = 32;
/// Finished batches that a thread may be ahead of the writer: this bounds the memory.
const AHEAD: usize = 4;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the image.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of the disk in it.
    pub disk_sha256: String,
}

/// Writes a raw disk as an image.
///
/// # Errors
/// [`Error::Io`], [`Error::Interrupted`].
pub fn write(
    raw: &Path,
    image: &Path,
    level: Level,
    threads: usize,
    interrupt: &Interrupt,
) -> Result<Written, Error> {
    let failed = |path: &Path, error: io::Error| {
        if interrupt.is_set() { Error::Interrupted } else { Error::io("writing", path)(error) }
    };
    let disk = File::open(raw).map_err(Error::io("reading", raw))?;
    let disk_sha256 = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| hash::of_sparse_file(raw));
        write_image(&disk, image, level, threads, interrupt).map_err(|error| failed(image, error))?;
        let hashed = hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        hashed.map_err(Error::io("reading", raw))
    })?;
    let (sha256, size) = hash::of_file(image).map_err(Error::io("reading", image))?;
    Ok(Written { sha256, size, disk_sha256 })
}

/// A cluster that is not all zeros.
enum Packed {
    Compressed(Vec<u8>),
    /// It does not get smaller.
    Plain(Vec<u8>),
}

type Batch = io::Result<Vec<(u64, Packed)>>;

fn write_image(
    disk: &File,
    image: &Path,
    level: Level,
    threads: usize,
    interrupt: &Interrupt,
) -> io::Result<()> {
    let size = disk.metadata()?.len();
    let clusters = with_data(disk)?;
    let batches: Vec<&[u64]> = clusters.chunks(BATCH).collect();
    let threads = threads.max(1);
    let mut writer = Writer::create(image, size.div_ceil(CLUSTER))?;
    std::thread::scope(|scope| {
        let (receivers, packing): (Vec<Receiver<Batch>>, Vec<_>) = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel(AHEAD);
                let share = batches.iter().copied().skip(first).step_by(threads);
                (receiver, scope.spawn(move || pack(disk, size, share, level, &sender)))
            })
            .unzip();
        for number in 0..batches.len() {
            if interrupt.is_set() {
                return Err(io::Error::other("interrupted"));
            }
            // each thread's batches come in order, and the threads take turns
            let batch = receivers[number % threads].recv().map_err(io::Error::other)??;
            batch.into_iter().try_for_each(|(cluster, packed)| writer.put(cluster, packed))?;
        }
        join_all(packing);
        Ok(())
    })?;
    writer.finish(size)
}

/// Clusters that are no holes.
fn with_data(disk: &File) -> io::Result<Vec<u64>> {
    let ranges = sparse::data(disk)?.into_iter();
    let mut clusters: Vec<u64> =
        ranges.flat_map(|range| range.start / CLUSTER..range.end.div_ceil(CLUSTER)).collect();
    // the end of one stretch may be in the cluster in which the next begins
    clusters.dedup();
    Ok(clusters)
}

/// Compresses a thread's share. Ends early when nobody wants the rest.
fn pack<'a>(
    disk: &File,
    size: u64,
    share: impl Iterator<Item = &'a [u64]>,
    level: Level,
    sender: &SyncSender<Batch>,
) {
    let mut compressor = match zstd::bulk::Compressor::new(level.zstd()) {
        Ok(compressor) => compressor,
        Err(error) => return drop(sender.send(Err(error))),
    };
    let mut buffer = vec![0; CLUSTER as usize];
    for batch in share {
        let packed = batch.iter().filter_map(|cluster| {
            pack_one(disk, size, *cluster, &mut buffer, &mut compressor)
                .map(|packed| Some((*cluster, packed?)))
                .transpose()
        });
        if sender.send(packed.collect()).is_err() {
            return;
        }
    }
}

fn pack_one(
    disk: &File,
    size: u64,
    cluster: u64,
    buffer: &mut [u8],
    compressor: &mut zstd::bulk::Compressor<'_>,
) -> io::Result<Option<Packed>> {
    let at = cluster * CLUSTER;
    let there = (size - at).min(CLUSTER) as usize;
    disk.read_exact_at(&mut buffer[..there], at)?;
    buffer[there..].fill(0);
    if sparse::is_zeros(buffer) {
        return Ok(None);
    }
    let compressed = compressor.compress(buffer)?;
    Ok(Some(if compressed.len() < buffer.len() {
        Packed::Compressed(compressed)
    } else {
        Packed::Plain(buffer.to_vec())
    }))
}

/// Puts clusters one after the other behind the header's cluster, and the tables behind them.
struct Writer {
    out: BufWriter<File>,
    at: u64,
    /// Where each cluster of the disk is; all L2 tables, one after the other.
    entries: Vec<u64>,
    /// How many entries point into each cluster of the image.
    counts: Vec<u16>,
}

impl Writer {
    fn create(image: &Path, clusters: u64) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(image)?);
        out.seek(SeekFrom::Start(CLUSTER))?;
        let tables = clusters.div_ceil(L2_ENTRIES as u64) as usize;
        Ok(Self { out, at: CLUSTER, entries: vec![0; tables * L2_ENTRIES], counts: vec![1] })
    }

    fn put(&mut self, cluster: u64, packed: Packed) -> io::Result<()> {
        let entry = match packed {
            Packed::Compressed(bytes) => {
                let at = self.at;
                self.append(&bytes)?;
                let further = (self.at - 1) / SECTOR - at / SECTOR;
                COMPRESSED | further << place_bits(CLUSTER_BITS) | at
            }
            Packed::Plain(bytes) => {
                self.align()?;
                let at = self.at;
                self.append(&bytes)?;
                COPIED | at
            }
        };
        if let Some(place) = self.entries.get_mut(cluster as usize) {
            *place = entry;
        }
        Ok(())
    }

    /// Writes, and counts one more use of every cluster of the image that is touched.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let first = self.at / CLUSTER;
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        self.count(first, (self.at - 1) / CLUSTER);
        Ok(())
    }

    fn count(&mut self, first: u64, last: u64) {
        if self.counts.len() as u64 <= last {
            self.counts.resize(last as usize + 1, 0);
        }
        self.counts[first as usize..=last as usize].iter_mut().for_each(|count| *count += 1);
    }

    fn align(&mut self) -> io::Result<()> {
        let gap = self.at.next_multiple_of(CLUSTER) - self.at;
        self.at += gap;
        self.out.write_all(&vec![0; gap as usize])
    }

    /// Writes a table of numbers into clusters of its own; gives its place.
    fn table(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.at;
        if !bytes.is_empty() {
            self.append(bytes)?;
            self.align()?;
        }
        Ok(at)
    }

    fn finish(mut self, size: u64) -> io::Result<()> {
        self.align()?;
        let entries = std::mem::take(&mut self.entries);
        let mut l1 = Vec::with_capacity(entries.len() / L2_ENTRIES);
        for table in entries.chunks(L2_ENTRIES) {
            let used = table.iter().any(|entry| *entry != 0);
            l1.push(if used { self.table(&big_endian(table))? | COPIED } else { 0 });
        }
        let l1_at = self.table(&big_endian(&l1))?;
        let (table_at, table_clusters) = self.reference_counts()?;
        let header = header(size, l1.len(), l1_at, table_at, table_clusters);
        self.out.flush()?;
        self.out.get_ref().write_all_at(&header, 0)
    }

    /// The counts, in blocks, and the table of these blocks. They count themselves.
    fn reference_counts(&mut self) -> io::Result<(u64, u64)> {
        let before = self.at / CLUSTER;
        let (mut blocks, mut tables) = (0, 0);
        while (before + blocks + tables).div_ceil(COUNTS) > blocks || (blocks * 8).div_ceil(CLUSTER) > tables
        {
            blocks = (before + blocks + tables).div_ceil(COUNTS);
            tables = (blocks * 8).div_ceil(CLUSTER);
        }
        self.count(before, before + blocks + tables - 1);
        let mut counts: Vec<u8> = self.counts.iter().flat_map(|count| count.to_be_bytes()).collect();
        counts.resize((blocks * CLUSTER) as usize, 0);
        let places: Vec<u64> = (0..blocks).map(|block| self.at + block * CLUSTER).collect();
        let mut table = big_endian(&places);
        table.resize((tables * CLUSTER) as usize, 0);
        self.out.write_all(&counts)?;
        self.out.write_all(&table)?;
        Ok((self.at + blocks * CLUSTER, tables))
    }
}

fn big_endian(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn header(size: u64, l1_entries: usize, l1_at: u64, table_at: u64, table_clusters: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_SIZE + 8);
    let mut put = |bytes: &[u8]| header.extend_from_slice(bytes);
    put(&MAGIC.to_be_bytes());
    put(&VERSION.to_be_bytes());
    // no backing file
    put(&[0; 12]);
    put(&CLUSTER_BITS.to_be_bytes());
    put(&size.to_be_bytes());
    // no encryption
    put(&[0; 4]);
    put(&(l1_entries as u32).to_be_bytes());
    put(&l1_at.to_be_bytes());
    put(&table_at.to_be_bytes());
    put(&(table_clusters as u32).to_be_bytes());
    // no snapshots
    put(&[0; 12]);
    put(&COMPRESSION_TYPE_BIT.to_be_bytes());
    // no compatible or autoclear features
    put(&[0; 16]);
    // counts of 2^4 bits
    put(&4u32.to_be_bytes());
    put(&(HEADER_SIZE as u32).to_be_bytes());
    put(&[ZSTD, 0, 0, 0, 0, 0, 0, 0]);
    // the end of the header's extensions
    put(&[0; 8]);
    header
}
