//! Examining the last segment: where its last whole group ends, and whether what stands behind is a torn end or
//! damage. It changes nothing.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::Witness;
use super::closed::{check_joint, dropped_by, follow};
use crate::damage::{Damage, Fault};
use crate::log::Lsn;
use crate::log::record::{Chain, kind};
use crate::log::segment::{HEAD_BYTES, Head};
use crate::log::walk::{self, Step, Walk};
use crate::log::writer::next_head;

/// What the last segment is.
#[derive(Debug)]
pub(super) enum Tail {
    /// It has a head, and records or none.
    Written(Written),
    /// A crash cut its creation; this is the head it was to have.
    Unborn(Head),
}

#[derive(Debug)]
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) head: Head,
    /// Up to the last whole group.
    pub(super) chain: Chain,
    /// Where the last whole group ends.
    pub(super) end: u64,
    /// Behind the last byte that is not zero.
    pub(super) written_until: u64,
    /// Records from here on were not known to be durable.
    pub(super) rewrite_from: u64,
    pub(super) bytes: u64,
    /// Whether it has its end record: a crash came before the creation of the next.
    pub(super) closed: bool,
    trimmed: Option<u32>,
}

impl Tail {
    /// The highest drop on record in it.
    pub(super) fn trimmed(&self) -> Option<u32> {
        match self {
            Self::Written(written) => written.trimmed,
            Self::Unborn(_) => None,
        }
    }
}

/// Examines segment `number`, which follows `before`.
pub(super) fn examine(
    folder: &Path,
    number: u32,
    before: Option<(Head, Chain)>,
    witnesses: &[Witness],
) -> Result<Tail, Fault> {
    let (file, path, bytes, head) = walk::open(folder, number)?;
    let Some(head) = head else { return unborn(&file, &path, bytes, number, before, witnesses) };
    match &before {
        Some((head_before, chain)) => check_joint(&path, &head, head_before, *chain)?,
        None if number == 1 && head.first_lsn != 1 => {
            return Err(Damage::new(
                &path,
                0,
                1,
                "the first segment does not begin with record 1",
                "nothing is before it",
            )
            .into());
        }
        None => {}
    }
    let seen =
        witnesses.iter().filter(|witness| witness.journal == head.journal).max_by_key(|w| w.lsn).copied();
    let scan = scan(&file, &path, &head, bytes, seen.map_or(0, |witness| witness.lsn))?;
    if !scan.closed {
        refuse_damage(&file, &path, &head, &scan, bytes)?;
    }
    refuse_lost(&path, &scan, seen)?;
    let written_until = walk::written_until(&file, scan.end.min(bytes), bytes).map_err(Fault::io(&path))?;
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Fault::io(&path))?;
    Ok(Tail::Written(Written {
        path,
        file,
        head,
        chain: scan.chain,
        end: scan.end,
        written_until,
        rewrite_from: scan.witnessed_until,
        bytes,
        closed: scan.closed,
        trimmed: scan.trimmed,
    }))
}

/// What a walk through the last segment found.
struct Scan {
    /// Up to the last whole group, and where that ends.
    chain: Chain,
    end: u64,
    /// Where the records end that a witness saw durable.
    witnessed_until: u64,
    /// The last valid record, and where the next should be.
    valid: Chain,
    stopped_at: u64,
    /// Why the walk ended there, unless with zeros.
    fault: Option<&'static str>,
    trimmed: Option<u32>,
    closed: bool,
}

fn scan(file: &File, path: &Path, head: &Head, bytes: u64, witnessed: Lsn) -> Result<Scan, Fault> {
    let start = Chain { lsn: head.first_lsn - 1, crc: head.prev };
    let mut scan = Scan {
        chain: start,
        end: HEAD_BYTES,
        witnessed_until: HEAD_BYTES,
        valid: start,
        stopped_at: HEAD_BYTES,
        fault: None,
        trimmed: None,
        closed: false,
    };
    let mut walk = Walk::new(file, head, HEAD_BYTES, bytes);
    loop {
        scan.stopped_at = walk.position();
        match walk.step().map_err(Fault::io(path))? {
            Step::Blank => return Ok(scan),
            Step::Bad(fault) => {
                scan.fault = Some(fault);
                return Ok(scan);
            }
            Step::Record(record) => {
                if let Err(fault) = follow(&mut scan.valid, &record) {
                    scan.fault = Some(fault);
                    return Ok(scan);
                }
                let trimmed = dropped_by(&record);
                let (header, next) = (record.header, walk.position());
                if header.last {
                    (scan.chain, scan.end) = (scan.valid, next);
                    scan.trimmed = scan.trimmed.max(trimmed);
                }
                if header.lsn <= witnessed {
                    scan.witnessed_until = next;
                }
                if header.kind == kind::SEGMENT_END {
                    scan.closed = true;
                    return Ok(scan);
                }
            }
        }
    }
}

/// Refuses when a later valid record proves that the first bad one was acknowledged.
fn refuse_damage(file: &File, path: &Path, head: &Head, scan: &Scan, bytes: u64) -> Result<(), Fault> {
    let proof =
        walk::proof_beyond(file, head, scan.stopped_at, bytes, scan.valid.lsn).map_err(Fault::io(path))?;
    let Some(later) = proof else { return Ok(()) };
    let fault = scan.fault.unwrap_or("zeros where a record should be");
    let evidence =
        format!("record {later} behind it is whole and was written after this one was acknowledged");
    Err(Damage::new(path, scan.stopped_at, scan.valid.lsn + 1, fault, evidence).into())
}

/// Refuses when a witness saw more than there is.
fn refuse_lost(path: &Path, scan: &Scan, seen: Option<Witness>) -> Result<(), Fault> {
    let Some(witness) = seen.filter(|witness| witness.lsn > scan.chain.lsn) else { return Ok(()) };
    let fault = scan.fault.unwrap_or("the log ends before the record");
    let evidence = format!("{} saw record {} acknowledged", witness.name, witness.lsn);
    Err(Damage::new(path, scan.stopped_at, scan.valid.lsn + 1, fault, evidence).of_the_end().into())
}

/// A last segment without a valid head: cut at its creation, or damaged. Its head is synced before any record is
/// written, so records behind a bad head are damage.
fn unborn(
    file: &File,
    path: &Path,
    bytes: u64,
    number: u32,
    before: Option<(Head, Chain)>,
    witnesses: &[Witness],
) -> Result<Tail, Fault> {
    let from = HEAD_BYTES.min(bytes);
    let expected = before.map(|(head, chain)| next_head(&head, chain));
    let lsn = expected.map_or(1, |head| head.first_lsn);
    let fault = "the segment's head is damaged";
    if walk::written_until(file, from, bytes).map_err(Fault::io(path))? > from {
        return Err(Damage::new(path, 0, lsn, fault, "records stand behind it").into());
    }
    let seen = witnesses.iter().filter(|w| expected.is_none_or(|head| head.journal == w.journal));
    if let Some(witness) = seen.max_by_key(|w| w.lsn).filter(|witness| witness.lsn >= lsn) {
        let evidence = format!("{} saw record {} acknowledged", witness.name, witness.lsn);
        return Err(Damage::new(path, 0, lsn, fault, evidence).into());
    }
    match expected {
        Some(head) => Ok(Tail::Unborn(head)),
        None if number == 1 => {
            Ok(Tail::Unborn(Head { journal: super::fresh_id(), number, first_lsn: 1, prev: 0 }))
        }
        None => Err(Damage::new(path, 0, 0, fault, "the segments before it were dropped").into()),
    }
}
