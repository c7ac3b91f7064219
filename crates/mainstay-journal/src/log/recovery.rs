//! Opening a log: verifies every record, cuts a torn end off, refuses damage.
//!
//! It reads the whole log, all cores at once; a start on damage would hide it until the record is needed.

mod closed;
mod tail;

use std::fs::File;
use std::io;
use std::path::Path;

use super::record::Chain;
use super::segment::{self, HEAD_BYTES, Head};
use super::writer::{Segment, next_head};
use super::{End, Lsn};
use crate::damage::{Damage, Fault};
use crate::folder::Folder;
use crate::medium::Medium;

/// Someone who saw records become durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness {
    pub(crate) name: &'static str,
    pub(crate) journal: u64,
    pub(crate) lsn: Lsn,
}

/// A log that is whole and ready for appends.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    pub(crate) chain: Chain,
    pub(crate) end: End,
    /// The active segment's file; `end.offset` is where the next record goes, and nothing stands behind it.
    pub(crate) file: File,
    pub(crate) head: Head,
    /// Bytes of a torn end that were cut off.
    pub(crate) torn_bytes: u64,
}

/// Opens the log in `folder`, making it if there is none.
pub(crate) fn recover(
    medium: &dyn Medium,
    folder: &Path,
    segment_bytes: u64,
    witnesses: &[Witness],
) -> Result<Recovered, Fault> {
    let numbers = segment::list(folder).map_err(Fault::io(folder))?;
    let Some((&last, closed)) = numbers.split_last() else {
        refuse_lost_log(folder, witnesses)?;
        let head = Head { journal: fresh_id(), number: 1, first_lsn: 1, prev: 0 };
        return begin(medium, folder, segment_bytes, head, Vec::new());
    };
    refuse_gaps(folder, &numbers)?;
    let closed = closed::verify_all(folder, closed)?;
    let before = closed::join(&closed)?;
    let tail = tail::examine(folder, last, before, witnesses)?;
    let oldest = dropped_below(folder, numbers[0], &closed, &tail)?;
    let mut segments: Vec<Segment> =
        closed.iter().map(|c| Segment { head: c.head, bytes: c.bytes }).collect();
    segments.retain(|segment| segment.head.number >= oldest);
    let recovered = match tail {
        tail::Tail::Written(written) if written.closed => {
            let head = next_head(&written.head, written.chain);
            let closed = settle(medium, written, segments)?;
            begin(medium, folder, segment_bytes, head, closed.segments)?
        }
        tail::Tail::Written(written) => settle(medium, written, segments)?,
        tail::Tail::Unborn(head) => begin(medium, folder, segment_bytes, head, segments)?,
    };
    // Only now is the record of the drop known to be on the disk.
    remove_dropped(medium, folder, numbers[0]..oldest)?;
    Ok(recovered)
}

/// Without a log, nobody may have seen a record.
fn refuse_lost_log(folder: &Path, witnesses: &[Witness]) -> Result<(), Fault> {
    let seen = witnesses.iter().max_by_key(|witness| witness.lsn).filter(|witness| witness.lsn > 0);
    let Some(witness) = seen else { return Ok(()) };
    let evidence = format!("{} saw record {} acknowledged", witness.name, witness.lsn);
    Err(Damage::new(&segment::path(folder, 1), 0, 1, "every segment of the log is missing", evidence).into())
}

fn refuse_gaps(folder: &Path, numbers: &[u32]) -> Result<(), Fault> {
    let Some(pair) = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1) else { return Ok(()) };
    let file = segment::path(folder, pair[0] + 1);
    let evidence = format!("segment {} follows it", pair[1]);
    Err(Damage::new(&file, 0, 0, "the segment is missing", evidence).into())
}

