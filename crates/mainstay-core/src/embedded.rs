//! The port of the stores inside the process: what a component of an embedded type is opened from, so that the registry
//! of types does not know the engine behind them.

use std::sync::Arc;

use crate::Result;
use crate::pubsub::PubSub;
use crate::state::StateStore;

/// The stores inside the process. Each name is a store of its own; the same name is the same store, across restarts
/// too.
pub trait Embedded: Send + Sync {
    /// The durable state store of this name. Errors: `JOURNAL_*`.
    fn state_store(&self, name: &str) -> Result<Arc<dyn StateStore>>;

    /// The durable broker of this name. Errors: `JOURNAL_*`.
    fn pubsub(&self, name: &str) -> Result<Arc<dyn PubSub>>;
}
