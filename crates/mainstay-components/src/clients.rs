//! ★ Clients that several members share: their settings, how they connect, and what their failures mean. To add one: a
//! file in `clients/`, a line here, and a feature in the manifest.

#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::time::Instant;

use mainstay_core::{Ctx, Error, Result, codes};

/// Runs a call until the context's deadline; without one, until it ends.
pub(crate) async fn within<T>(ctx: &Ctx, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let Some(left) = ctx.remaining(Instant::now()) else { return call.await };
    let late = |_| Error::new(&codes::DEADLINE_EXCEEDED, "call the backend: it did not answer in time");
    tokio::time::timeout(left, call).await.map_err(late)?
}
