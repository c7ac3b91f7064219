//! Embedding at an endpoint: one request, one answer that comes whole.

use bytes::Bytes;
use mainstay_core::{Ctx, Result};

use super::{Endpoint, failure, whole};

impl Endpoint {
    /// Sends a request for embeddings to `path` and gives the answer's body. Errors: what a failed answer means in the
    /// endpoint's dialect; `PROVIDER_UNAVAILABLE`, `PROVIDER_BAD_RESPONSE`.
    pub(crate) async fn embed(&self, ctx: &Ctx, path: &str, body: Bytes) -> Result<Bytes> {
        let answer = self.post(ctx, path, body.into(), &[], false).await?;
        if !answer.status().is_success() {
            return Err(failure::of_answer(self.codec, answer).await.0);
        }
        whole(answer.into_body()).await
    }
}
