//! What a handler gets: the request, who makes it, and the engines to answer it with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::request::Parts;
use mainstay_core::{Ctx, Error, RequestId, Result, codes};
use parking_lot::Mutex;

use crate::body::RequestBody;
use crate::router::PathParams;
use crate::surface::{Live, Shared};

/// A request that was let in.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) live: Arc<Live>,
    /// Without a deadline; handlers set one where the answer comes whole.
    pub(crate) ctx: Ctx,
    pub(crate) parts: Parts,
    /// Behind a lock only because bodies are not `Sync`; nobody ever waits for it.
    pub(crate) body: Mutex<RequestBody>,
    pub(crate) params: PathParams,
}

impl Call {
    pub(crate) fn request_id(&self) -> &RequestId {
        self.ctx.request_id()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// A header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the path, decoded; empty when it is not text.
    pub(crate) fn path_param(&self, name: &str) -> &str {
        self.params.get(name)
    }

    /// The parameters of the query. Names that the route does not know are ignored.
    pub(crate) fn query(&self) -> QueryParams {
        let query = self.parts.uri.query().unwrap_or_default();
        QueryParams(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// How long the caller of a whole answer waits.
    pub(crate) fn patience(&self) -> Duration {
        self.live.settings.server.request_timeout
    }

    /// The context for an answer that comes whole.
    pub(crate) fn bounded_ctx(&self) -> Ctx {
        self.ctx.clone().with_deadline(Instant::now() + self.patience())
    }
}

/// The parameters of a query; of repeated ones the first holds.
pub(crate) struct QueryParams(Vec<(String, String)>);

impl QueryParams {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter, read by `parse`. Errors: `INVALID_FIELD` with what it must be.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| {
            Error::new(&codes::INVALID_FIELD, format!("read `{name}`: it must be {wanted}")).with_field(name)
        })
    }

    /// A page's length. Errors: `INVALID_FIELD` when it is out of bounds.
    pub(crate) fn limit(&self) -> Result<usize> {
        let within = |text: &str| text.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n));
        Ok(self.parsed("limit", "a whole number from 1 to 1000", within)?.unwrap_or(PAGE_DEFAULT))
    }
}

/// Longest page of a list.
const PAGE_MAX: usize = 1_000;
/// Page of a list when none is asked for.
const PAGE_DEFAULT: usize = 100;
