//! What stands around a call of a port. A block calls its port through a component's [`Guard`], never by itself, so that
//! what an operator asks for a component holds for each of its calls, whatever the block.

use mainstay_core::{Ctx, Result};

/// What an operator asks for the calls of one component; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Guard;

impl Guard {
    /// Makes a call. It gets the context to be used for it.
    pub async fn run<T, F: Future<Output = Result<T>> + Send>(
        &self,
        ctx: &Ctx,
        call: impl Fn(Ctx) -> F + Send,
    ) -> Result<T> {
        call(ctx.clone()).await
    }
}
