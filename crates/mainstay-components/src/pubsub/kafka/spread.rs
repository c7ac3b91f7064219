//! Which partition a message goes to: the one that Dapr's sidecar would choose, so that a key's messages stay in one
//! partition whoever publishes them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use krafka::producer::Partitioner;

/// Messages with a key by its hash; those without, in turn.
#[derive(Default)]
pub(super) struct Spread {
    turn: AtomicUsize,
}

impl Partitioner for Spread {
    fn partition(&self, _topic: &str, key: Option<&[u8]>, partitions: usize) -> i32 {
        let count = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
        match key {
            // As a signed number, whose remainder has the sign of it.
            Some(key) => (hash(key).cast_signed() % count).abs(),
            None => i32::try_from(self.turn.fetch_add(1, Relaxed) % partitions.max(1)).unwrap_or_default(),
        }
    }
}

/// FNV-1a, 32 bits.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_dapr_sends_them() {
        let spread = Spread::default();
        // The hashes of FNV-1a's own test vectors, and what they come to as signed numbers.
        let cases = [("", 0x811c_9dc5_u32), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)];
        for (key, expect) in cases {
            assert_eq!(hash(key.as_bytes()), expect, "{key}");
        }
        assert_eq!(spread.partition("t", Some(b"a"), 7), 6, "-468965076 % 7, without its sign");
        assert_eq!(spread.partition("t", Some(b"a"), 1), 0);
    }

    #[test]
    fn without_a_key_every_partition_has_its_turn() {
        let spread = Spread::default();
        let seen: Vec<i32> = (0..6).map(|_| spread.partition("t", None, 3)).collect();
        assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
    }
}
