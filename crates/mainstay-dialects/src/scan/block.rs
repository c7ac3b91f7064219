//! What stands where in 64 bytes of a body: quotes and backslashes, a bit each, and whether there is a control
//! character.
//!
//! Text with an escape every few bytes is common (code, JSON within JSON). A search begun anew after each escape costs
//! more than the bytes between, so escapes are told from the bits of a whole block, without a branch for each.
//! The way to find them: Langdale and Lemire, "Parsing gigabytes of JSON per second", section 3.1.1.

use wide::u8x16;

/// Bytes of a block; each is a bit.
pub(super) const BLOCK_BYTES: usize = 64;

/// The bits of a block.
#[derive(Clone, Copy, Default)]
pub(super) struct Block {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    /// Whether any byte is below 0x20. Clients write JSON without spaces, so most bodies have none at all.
    pub(super) has_control: bool,
}

impl Block {
    /// Looks at the block at `start`; beyond the end of the body there is nothing.
    pub(super) fn read(body: &[u8], start: usize) -> Self {
        let lanes = lanes(body, start);
        let [a, b, c, d] = lanes;
        let least = a.min(b).min(c.min(d));
        // Unsigned: at most 0x1f is what the lesser of the two leaves as it is.
        let control = least.min(u8x16::splat(0x1f)).simd_eq(least);
        Self {
            quotes: bits(&lanes, b'"'),
            backslashes: bits(&lanes, b'\\'),
            has_control: control.to_bitmask() != 0,
        }
    }
}

/// Where `byte` stands in the block at `start`.
pub(super) fn places(body: &[u8], start: usize, byte: u8) -> u64 {
    bits(&lanes(body, start), byte)
}

fn bits(lanes: &[u8x16; 4], byte: u8) -> u64 {
    let [a, b, c, d] = lanes.map(|lane| u64::from(lane.simd_eq(u8x16::splat(byte)).to_bitmask()));
    a | (b << 16) | (c << 32) | (d << 48)
}

fn lanes(body: &[u8], start: usize) -> [u8x16; 4] {
    let of = |block: &[u8; BLOCK_BYTES]| {
        let (lanes, _) = block.as_chunks::<16>();
        std::array::from_fn(|i| u8x16::new(lanes[i]))
    };
    let rest = body.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(block) => of(block),
        None => {
            let mut block = [b' '; BLOCK_BYTES];
            block[..rest.len()].copy_from_slice(rest);
            of(&block)
        }
    }
}

/// The characters that a backslash escapes. `carried`, in and out: whether the last byte before the block, or of it, is
/// a backslash that escapes what follows.
pub(super) fn escaped(backslashes: u64, carried: &mut bool) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let before = u64::from(*carried);
    // A backslash that is itself escaped escapes nothing.
    let backslashes = backslashes & !before;
    let following = (backslashes << 1) | before;
    let odd_starts = backslashes & !EVEN & !following;
    // The sum runs through each stretch of backslashes that begins at an odd place and marks what follows it.
    let (from_odd, overflow) = odd_starts.overflowing_add(backslashes);
    *carried = overflow;
    (EVEN ^ (from_odd << 1)) & following
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_in_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK_BYTES {
                let mut body = [b'a'; BLOCK_BYTES];
                body[at] = byte;
                let block = Block::read(&body, 0);
                let bit = |is: bool| u64::from(is) << at;
                assert_eq!(block.quotes, bit(byte == b'"'), "{byte} at {at}");
                assert_eq!(block.backslashes, bit(byte == b'\\'), "{byte} at {at}");
                assert_eq!(block.has_control, byte < 0x20, "{byte} at {at}");
                assert_eq!(places(&body, 0, b'n'), bit(byte == b'n'), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn there_is_nothing_beyond_the_end() {
        for length in 0..BLOCK_BYTES {
            let body = vec![b'"'; length];
            assert_eq!(Block::read(&body, 0).quotes.count_ones() as usize, length);
            assert_eq!(Block::read(&body, BLOCK_BYTES).quotes, 0);
        }
    }

    /// Escapes found one by one.
    fn naive(backslashes: u64, carried: &mut bool) -> u64 {
        let mut escaped = 0;
        for at in 0..BLOCK_BYTES {
            if *carried {
                escaped |= 1 << at;
                *carried = false;
            } else {
                *carried = backslashes >> at & 1 == 1;
            }
        }
        escaped
    }

    proptest::proptest! {
        #[test]
        fn escapes_are_found_as_one_by_one(a: u64, b: u64, dense: bool, carry: bool) {
            let backslashes = if dense { a | b } else { a & b };
            let (mut ours, mut theirs) = (carry, carry);
            let found = (escaped(backslashes, &mut ours), ours);
            proptest::prop_assert_eq!(found, (naive(backslashes, &mut theirs), theirs));
        }
    }
}
