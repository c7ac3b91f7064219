//! An embedder for tests: a text's vector holds its bytes, so that whoever gets the vector can read the text.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::embedding::{EmbedRequest, Embedder, Embeddings};
use mainstay_core::{Ctx, Result};

/// The embedder.
#[must_use]
pub fn spelling() -> Arc<dyn Embedder> {
    Arc::new(Spelling)
}

/// The byte that a number of a vector stands for.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a byte")]
pub fn byte(number: f64) -> u8 {
    number as u8
}

struct Spelling;

#[async_trait]
impl Embedder for Spelling {
    async fn embed(&self, _: &Ctx, request: EmbedRequest) -> Result<Embeddings> {
        let vectors = request.inputs.iter().map(|text| text.bytes().map(f32::from).collect());
        Ok(Embeddings { model: request.model, vectors: vectors.collect(), input_tokens: 0 })
    }
}
