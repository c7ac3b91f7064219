//! Reading records: one after the other through a segment, or one at a known place. Every checksum is verified.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::record::{HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, checksum, padded};
use super::segment::{self, Head};
use super::{Lsn, Place};
use crate::damage::{Damage, Fault};

const WINDOW_BYTES: usize = 1024 * 1024;

/// What stands at the walk's position.
pub(crate) enum Step<'a> {
    /// A valid record; the walk is now behind it.
    Record(Record<'a>),
    /// Zeros where a header would be, or the end: nothing was written here. The walk stays.
    Blank,
    /// Something that is not a valid record. The walk stays.
    Bad(&'static str),
}

/// A valid record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) header: Header,
    pub(crate) place: Place,
    pub(crate) payload: &'a [u8],
}

/// A walk through one segment.
#[derive(Debug)]
pub(crate) struct Walk<'f> {
    file: &'f File,
    number: u32,
    seed: u32,
    window: Vec<u8>,
    window_at: u64,
    at: u64,
    until: u64,
}

impl<'f> Walk<'f> {
    /// Starts at `from` and reads nothing at or beyond `until`.
    pub(crate) fn new(file: &'f File, head: &Head, from: u64, until: u64) -> Self {
        // A cut file may end before the place to start from.
        let from = from.min(until);
        let (number, seed) = (head.number, head.seed());
        Self { file, number, seed, window: Vec::new(), window_at: from, at: from, until }
    }

    /// Where the next step reads.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// Takes the next step.
    pub(crate) fn step(&mut self) -> io::Result<Step<'_>> {
        if self.until - self.at < HEADER_BYTES as u64 {
            let rest = self.bytes((self.until - self.at) as usize)?;
            return Ok(if is_blank(rest) { Step::Blank } else { Step::Bad("the record is cut off") });
        }
        let header_bytes = self.bytes(HEADER_BYTES)?;
        if is_blank(header_bytes) {
            return Ok(Step::Blank);
        }
        let header = Header::read(header_bytes);
        if header.len as usize > PAYLOAD_BYTES_MAX || header.bytes() as u64 > self.until - self.at {
            return Ok(Step::Bad("its length leads beyond the end of the file"));
        }
        let (seed, number, at) = (self.seed, self.number, self.at);
        let bytes = self.bytes(header.bytes())?;
        if checksum(seed, bytes) != header.crc {
            return Ok(Step::Bad("its checksum does not match"));
        }
        self.at = (at + padded(header.bytes()) as u64).min(self.until);
        let from = (at - self.window_at) as usize;
        let payload = &self.window[from + HEADER_BYTES..from + header.bytes()];
        let place = Place {
            segment: number,
            offset: u32::try_from(at).expect("segments end below 4 GiB"),
            bytes: u32::try_from(header.bytes()).expect("payloads end below 1 GiB"),
        };
        Ok(Step::Record(Record { header, place, payload }))
    }

    /// `count` bytes from the position on, which lie before `until`.
    fn bytes(&mut self, count: usize) -> io::Result<&[u8]> {
        let from = (self.at - self.window_at) as usize;
        if from + count > self.window.len() {
            let wanted = count.max(WINDOW_BYTES).min((self.until - self.at) as usize);
            self.window.resize(wanted, 0);
            self.file.read_exact_at(&mut self.window, self.at)?;
            self.window_at = self.at;
            return Ok(&self.window[..count]);
        }
        Ok(&self.window[from..from + count])
    }
}

/// Opens segment `number` and reads its head; `None` where the head is damaged.
pub(crate) fn open(folder: &Path, number: u32) -> Result<(File, PathBuf, u64, Option<Head>), Fault> {
    let path = segment::path(folder, number);
    let file = File::open(&path).map_err(Fault::io(&path))?;
    let bytes = file.metadata().map_err(Fault::io(&path))?.len();
    let mut page = vec![0; bytes.min(segment::HEAD_BYTES) as usize];
    file.read_exact_at(&mut page, 0).map_err(Fault::io(&path))?;
    let head = Head::decode(&page, &path)?.filter(|head| head.number == number);
    Ok((file, path, bytes, head))
}

