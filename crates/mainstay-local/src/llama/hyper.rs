//! A model's dimensions, as its file states them.

use mainstay_core::Result;

use crate::gguf::{Gguf, unusable};

/// Most positions, layers or rows of anything that a file may claim: a bound on what a damaged one can make us
/// allocate.
const DIMENSION_MAX: usize = 1 << 20;

/// The dimensions.
#[derive(Clone, Debug)]
pub(crate) struct Hyper {
    /// Tokens known.
    pub(crate) vocabulary: usize,
    /// Layers.
    pub(crate) layers: usize,
    /// Numbers per position between layers.
    pub(crate) width: usize,
    /// Numbers per position inside the feed-forward part.
    pub(crate) inner_width: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads; a whole fraction of the query heads.
    pub(crate) kv_heads: usize,
    /// Numbers per head.
    pub(crate) head_size: usize,
    /// Numbers per head that are rotated.
    pub(crate) rotated: usize,
    /// Positions that a conversation may have.
    pub(crate) context: usize,
    /// Base of the rotary frequencies.
    pub(crate) rope_base: f32,
    /// Smallest variance in a normalisation.
    pub(crate) epsilon: f32,
}

impl Hyper {
    /// Reads and checks the dimensions; the context is the smaller of the model's and `context_max`.
    pub(crate) fn read(gguf: &Gguf, context_max: usize) -> Result<Self> {
        let architecture = gguf.text("general.architecture").unwrap_or("unknown");
        if architecture != "llama" {
            let why = format!("its architecture is `{architecture}`, and only `llama` can be run");
            return Err(unusable(gguf.name(), why));
        }
        let heads = gguf.required("llama.attention.head_count")?;
        let width = gguf.required("llama.embedding_length")?;
        let head_size = gguf.number("llama.attention.key_length").unwrap_or(width / heads.max(1));
        let hyper = Self {
            vocabulary: gguf.list("tokenizer.ggml.tokens").map_or(0, <[_]>::len),
            layers: gguf.required("llama.block_count")?,
            width,
            inner_width: gguf.required("llama.feed_forward_length")?,
            heads,
            kv_heads: gguf.number("llama.attention.head_count_kv").unwrap_or(heads),
            head_size,
            rotated: gguf.number("llama.rope.dimension_count").unwrap_or(head_size),
            context: gguf.required("llama.context_length")?.min(context_max),
            rope_base: gguf.fraction("llama.rope.freq_base").unwrap_or(10_000.0),
            epsilon: gguf.fraction("llama.attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
        };
        if hyper.is_sound() {
            Ok(hyper)
        } else {
            Err(unusable(gguf.name(), "its dimensions contradict each other"))
        }
    }

    fn is_sound(&self) -> bool {
        let counts = [
            self.vocabulary,
            self.layers,
            self.width,
            self.inner_width,
            self.heads,
            self.kv_heads,
            self.head_size,
            self.rotated,
            self.context,
        ];
        counts.iter().all(|count| (1..=DIMENSION_MAX).contains(count))
            && self.heads.is_multiple_of(self.kv_heads)
            && self.rotated.is_multiple_of(2)
            && self.rotated <= self.head_size
            && self.head_size.is_multiple_of(4)
    }

    /// Root-mean-square normalisation of one position.
    pub(crate) fn normalise(&self, numbers: &[f32], weights: &[f32], out: &mut [f32]) {
        let mut squares = [0_f32; 16];
        for numbers in numbers.chunks(squares.len()) {
            for (sum, number) in squares.iter_mut().zip(numbers) {
                *sum += number * number;
            }
        }
        let squares: f32 = squares.iter().sum();
        let factor = 1.0 / (squares / numbers.len() as f32 + self.epsilon).sqrt();
        for (out, (number, weight)) in out.iter_mut().zip(numbers.iter().zip(weights)) {
            *out = number * factor * weight;
        }
    }
}
