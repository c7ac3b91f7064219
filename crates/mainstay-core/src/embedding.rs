//! Embeddings: texts as vectors whose distance says how near their meanings are, and the port that tools and surfaces
//! ask for them.

use async_trait::async_trait;

use crate::{Ctx, Result};

/// Texts to be embedded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmbedRequest {
    /// The model's name: as the spec has it above the gateway, as the provider knows it below.
    pub model: String,
    /// The texts; at least one.
    pub inputs: Vec<String>,
    /// Numbers in a vector, where the model can make shorter ones; its own number when absent.
    pub dimensions: Option<u32>,
}

/// The vectors of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    /// The model as the provider named it.
    pub model: String,
    /// A vector for each text, in their order, all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of the texts, as far as the provider tells.
    pub input_tokens: u64,
}

impl EmbedRequest {
    /// Texts of a request, at most.
    pub const INPUTS_MAX: usize = 2048;
    /// Numbers in a vector, at most.
    pub const DIMENSIONS_MAX: u32 = 65_536;
    /// Numbers in all vectors of an answer that can be asked for, at most: 32 MiB of them.
    pub const NUMBERS_MAX: u64 = 1 << 23;
}

/// The port. Implemented by the gateway.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// Embeds the texts with `request.model`, a name of the spec. The same texts give the same vectors, so it may be
    /// repeated, but each call is paid for. Cancel by dropping. Errors: `MODEL_NOT_FOUND`; `UNSUPPORTED` where the
    /// model's provider has no embeddings; the `PROVIDER_*` codes of the last target tried; `DEADLINE_EXCEEDED`.
    async fn embed(&self, ctx: &Ctx, request: EmbedRequest) -> Result<Embeddings>;
}
