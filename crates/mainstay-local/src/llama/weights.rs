//! A model's weights, read tensor by tensor so that no second copy of the whole exists at any time.

use mainstay_core::Result;

use super::Hyper;
use crate::gguf::{Gguf, unusable};
use crate::matrix::Matrix;

/// All weights.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) embeddings: Matrix,
    pub(super) layers: Vec<Layer>,
    pub(super) output_norm: Vec<f32>,
    /// Absent where the embeddings serve as output too.
    pub(super) output: Option<Matrix>,
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    pub(super) query: Matrix,
    pub(super) key: Matrix,
    pub(super) value: Matrix,
    pub(super) attention_output: Matrix,
    pub(super) feed_forward_norm: Vec<f32>,
    pub(super) gate: Matrix,
    pub(super) up: Matrix,
    pub(super) down: Matrix,
}

const LAYER_TENSORS: [&str; 9] =
    ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"];

impl Weights {
    /// Reads all weights. A tensor that this architecture does not have is refused: ignoring it would give wrong
    /// answers.
    pub(super) fn read(gguf: &mut Gguf, hyper: &Hyper) -> Result<Self> {
        refuse_unknown_tensors(gguf)?;
        let (vocabulary, width) = (hyper.vocabulary, hyper.width);
        let output = match gguf.has("output.weight") {
            true => Some(gguf.matrix("output.weight", vocabulary, width)?),
            false => None,
        };
        Ok(Self {
            embeddings: gguf.matrix("token_embd.weight", vocabulary, width)?,
            layers: (0..hyper.layers).map(|index| Layer::read(gguf, hyper, index)).collect::<Result<_>>()?,
            output_norm: gguf.vector("output_norm.weight", width)?,
            output,
        })
    }
}

impl Layer {
    fn read(gguf: &mut Gguf, hyper: &Hyper, index: usize) -> Result<Self> {
        let name = |tensor: &str| format!("blk.{index}.{tensor}.weight");
        let (width, inner) = (hyper.width, hyper.inner_width);
        let (query, kv) = (hyper.heads * hyper.head_size, hyper.kv_heads * hyper.head_size);
        Ok(Self {
            attention_norm: gguf.vector(&name("attn_norm"), width)?,
            query: gguf.matrix(&name("attn_q"), query, width)?,
            key: gguf.matrix(&name("attn_k"), kv, width)?,
            value: gguf.matrix(&name("attn_v"), kv, width)?,
            attention_output: gguf.matrix(&name("attn_output"), width, query)?,
            feed_forward_norm: gguf.vector(&name("ffn_norm"), width)?,
            gate: gguf.matrix(&name("ffn_gate"), inner, width)?,
            up: gguf.matrix(&name("ffn_up"), inner, width)?,
            down: gguf.matrix(&name("ffn_down"), width, inner)?,
        })
    }
}

fn refuse_unknown_tensors(gguf: &Gguf) -> Result<()> {
    let known = |name: &str| {
        let whole = ["token_embd.weight", "output_norm.weight", "output.weight", "rope_freqs.weight"];
        let in_layer = || {
            let (_, tensor) = name.strip_prefix("blk.")?.split_once('.')?;
            LAYER_TENSORS.contains(&tensor.strip_suffix(".weight")?).then_some(())
        };
        whole.contains(&name) || in_layer().is_some()
    };
    match gguf.tensors().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(unusable(gguf.name(), format!("its tensor `{name}` is not known"))),
    }
}
