//! Verifying closed segments: each from head to end record, then how they join.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::damage::{Damage, Fault};
use crate::log::Lsn;
use crate::log::record::{Chain, kind, u32_at};
use crate::log::segment::{HEAD_BYTES, Head};
use crate::log::walk::{self, Step, Walk};

/// A closed segment that is whole in itself.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) path: PathBuf,
    pub(super) head: Head,
    pub(super) chain: Chain,
    pub(super) bytes: u64,
    /// The highest drop on record in it.
    pub(super) trimmed: Option<u32>,
}

/// Verifies the segments, all cores at once. The damage reported is the one in the oldest segment.
pub(super) fn verify_all(folder: &Path, numbers: &[u32]) -> Result<Vec<Closed>, Fault> {
    let results = Mutex::new(Vec::with_capacity(numbers.len()));
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = verify(folder, *number);
            results.lock().push((*number, result));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(numbers.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

fn verify(folder: &Path, number: u32) -> Result<Closed, Fault> {
    let (file, path, bytes, head) = walk::open(folder, number)?;
    let later = "a later segment exists";
    let Some(head) = head else {
        return Err(Damage::new(&path, 0, 0, "the segment's head is damaged", later).into());
    };
    let mut chain = Chain { lsn: head.first_lsn - 1, crc: head.prev };
    let mut walk = Walk::new(&file, &head, HEAD_BYTES, bytes);
    let mut trimmed = None;
    loop {
        let at = walk.position();
        let fault = match walk.step().map_err(Fault::io(&path))? {
            Step::Record(record) => match follow(&mut chain, &record) {
                Ok(()) if record.header.kind == kind::SEGMENT_END => {
                    return Ok(Closed { path, head, chain, bytes, trimmed });
                }
                Ok(()) => {
                    trimmed = trimmed.max(dropped_by(&record));
                    continue;
                }
                Err(fault) => fault,
            },
            Step::Blank if at >= bytes => "the file ends before the segment's end record",
            Step::Blank => "zeros where a record should be",
            Step::Bad(fault) => fault,
        };
        return Err(Damage::new(&path, at, chain.lsn + 1, fault, later).into());
    }
}

/// Takes a valid record as the next of the chain.
pub(super) fn follow(chain: &mut Chain, record: &walk::Record<'_>) -> Result<(), &'static str> {
    if record.header.lsn != chain.lsn + 1 {
        return Err("its number is not the next");
    }
    if record.header.prev != chain.crc {
        return Err("it does not follow the record before it");
    }
    *chain = Chain { lsn: record.header.lsn, crc: record.header.crc };
    Ok(())
}

/// The drop that the record notes, if it is one.
pub(super) fn dropped_by(record: &walk::Record<'_>) -> Option<u32> {
    (record.header.kind == kind::TRIMMED && record.payload.len() == 4).then(|| u32_at(record.payload, 0))
}

/// Checks that each segment follows the one before it; gives journal and chain at the end of the last.
pub(super) fn join(closed: &[Closed]) -> Result<Option<(Head, Chain)>, Fault> {
    for pair in closed.windows(2) {
        check_joint(&pair[1].path, &pair[1].head, &pair[0].head, pair[0].chain)?;
    }
    Ok(closed.last().map(|last| (last.head, last.chain)))
}

/// Whether the segment with `head` follows the one with head `before` that ends at `chain`.
pub(super) fn check_joint(path: &Path, head: &Head, before: &Head, chain: Chain) -> Result<(), Fault> {
    let follows = head.journal == before.journal && head.first_lsn == chain.lsn + 1 && head.prev == chain.crc;
    if follows {
        return Ok(());
    }
    let fault = "the segment does not follow the one before it: it was swapped or comes from another journal";
    let evidence = format!("segment {} ends with record {}", before.number, chain.lsn);
    let lsn: Lsn = chain.lsn + 1;
    Err(Damage::new(path, 0, lsn, fault, evidence).into())
}
