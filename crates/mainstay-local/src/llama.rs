//! The Llama architecture on packed matrices: embedding, layers of grouped attention with rotary positions and gated
//! feed-forward, and logits of the last position. It knows tokens, not text.

mod cache;
mod hyper;
mod rope;
mod weights;

use mainstay_core::Result;
use rayon::prelude::*;

use crate::gguf::Gguf;
use crate::matrix::{self, Activations, Heads, attend, multiply};
pub(crate) use cache::KvCache;
pub(crate) use hyper::Hyper;
use rope::Rope;
use weights::{Layer, Weights};

/// Positions computed together while reading a prompt. Bounds the working memory and the time between two looks at
/// whether anybody still waits.
pub(crate) const BATCH_MAX: usize = 128;

/// A loaded model. It holds no conversation; [`KvCache`] does.
#[derive(Debug)]
pub(crate) struct Llama {
    hyper: Hyper,
    weights: Weights,
    rope: Rope,
}

/// Working memory of one computation after another.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    input: Activations,
    hidden: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    mixed: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    logits: Vec<f32>,
}

impl Scratch {
    /// The logits of what may come next, after the last [`Llama::forward`].
    pub(crate) fn logits(&self) -> &[f32] {
        &self.logits
    }
}

impl Llama {
    /// Loads a model to be used with at most `context_max` positions.
    pub(crate) fn load(gguf: &mut Gguf, context_max: usize) -> Result<Self> {
        let hyper = Hyper::read(gguf, context_max)?;
        let rope = Rope::new(gguf, &hyper)?;
        let weights = Weights::read(gguf, &hyper)?;
        Ok(Self { hyper, weights, rope })
    }

    /// The model's dimensions.
    pub(crate) fn hyper(&self) -> &Hyper {
        &self.hyper
    }

    /// Appends at most [`BATCH_MAX`] tokens to the cache's conversation and leaves the logits of what may come next in
    /// `scratch`. The caller keeps the conversation within the context and token ids within the vocabulary.
    pub(crate) fn forward(&self, tokens: &[u32], cache: &mut KvCache, scratch: &mut Scratch) {
        let (rows, width) = (tokens.len(), self.hyper.width);
        scratch.hidden.resize(rows * width, 0.0);
        for (token, hidden) in tokens.iter().zip(scratch.hidden.chunks_exact_mut(width)) {
            self.weights.embeddings.row(*token as usize, hidden);
        }
        for (index, layer) in self.weights.layers.iter().enumerate() {
            self.attention(layer, index, rows, cache, scratch);
            self.feed_forward(layer, rows, scratch);
        }
        cache.extend(tokens);
        self.logits(rows, scratch);
    }

    fn attention(&self, layer: &Layer, index: usize, rows: usize, cache: &mut KvCache, s: &mut Scratch) {
        let (hyper, first) = (&self.hyper, cache.len());
        let (width, head) = (hyper.width, hyper.head_size);
        let (query_width, kv_width) = (hyper.heads * head, hyper.kv_heads * head);
        let hidden = &s.hidden;
        s.input.fill(rows, width, |row, out| {
            hyper.normalise(&hidden[row * width..][..width], &layer.attention_norm, out);
        });
        s.queries.resize(rows * query_width, 0.0);
        s.keys.resize(rows * kv_width, 0.0);
        s.values.resize(rows * kv_width, 0.0);
        multiply(
            &s.input,
            &mut [(&layer.query, &mut s.queries), (&layer.key, &mut s.keys), (&layer.value, &mut s.values)],
        );
        self.rope.rotate(&mut s.queries, query_width, head, first);
        self.rope.rotate(&mut s.keys, kv_width, head, first);
        cache.store(index, first, &s.keys, &s.values);

        let group = hyper.heads / hyper.kv_heads * head;
        s.mixed.resize(rows * query_width, 0.0);
        let (queries, cache) = (&s.queries, &*cache);
        let attend_group = |(at, out): (usize, &mut [f32])| {
            let (row, kv_head) = (at / hyper.kv_heads, at % hyper.kv_heads);
            let (keys, values) = cache.head(index, kv_head, first + row + 1);
            attend(&Heads { queries: &queries[at * group..][..group], keys, values, size: head }, out);
        };
        // Threads pay off once the heads have enough positions to look at.
        if rows * (first + rows) * hyper.heads < 1024 {
            s.mixed.chunks_exact_mut(group).enumerate().for_each(attend_group);
        } else {
            s.mixed.par_chunks_exact_mut(group).enumerate().for_each(attend_group);
        }
        let mixed = &s.mixed;
        s.input.fill(rows, query_width, |row, out| {
            out.copy_from_slice(&mixed[row * query_width..][..query_width]);
        });
        s.up.resize(rows * width, 0.0);
        multiply(&s.input, &mut [(&layer.attention_output, &mut s.up)]);
        add(&mut s.hidden, &s.up);
    }

    fn feed_forward(&self, layer: &Layer, rows: usize, s: &mut Scratch) {
        let (hyper, width, inner) = (&self.hyper, self.hyper.width, self.hyper.inner_width);
        let hidden = &s.hidden;
        s.input.fill(rows, width, |row, out| {
            hyper.normalise(&hidden[row * width..][..width], &layer.feed_forward_norm, out);
        });
        s.gate.resize(rows * inner, 0.0);
        s.up.resize(rows * inner, 0.0);
        multiply(&s.input, &mut [(&layer.gate, &mut s.gate), (&layer.up, &mut s.up)]);
        let (gate, up) = (&s.gate, &s.up);
        s.input.fill(rows, inner, |row, out| {
            matrix::gate(&gate[row * inner..][..inner], &up[row * inner..][..inner], out);
        });
        s.mixed.resize(rows * width, 0.0);
        multiply(&s.input, &mut [(&layer.down, &mut s.mixed)]);
        add(&mut s.hidden, &s.mixed);
    }

    fn logits(&self, rows: usize, s: &mut Scratch) {
        let (hyper, width) = (&self.hyper, self.hyper.width);
        let last = &s.hidden[(rows - 1) * width..][..width];
        s.input.fill(1, width, |_, out| hyper.normalise(last, &self.weights.output_norm, out));
        s.logits.resize(hyper.vocabulary, 0.0);
        let output = self.weights.output.as_ref().unwrap_or(&self.weights.embeddings);
        multiply(&s.input, &mut [(output, &mut s.logits)]);
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

#[cfg(test)]
mod tests;
