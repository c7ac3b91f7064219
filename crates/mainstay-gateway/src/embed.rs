//! Embeddings. Vectors of two models cannot be compared, so a target stands in for the first one only where it has the
//! same model: another provider of it.

use async_trait::async_trait;
use mainstay_core::embedding::{EmbedRequest, Embedder, Embeddings};
use mainstay_core::model::Usage;
use mainstay_core::{Ctx, Error, Result};

use crate::Gateway;
use crate::dispatch::{expired, within};
use crate::fallover;

#[async_trait]
impl Embedder for Gateway {
    async fn embed(&self, ctx: &Ctx, request: EmbedRequest) -> Result<Embeddings> {
        let table = self.table();
        let (name, model) = table.model(&request.model)?;
        let wanted = model.targets.first().map(|target| &target.model);
        let targets: Vec<_> = model.targets.iter().filter(|target| Some(&target.model) == wanted).collect();
        let mut last = Error::bug(format!("model `{name}` has no targets"));
        for target in targets {
            let provider = table.provider(target)?;
            let asked = EmbedRequest { model: target.model.clone(), ..request.clone() };
            let mut account = self.account(name, &target.provider);
            match within(ctx, model, provider.embed(ctx, asked)).await {
                Ok(answer) => {
                    let usage = Usage { input_uncached: answer.input_tokens, ..Usage::default() };
                    account.answered(usage.clamped());
                    return Ok(answer);
                }
                Err(error) => {
                    account.settle(error.code().id);
                    if !fallover::may_help(&error) || expired(ctx) {
                        return Err(error);
                    }
                    tracing::warn!(model = %name, provider = %target.provider, code = error.code().id, "embedding failed");
                    last = error;
                }
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests;
