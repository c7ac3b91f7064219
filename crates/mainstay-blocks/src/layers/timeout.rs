//! The longest time of an attempt.

use std::time::Duration;

use mainstay_core::{Ctx, Error, Result, codes};
use tokio::time::Instant;

/// Makes an attempt within its time. The attempt sees its end in its context, so that it need not be cut. Errors:
/// `DEADLINE_EXCEEDED`.
pub(super) async fn within<F: Future>(
    timeout: Option<Duration>,
    ctx: &Ctx,
    call: impl FnOnce(Ctx) -> F,
) -> Result<F::Output> {
    let Some(timeout) = timeout.filter(|timeout| !timeout.is_zero()) else {
        return Ok(call(ctx.clone()).await);
    };
    // A time that cannot be reached is none.
    let Some(end) = Instant::now().checked_add(timeout) else { return Ok(call(ctx.clone()).await) };
    let attempt = call(ctx.clone().with_deadline(end.into_std()));
    let late = |_| {
        Error::new(&codes::DEADLINE_EXCEEDED, "context deadline exceeded: the timeout of its policy is over")
    };
    tokio::time::timeout_at(end, attempt).await.map_err(late)
}