/// The number below which segments were dropped on purpose. The oldest present may not be above it.
fn dropped_below(
    folder: &Path,
    oldest: u32,
    closed: &[closed::Closed],
    tail: &tail::Tail,
) -> Result<u32, Fault> {
    let trimmed = closed.iter().filter_map(|segment| segment.trimmed).chain(tail.trimmed()).max();
    let first = trimmed.unwrap_or(1);
    if oldest > first {
        let file = segment::path(folder, first);
        let evidence = format!("the log begins with segment {first}, and the oldest found is {oldest}");
        return Err(Damage::new(&file, 0, 0, "the segment is missing", evidence).into());
    }
    Ok(first)
}

fn remove_dropped(medium: &dyn Medium, folder: &Path, numbers: std::ops::Range<u32>) -> Result<(), Fault> {
    for number in numbers {
        remove(medium, folder, number).map_err(Fault::io(folder))?;
    }
    Ok(())
}

/// Removes a segment whose drop is on record; one at a time, so that what is left never has a gap.
pub(crate) fn remove(medium: &dyn Medium, folder: &Path, number: u32) -> io::Result<()> {
    // Before the file goes: what is listed has its file, also when there is no descriptor free.
    let open = Folder::open(folder)?;
    match std::fs::remove_file(segment::path(folder, number)) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => open.sync(medium),
    }
}

/// Starts segment `head` behind `segments`.
fn begin(
    medium: &dyn Medium,
    folder: &Path,
    segment_bytes: u64,
    head: Head,
    mut segments: Vec<Segment>,
) -> Result<Recovered, Fault> {
    let created = || -> io::Result<File> {
        let open = Folder::open(folder)?;
        let file = segment::open_new(&open, head.number)?;
        segment::create(medium, &open, &file, head, segment_bytes / 16)?;
        Ok(file)
    };
    let file = created().map_err(Fault::io(folder))?;
    segments.push(Segment { head, bytes: HEAD_BYTES + segment_bytes / 16 });
    let chain = Chain { lsn: head.first_lsn - 1, crc: head.prev };
    let end = End { lsn: chain.lsn, segment: head.number, offset: HEAD_BYTES };
    Ok(Recovered { segments, chain, end, file, head, torn_bytes: 0 })
}

/// Cuts the torn end off and makes sure that what is left is on the disk and not only in the page cache: after a
/// failed sync in an earlier life the kernel may hold pages as clean that never reached it.
fn settle(
    medium: &dyn Medium,
    written: tail::Written,
    mut segments: Vec<Segment>,
) -> Result<Recovered, Fault> {
    let tail::Written { path, file, head, chain, end, written_until, rewrite_from, bytes, .. } = written;
    let torn_bytes = written_until.saturating_sub(end);
    if torn_bytes > 0 {
        tracing::warn!(file = %path.display(), bytes = torn_bytes, after_lsn = chain.lsn,
            "a crash left an unfinished write at the end of the journal; it was never acknowledged and is cut off");
    }
    let settled = || -> io::Result<()> {
        if bytes > end {
            medium.set_len(&file, &path, end)?;
        }
        rewrite(medium, &file, &path, rewrite_from, end)?;
        medium.sync(&file, &path)
    };
    settled().map_err(Fault::io(&path))?;
    segments.push(Segment { head, bytes: end });
    let end = End { lsn: chain.lsn, segment: head.number, offset: end };
    Ok(Recovered { segments, chain, end, file, head, torn_bytes })
}

fn rewrite(medium: &dyn Medium, file: &File, path: &Path, from: u64, to: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut piece = vec![0; (to - from).min(1024 * 1024) as usize];
    let mut at = from;
    while at < to {
        let count = (to - at).min(piece.len() as u64) as usize;
        file.read_exact_at(&mut piece[..count], at)?;
        medium.write_at(file, path, &piece[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// An id that no other journal has: 64 bits of the hash of a fresh unique id.
fn fresh_id() -> u64 {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(mainstay_core::RequestId::generate().as_str());
    super::record::u64_at(&hash, 0)
}

#[cfg(test)]
mod tests;
