//! One record's bytes: header, payload, padding to 8. It does no I/O.
//!
//! ```text
//! 0      4      8        16        24      28    29     30        32
//! │ len  │ crc  │  lsn   │ durable │ prev  │kind │flags │ 0 0     │ payload … │ pad │
//! ```
//! `crc` is CRC-32C, seeded by journal and segment, over everything but itself and the padding; `durable` is the
//! highest LSN that was durable when the batch was written; `prev` is the `crc` of the record before.

use super::Lsn;

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 32;
/// Records begin at multiples of this.
pub(crate) const ALIGN: usize = 8;
/// The largest payload that a header is believed to announce.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Set on the last record of a group.
const LAST: u8 = 1;

/// What a record is. Kinds below 16 are the log's own, the others belong to its user.
pub(crate) mod kind {
    /// Closes a segment.
    pub(crate) const SEGMENT_END: u8 = 1;
    /// Segments below the number in the payload (u32) are dropped.
    pub(crate) const TRIMMED: u8 = 2;
    /// Means nothing.
    pub(crate) const PROBE: u8 = 3;
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: u32,
    pub(crate) crc: u32,
    pub(crate) lsn: Lsn,
    pub(crate) durable: Lsn,
    pub(crate) prev: u32,
    pub(crate) kind: u8,
    pub(crate) last: bool,
}

impl Header {
    /// Reads a header from the first 32 bytes; it says nothing about whether they are a record.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self {
            len: u32_at(bytes, 0),
            crc: u32_at(bytes, 4),
            lsn: u64_at(bytes, 8),
            durable: u64_at(bytes, 16),
            prev: u32_at(bytes, 24),
            kind: bytes[28],
            last: bytes[29] & LAST != 0,
        }
    }

    /// Bytes of header and payload.
    pub(crate) fn bytes(&self) -> usize {
        HEADER_BYTES + self.len as usize
    }
}

/// Bytes that a record of `bytes` takes, padding included.
pub(crate) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// The checksum over a whole record (header and payload, no padding).
pub(crate) fn checksum(seed: u32, record: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed, &record[..4]);
    crc32c::crc32c_append(crc, &record[8..])
}

/// The records of one append, encoded but for what only the log thread knows.
#[derive(Debug, Default)]
pub(crate) struct Group {
    bytes: Vec<u8>,
    last: Option<usize>,
    records: u64,
}

impl Group {
    /// A group of one record.
    pub(crate) fn of(kind: u8, payload: &[u8]) -> Self {
        let mut group = Self::default();
        group.push(kind, |bytes| bytes.extend_from_slice(payload));
        group
    }

    /// Adds a record whose payload `write` appends.
    pub(crate) fn push(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.resize(start + HEADER_BYTES, 0);
        write(&mut self.bytes);
        let len = self.bytes.len() - start - HEADER_BYTES;
        assert!(len <= PAYLOAD_BYTES_MAX, "bodies beyond `inline_bytes_max` go to blobs");
        let len = u32::try_from(len).expect("bounded just above");
        self.bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.bytes[start + 28] = kind;
        self.bytes.resize(padded(self.bytes.len()), 0);
        if let Some(before) = self.last.replace(start) {
            self.bytes[before + 29] = 0;
        }
        self.bytes[start + 29] = LAST;
        self.records += 1;
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, for what is only known when the order of the appends is.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }
}

/// The place in the chain where the next record goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    /// The last record's LSN.
    pub(crate) lsn: Lsn,
    /// The last record's checksum.
    pub(crate) crc: u32,
}

impl Chain {
    /// Numbers, links and seals every record of a batch; nothing in it was durable when `durable` was.
    pub(crate) fn stamp(&mut self, batch: &mut [u8], seed: u32, durable: Lsn) {
        let mut at = 0;
        while at < batch.len() {
            let end = at + HEADER_BYTES + u32_at(batch, at) as usize;
            let record = &mut batch[at..end];
            self.lsn += 1;
            record[8..16].copy_from_slice(&self.lsn.to_le_bytes());
            record[16..24].copy_from_slice(&durable.to_le_bytes());
            record[24..28].copy_from_slice(&self.crc.to_le_bytes());
            self.crc = checksum(seed, record);
            record[4..8].copy_from_slice(&self.crc.to_le_bytes());
            at = padded(end);
        }
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped() -> Vec<u8> {
        let mut group = Group::of(20, b"first");
        group.push(21, |bytes| bytes.extend_from_slice(b"second one"));
        let mut bytes = group.bytes().to_vec();
        Chain { lsn: 6, crc: 99 }.stamp(&mut bytes, 7, 5);
        bytes
    }

    #[test]
    fn a_batch_is_numbered_linked_and_sealed() {
        let bytes = stamped();
        let first = Header::read(&bytes);
        let second = Header::read(&bytes[padded(first.bytes())..]);
        assert_eq!((first.lsn, first.durable, first.prev, first.kind, first.last), (7, 5, 99, 20, false));
        assert_eq!((second.lsn, second.prev, second.kind, second.last), (8, first.crc, 21, true));
        assert_eq!(checksum(7, &bytes[..first.bytes()]), first.crc);
    }

    #[test]
    fn any_flipped_bit_of_a_record_breaks_its_checksum() {
        let bytes = stamped();
        let header = Header::read(&bytes);
        let record = &bytes[..header.bytes()];
        for bit in 0..record.len() * 8 {
            let mut flipped = record.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = Header::read(&flipped);
            let holds = read.bytes() == flipped.len() && checksum(7, &flipped) == read.crc;
            assert!(!holds, "bit {bit}");
        }
        assert_ne!(checksum(8, record), header.crc, "another journal or segment has another seed");
    }
}
