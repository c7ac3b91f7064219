//! The mark: a small file beside the log that holds the last acknowledged LSN.
//!
//! It is written (not synced) before each acknowledgement, so after a crash of the process it tells a damaged last
//! batch from one that was never acknowledged. Two slots, each with a checksum, are written in turn: a torn slot
//! leaves the other. A lost or lagging mark costs detection, never records.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Lsn;
use super::record::{u32_at, u64_at};
use crate::medium::Medium;

const SLOT_STRIDE: u64 = 4096;
const SLOT_BYTES: usize = 20;

/// The mark, open for writing.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    path: PathBuf,
    journal: u64,
    turn: u64,
}

impl Mark {
    /// Opens or makes the mark of `journal` and writes `lsn` to both slots, synced.
    pub(crate) fn open(medium: &dyn Medium, path: &Path, journal: u64, lsn: Lsn) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut mark = Self { file, path: path.to_owned(), journal, turn: 0 };
        mark.write(medium, lsn)?;
        mark.write(medium, lsn)?;
        mark.sync(medium)?;
        Ok(mark)
    }

    /// Notes that everything up to `lsn` is durable.
    pub(crate) fn write(&mut self, medium: &dyn Medium, lsn: Lsn) -> io::Result<()> {
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&self.journal.to_le_bytes());
        slot[8..16].copy_from_slice(&lsn.to_le_bytes());
        let crc = crc32c::crc32c(&slot[..16]);
        slot[16..].copy_from_slice(&crc.to_le_bytes());
        let offset = (self.turn % 2) * SLOT_STRIDE;
        self.turn += 1;
        medium.write_at(&self.file, &self.path, &slot, offset)
    }

    pub(crate) fn sync(&self, medium: &dyn Medium) -> io::Result<()> {
        medium.sync(&self.file, &self.path)
    }
}

/// What a mark says: journal and LSN. `None` where there is none that can be read.
pub(crate) fn read(path: &Path) -> Option<(u64, Lsn)> {
    let file = File::open(path).ok()?;
    let slots = [0, SLOT_STRIDE].into_iter().filter_map(|offset| {
        let mut slot = [0; SLOT_BYTES];
        file.read_exact_at(&mut slot, offset).ok()?;
        (crc32c::crc32c(&slot[..16]) == u32_at(&slot, 16)).then(|| (u64_at(&slot, 0), u64_at(&slot, 8)))
    });
    // All zeros have a checksum of their own, which is not zero: an empty slot never counts.
    slots.max_by_key(|(_, lsn)| *lsn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::Disk;

    #[test]
    fn the_mark_survives_damage_to_either_slot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        assert_eq!(read(&path), None);
        let mut mark = Mark::open(&Disk, &path, 9, 1).unwrap();
        mark.write(&Disk, 2).unwrap();
        mark.write(&Disk, 3).unwrap();
        assert_eq!(read(&path), Some((9, 3)));
        let whole = std::fs::read(&path).unwrap();
        for (slot, expect) in [(0, 3), (4096, 2)] {
            let mut damaged = whole.clone();
            damaged[slot + 9] ^= 4;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(read(&path), Some((9, expect)), "damage at {slot}");
        }
        std::fs::write(&path, vec![0; 5000]).unwrap();
        assert_eq!(read(&path), None);
    }
}