/// A valid record with an LSN beyond `lsn` whose batch was written when `lsn` + 1 was already durable, anywhere in
/// `file` from `from` on: proof that the record after `lsn` was acknowledged. Looks at every aligned position.
pub(crate) fn proof_beyond(
    file: &File,
    head: &Head,
    from: u64,
    until: u64,
    lsn: Lsn,
) -> io::Result<Option<Lsn>> {
    let mut rest = vec![0; (until - from) as usize];
    file.read_exact_at(&mut rest, from)?;
    let records_max = (rest.len() / HEADER_BYTES) as u64;
    for at in (0..rest.len().saturating_sub(HEADER_BYTES - 1)).step_by(super::record::ALIGN) {
        let header = Header::read(&rest[at..]);
        let likely = header.lsn > lsn && header.lsn - lsn <= records_max + 1 && header.durable > lsn;
        if !likely || header.len as usize > PAYLOAD_BYTES_MAX || at + header.bytes() > rest.len() {
            continue;
        }
        if checksum(head.seed(), &rest[at..at + header.bytes()]) == header.crc {
            return Ok(Some(header.lsn));
        }
    }
    Ok(None)
}

/// The last byte of `file` in `from..until` that is not zero, as an offset behind it; `from` if all are zero.
pub(crate) fn written_until(file: &File, from: u64, until: u64) -> io::Result<u64> {
    let mut rest = vec![0; (until - from) as usize];
    file.read_exact_at(&mut rest, from)?;
    Ok(from + rest.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1))
}

/// Whether every byte is zero.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Reads records at known places, keeping the files it opened; for one reader and a short time.
#[derive(Debug)]
pub(crate) struct Fetch<'a> {
    folder: &'a Path,
    files: HashMap<u32, (File, Head)>,
}

impl<'a> Fetch<'a> {
    pub(crate) fn new(folder: &'a Path) -> Self {
        Self { folder, files: HashMap::new() }
    }

    /// The payload of the record at `place`; `None` if its segment was dropped meanwhile (the record has moved).
    pub(crate) fn payload(&mut self, place: Place) -> Result<Option<Vec<u8>>, Fault> {
        let path = segment::path(self.folder, place.segment);
        let Some((file, head)) = self.open(place.segment)? else { return Ok(None) };
        let damage = |fault: &str| {
            let evidence = "the view has indexed it";
            Fault::from(Damage::new(&path, u64::from(place.offset), 0, fault, evidence))
        };
        let mut bytes = vec![0; place.bytes as usize];
        match file.read_exact_at(&mut bytes, u64::from(place.offset)) {
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damage("the file ends before the record"));
            }
            outcome => outcome.map_err(Fault::io(&path))?,
        }
        if bytes.len() < HEADER_BYTES || checksum(head.seed(), &bytes) != Header::read(&bytes).crc {
            return Err(damage("its checksum does not match"));
        }
        bytes.drain(..HEADER_BYTES);
        Ok(Some(bytes))
    }

    /// The segments' folder.
    pub(crate) fn folder(&self) -> &'a Path {
        self.folder
    }

    fn open(&mut self, number: u32) -> Result<Option<&(File, Head)>, Fault> {
        use std::collections::hash_map::Entry;
        let slot = match self.files.entry(number) {
            Entry::Occupied(known) => return Ok(Some(known.into_mut())),
            Entry::Vacant(slot) => slot,
        };
        match open(self.folder, number) {
            Ok((file, _, _, Some(head))) => Ok(Some(slot.insert((file, head)))),
            Ok((_, path, _, None)) => {
                Err(Damage::new(&path, 0, 0, "the segment's head is damaged", "the view refers to it").into())
            }
            Err(Fault::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}
