//! An app that answers with given events.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use mainstay_core::app::{App, AppEvent, AppRequest};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use parking_lot::Mutex;

pub(crate) struct Played {
    events: Mutex<Option<Result<Vec<Result<AppEvent>>>>>,
    pub(crate) asked: Mutex<Vec<AppRequest>>,
}

/// An app that gives these events to its first caller and is gone after.
pub(crate) fn app(events: Result<Vec<Result<AppEvent>>>) -> Arc<Played> {
    Arc::new(Played { events: Mutex::new(Some(events)), asked: Mutex::default() })
}

fn gone() -> Error {
    Error::new(&codes::APP_UNAVAILABLE, "the app cannot be reached")
}

#[async_trait]
impl App for Played {
    async fn invoke(&self, _: &Ctx, request: AppRequest) -> Result<BoxStream<Result<AppEvent>>> {
        self.asked.lock().push(request);
        let events = self.events.lock().take().unwrap_or_else(|| Err(gone()))?;
        Ok(Box::pin(stream::iter(events)))
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        if self.events.lock().is_some() { Ok(()) } else { Err(gone()) }
    }

    async fn stop(&self, _: Duration) {}
}
