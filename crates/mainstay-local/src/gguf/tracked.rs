//! A file that knows its position without asking the system: candle asks for it at every string of a header, and a
//! vocabulary has a hundred thousand.

use std::io::{Read, Seek, SeekFrom};

/// A file and its position.
pub(super) struct Tracked<F> {
    file: F,
    position: u64,
}

impl<F> Tracked<F> {
    /// Wraps a file at its start.
    pub(super) fn new(file: F) -> Self {
        Self { file, position: 0 }
    }
}

impl<F: Read> Read for Tracked<F> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(bytes)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<F: Seek> Seek for Tracked<F> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.position = self.file.seek(to)?;
        Ok(self.position)
    }

    fn stream_position(&mut self) -> std::io::Result<u64> {
        Ok(self.position)
    }
}
