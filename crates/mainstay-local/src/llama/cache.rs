//! The keys and values of a conversation, so that each token is computed once. Its size is fixed by the context; pages
//! that no position has used yet cost no memory.

use super::Hyper;
use crate::matrix::POSITIONS;

/// A conversation as the model remembers it.
#[derive(Debug)]
pub(crate) struct KvCache {
    tokens: Vec<u32>,
    context: usize,
    kv_heads: usize,
    head_size: usize,
    /// Per layer: keys (heads of tiles of positions, as [`crate::matrix::Heads`] has them) and values (heads of
    /// positions of numbers).
    layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl KvCache {
    /// An empty conversation.
    pub(crate) fn new(hyper: &Hyper) -> Self {
        let context = hyper.context.next_multiple_of(POSITIONS);
        let size = hyper.kv_heads * context * hyper.head_size;
        Self {
            tokens: Vec::new(),
            context,
            kv_heads: hyper.kv_heads,
            head_size: hyper.head_size,
            layers: (0..hyper.layers).map(|_| (vec![0.0; size], vec![0.0; size])).collect(),
        }
    }

    /// Positions held.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Keeps as much of the conversation as `tokens` begins with, but for its last token, and returns how much that is.
    pub(crate) fn keep_prefix(&mut self, tokens: &[u32]) -> usize {
        let reusable = &tokens[..tokens.len().saturating_sub(1)];
        let same = self.tokens.iter().zip(reusable).take_while(|(a, b)| a == b).count();
        self.tokens.truncate(same);
        same
    }

    /// Notes the tokens whose keys and values were stored.
    pub(super) fn extend(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// Stores rows of keys and values of a layer from position `first` on.
    pub(super) fn store(&mut self, layer: usize, first: usize, keys: &[f32], values: &[f32]) {
        let (head_size, row_width) = (self.head_size, self.kv_heads * self.head_size);
        let (key_store, value_store) = &mut self.layers[layer];
        let rows = keys.chunks_exact(row_width).zip(values.chunks_exact(row_width));
        for (position, (keys, values)) in (first..).zip(rows) {
            let heads = keys.chunks_exact(head_size).zip(values.chunks_exact(head_size));
            for (head, (keys, values)) in heads.enumerate() {
                let base = head * self.context * head_size;
                let tile = base + position / POSITIONS * POSITIONS * head_size + position % POSITIONS;
                for (place, key) in key_store[tile..].iter_mut().step_by(POSITIONS).zip(keys) {
                    *place = *key;
                }
                value_store[base + position * head_size..][..head_size].copy_from_slice(values);
            }
        }
    }

    /// Keys (in whole tiles) and values of one head for the first `positions` positions.
    pub(super) fn head(&self, layer: usize, head: usize, positions: usize) -> (&[f32], &[f32]) {
        let base = head * self.context * self.head_size;
        let (keys, values) = &self.layers[layer];
        let keys = &keys[base..][..positions.next_multiple_of(POSITIONS) * self.head_size];
        (keys, &values[base..][..positions * self.head_size])
    }
}
