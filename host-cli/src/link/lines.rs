//! Lines over a unix socket whose other end is trusted with nothing: each bounded in length, all of them together in time.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

/// An open connection.
pub(crate) struct Lines {
    stream: BufReader<UnixStream>,
    /// Until then, everything must be over.
    pub(crate) deadline: Instant,
}

impl Lines {
    /// Connects.
    ///
    /// # Errors
    /// As connect(2).
    pub(crate) fn connect(socket: &Path, deadline: Instant) -> io::Result<Self> {
        Ok(Self { stream: BufReader::new(UnixStream::connect(socket)?), deadline })
    }

    /// Reads up to and with the byte `end`; its length may exceed `most` by one buffer.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] when it is longer, [`ErrorKind::TimedOut`] or [`ErrorKind::WouldBlock`] past the
    /// deadline, [`ErrorKind::UnexpectedEof`] when the other end has left.
    pub(crate) fn read(&mut self, end: u8, most: u64) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        // one read at a time, so that the deadline holds for all of them together
        loop {
            self.limit()?;
            let buffer = match self.stream.fill_buf() {
                Ok([]) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let found = buffer.iter().position(|byte| *byte == end);
            let count = found.map_or(buffer.len(), |at| at + 1);
            line.extend_from_slice(&buffer[..count]);
            self.stream.consume(count);
            if found.is_some() {
                return Ok(line);
            }
            if line.len() as u64 >= most {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As [`Lines::read`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.limit()?;
        self.stream.get_mut().write_all(bytes)
    }

    /// Bounds the next read or write by what is left of the time.
    fn limit(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(left))?;
        stream.set_write_timeout(Some(left))
    }
}
