//! Where a string may end or go wrong: quotes, backslashes and control characters, found 64 bytes at a time.
//!
//! Text with an escape every few bytes is common (code, JSON within JSON), and a search begun anew after each costs more
//! than the bytes between. So each block is looked at once and remembered.

/// Bytes of a block; each is a bit of its marks.
const BLOCK_BYTES: usize = 64;

/// The block looked at last.
#[derive(Default)]
pub(super) struct Marks {
    /// Where the next block begins; 0 before the first.
    end: usize,
    bits: u64,
}

impl Marks {
    /// The first marked byte at or after `from`; the length when there is none.
    pub(super) fn next(&mut self, bytes: &[u8], from: usize) -> usize {
        let mut start = from & !(BLOCK_BYTES - 1);
        if self.end != start + BLOCK_BYTES {
            self.read(bytes, start);
        }
        let mut bits = self.bits & (u64::MAX << (from - start));
        while bits == 0 {
            start += BLOCK_BYTES;
            if start >= bytes.len() {
                return bytes.len();
            }
            self.read(bytes, start);
            bits = self.bits;
        }
        (start + bits.trailing_zeros() as usize).min(bytes.len())
    }

    fn read(&mut self, bytes: &[u8], start: usize) {
        let rest = bytes.get(start..).unwrap_or_default();
        self.end = start + BLOCK_BYTES;
        self.bits = match rest.first_chunk::<BLOCK_BYTES>() {
            Some(block) => of_block(block),
            None => {
                let mut block = [b' '; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                of_block(&block)
            }
        };
    }
}

/// Written so that the comparisons become vector instructions: no branch, and one kind of step a loop.
fn of_block(block: &[u8; BLOCK_BYTES]) -> u64 {
    let mut marked = [0_u8; BLOCK_BYTES];
    for (mark, byte) in marked.iter_mut().zip(block) {
        *mark = u8::from((*byte == b'"') | (*byte == b'\\') | (*byte < 0x20));
    }
    let (groups, _) = marked.as_chunks::<8>();
    groups.iter().rev().fold(0, |bits, group| (bits << 8) | gathered(u64::from_le_bytes(*group)))
}

/// The lowest bits of eight bytes as one byte: the factor moves byte `i`'s bit to bit `56 + i`, and no two sums meet.
fn gathered(group: u64) -> u64 {
    group.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_in_every_place() {
        for byte in 0..=u8::MAX {
            let is_marked = byte == b'"' || byte == b'\\' || byte < 0x20;
            for at in 0..BLOCK_BYTES {
                let mut block = [b'a'; BLOCK_BYTES];
                block[at] = byte;
                assert_eq!(of_block(&block), u64::from(is_marked) << at, "{byte} at {at}");
            }
        }
        assert_eq!(of_block(&[b'"'; BLOCK_BYTES]), u64::MAX);
    }

    #[test]
    fn marks_are_found_from_any_place_of_any_length() {
        for length in 0..200 {
            for marked in (0..length).step_by(7) {
                let mut bytes = vec![b'a'; length];
                bytes[marked] = b'\\';
                let mut marks = Marks::default();
                for from in 0..=length {
                    let expected = if from <= marked { marked } else { length };
                    assert_eq!(marks.next(&bytes, from), expected, "{length} {marked} {from}");
                }
            }
        }
    }
}
