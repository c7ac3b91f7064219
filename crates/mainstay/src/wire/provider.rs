//! Joins the stores inside the process to the surface that offers them to another runtime.

use std::path::Path;
use std::sync::Arc;

use mainstay_core::Clock;
use mainstay_core::embedded::Embedded;
use mainstay_grpc::Provider;
use mainstay_journal::{EmbeddedOptions, Stores};
use mainstay_net::clock::SystemClock;

/// What is offered.
pub(crate) struct Offer(Arc<Stores>);

impl Offer {
    /// The stores of a folder. They are opened when they are first asked for.
    pub(crate) fn new(folder: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self(Arc::new(Stores::new(EmbeddedOptions::new(folder), clock)))
    }

    /// The service for a socket.
    pub(crate) fn provider(&self) -> Provider {
        Provider::new(Arc::clone(&self.0) as Arc<dyn Embedded>)
    }

    /// Closes the stores.
    pub(crate) async fn close(&self) {
        let stores = Arc::clone(&self.0);
        if let Err(error) = tokio::task::spawn_blocking(move || stores.close()).await {
            tracing::error!(%error, "closing the stores failed; nothing acknowledged is lost");
        }
    }
}
