//! Reads records at known places for readers that come again and again: the segments stay open between reads.
//!
//! A segment that is dropped is let go of at once, or its space would not come back.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Place;
use super::record::{HEADER_BYTES, Header, checksum};
use super::segment::{self, Head};
use super::walk;
use crate::damage::{Damage, Fault};

/// Segments kept open; the one used longest ago makes room.
const OPEN_MAX: usize = 16;

/// Open segments of a log.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    open: Mutex<VecDeque<Arc<Segment>>>,
}

#[derive(Debug)]
struct Segment {
    file: File,
    head: Head,
}

impl Shelf {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default() }
    }

    /// The payload of the record at `place`; `None` if its segment was dropped meanwhile (the record has moved). Its
    /// checksum is verified.
    pub(crate) fn payload(&self, place: Place) -> Result<Option<Vec<u8>>, Fault> {
        let Some(segment) = self.segment(place.segment)? else { return Ok(None) };
        let path = segment::path(&self.folder, place.segment);
        let damage = |fault: &str| {
            Fault::from(Damage::new(&path, u64::from(place.offset), 0, fault, "it was acknowledged"))
        };
        let mut bytes = vec![0; place.bytes as usize];
        match segment.file.read_exact_at(&mut bytes, u64::from(place.offset)) {
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damage("the file ends before the record"));
            }
            outcome => outcome.map_err(Fault::io(&path))?,
        }
        if bytes.len() < HEADER_BYTES || checksum(segment.head.seed(), &bytes) != Header::read(&bytes).crc {
            return Err(damage("its checksum does not match"));
        }
        bytes.drain(..HEADER_BYTES);
        Ok(Some(bytes))
    }

    /// Lets go of a segment that was dropped.
    pub(crate) fn forget(&self, number: u32) {
        self.open.lock().retain(|segment| segment.head.number != number);
    }

    fn segment(&self, number: u32) -> Result<Option<Arc<Segment>>, Fault> {
        let mut open = self.open.lock();
        if let Some(at) = open.iter().position(|segment| segment.head.number == number) {
            // The order is that of use; the newest is looked for first.
            if at > 0
                && let Some(segment) = open.remove(at)
            {
                open.push_front(segment);
            }
            return Ok(open.front().cloned());
        }
        let Some(segment) = open_segment(&self.folder, number)?.map(Arc::new) else { return Ok(None) };
        open.truncate(OPEN_MAX - 1);
        open.push_front(segment.clone());
        Ok(Some(segment))
    }
}

fn open_segment(folder: &Path, number: u32) -> Result<Option<Segment>, Fault> {
    match walk::open(folder, number) {
        Ok((file, _, _, Some(head))) => Ok(Some(Segment { file, head })),
        Ok((_, path, _, None)) => {
            Err(Damage::new(&path, 0, 0, "the segment's head is damaged", "records in it are kept").into())
        }
        Err(Fault::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}
