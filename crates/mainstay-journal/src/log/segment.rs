//! Segment files: their names, their heads, their creation. What stands between head and end is `walk`'s.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::Lsn;
use super::record::{u32_at, u64_at};
use crate::damage::Fault;
use crate::folder::Folder;
use crate::medium::Medium;

/// The head has a page of its own, so that no later write touches its sector.
pub(crate) const HEAD_BYTES: u64 = 4096;

const MAGIC: &[u8; 8] = b"MNSTYLOG";
const VERSION: u32 = 1;
const SEALED: usize = 36;

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The journal it belongs to.
    pub(crate) journal: u64,
    /// Its number, from 1.
    pub(crate) number: u32,
    /// The LSN of its first record.
    pub(crate) first_lsn: Lsn,
    /// The checksum of the last record of the segment before.
    pub(crate) prev: u32,
}

impl Head {
    /// The seed of its records' checksums: a record of another journal or segment never fits.
    pub(crate) fn seed(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.journal.to_le_bytes()), &self.number.to_le_bytes())
    }

    fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; HEAD_BYTES as usize];
        page[..8].copy_from_slice(MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_le_bytes());
        page[12..16].copy_from_slice(&self.number.to_le_bytes());
        page[16..24].copy_from_slice(&self.journal.to_le_bytes());
        page[24..32].copy_from_slice(&self.first_lsn.to_le_bytes());
        page[32..36].copy_from_slice(&self.prev.to_le_bytes());
        let crc = crc32c::crc32c(&page[..SEALED]);
        page[SEALED..SEALED + 4].copy_from_slice(&crc.to_le_bytes());
        page
    }

    /// Reads a head; `None` where there is none or it is damaged.
    pub(crate) fn decode(page: &[u8], path: &Path) -> Result<Option<Self>, Fault> {
        if page.len() < SEALED + 4
            || &page[..8] != MAGIC
            || u32_at(page, SEALED) != crc32c::crc32c(&page[..SEALED])
        {
            return Ok(None);
        }
        let version = u32_at(page, 8);
        if version != VERSION {
            return Err(Fault::Newer { path: path.to_owned(), version });
        }
        Ok(Some(Self {
            number: u32_at(page, 12),
            journal: u64_at(page, 16),
            first_lsn: u64_at(page, 24),
            prev: u32_at(page, 32),
        }))
    }
}

/// The path of segment `number`.
pub(crate) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.seg"))
}

/// The numbers of the segments in `folder`, ascending. Other files are left alone.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg")).filter(|stem| stem.len() == 10);
        numbers.extend(number.and_then(|stem| stem.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Opens a file for segment `number`, which does not exist yet; an unfinished one is emptied. Nothing is written.
pub(crate) fn open_new(folder: &Folder, number: u32) -> io::Result<File> {
    let path = path(folder.path(), number);
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)
}

/// Makes the new file a segment that survives a power cut from here on: head and `blank` zero bytes written, file and
/// folder synced.
pub(crate) fn create(
    medium: &dyn Medium,
    folder: &Folder,
    file: &File,
    head: Head,
    blank: u64,
) -> io::Result<()> {
    let path = path(folder.path(), head.number);
    medium.write_at(file, &path, &head.encode(), 0)?;
    write_zeros(medium, file, &path, HEAD_BYTES, HEAD_BYTES + blank)?;
    medium.sync(file, &path)?;
    folder.sync(medium)
}

/// Fills `from..to` with zeros, so that later syncs there have no metadata to write.
pub(crate) fn write_zeros(
    medium: &dyn Medium,
    file: &File,
    path: &Path,
    from: u64,
    to: u64,
) -> io::Result<()> {
    static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];
    let mut at = from;
    while at < to {
        let piece = (to - at).min(ZEROS.len() as u64);
        medium.write_at(file, path, &ZEROS[..piece as usize], at)?;
        at += piece;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::Disk;

    #[test]
    fn a_head_reads_back_and_any_flipped_bit_shows() {
        let head = Head { journal: 5, number: 3, first_lsn: 77, prev: 9 };
        let page = head.encode();
        let path = Path::new("x");
        assert_eq!(Head::decode(&page, path).unwrap(), Some(head));
        for bit in 0..(SEALED + 4) * 8 {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&flipped, path).unwrap(), None, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_named_and_not_called_damage() {
        let mut page = Head { journal: 5, number: 3, first_lsn: 77, prev: 9 }.encode();
        page[8] = 2;
        let crc = crc32c::crc32c(&page[..SEALED]);
        page[SEALED..SEALED + 4].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(Head::decode(&page, Path::new("x")), Err(Fault::Newer { version: 2, .. })));
    }

    #[test]
    fn segments_are_listed_in_order_and_other_files_ignored() {
        let folder = tempfile::tempdir().unwrap();
        for number in [11, 2] {
            let head = Head { journal: 1, number, first_lsn: 1, prev: 0 };
            let open = Folder::open(folder.path()).unwrap();
            create(&Disk, &open, &open_new(&open, number).unwrap(), head, 100).unwrap();
        }
        std::fs::write(folder.path().join("notes.seg"), "x").unwrap();
        assert_eq!(list(folder.path()).unwrap(), [2, 11]);
    }
}
