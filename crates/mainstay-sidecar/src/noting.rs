//! What is said of a request once it is answered: to the meter where there is one, and to the log where files or flags
//! ask for a line a call. Where neither is wanted, nothing is read or kept.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Instant;

use http::Method;
use http::request::Parts;
use http_body::Body as _;
use mainstay_core::meter::Done;
use mainstay_core::runtime_config::CallLog;

use crate::answer::Answer;
use crate::surface::Shared;

/// The route of what is passed on to an app.
static INVOKE: LazyLock<Arc<str>> = LazyLock::new(|| "/v1.0/invoke/{id}/method/{method}".into());

/// The way a request took, found out while it is answered.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    route: OnceLock<Arc<str>>,
    is_probe: OnceLock<()>,
}

impl Taken {
    /// It is for a row of the table, with this template.
    pub(crate) fn by(&self, template: &Arc<str>, is_probe: bool) {
        // A request has one way; what a pipeline turned it into is looked up last.
        let _ = self.route.set(Arc::clone(template));
        if is_probe {
            let _ = self.is_probe.set(());
        }
    }

    /// It is passed on.
    pub(crate) fn by_invocation(&self) {
        let _ = self.route.set(Arc::clone(&INVOKE));
    }

    fn route(&self) -> &str {
        self.route.get().map_or("unknown", |route| &**route)
    }
}

/// A request that is being answered.
pub(crate) struct Noting {
    began: Instant,
    method: Method,
    line: Option<Line>,
}

struct Line {
    log: CallLog,
    path: String,
    agent: String,
}

impl Noting {
    /// Begins, if somebody wants to hear of it.
    pub(crate) fn begin(shared: &Shared, log: CallLog, parts: &Parts) -> Option<Self> {
        if shared.blocks.meter().is_none() && !log.enabled {
            return None;
        }
        let line = log.enabled.then(|| Line {
            log,
            path: parts.uri.path().to_owned(),
            agent: parts
                .headers
                .get("user-agent")
                .map_or_else(String::new, |agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
        });
        Some(Self { began: Instant::now(), method: parts.method.clone(), line })
    }

    /// It is answered so; a body may still be on its way.
    pub(crate) fn end(self, shared: &Shared, taken: &Taken, answer: &Answer) {
        let (elapsed, status) = (self.began.elapsed(), answer.status().as_u16());
        if let Some(meter) = shared.blocks.meter() {
            meter.took(Done::Request { route: taken.route(), method: self.method.as_str(), status }, elapsed);
        }
        let Some(Line { log, path, agent }) = self.line else { return };
        if log.without_health && taken.is_probe.get().is_some() {
            return;
        }
        let shown = if log.obfuscated { taken.route() } else { path.as_str() };
        let (method, size) = (format_args!("{} {shown}", self.method), answer.body().size_hint().exact());
        let duration = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%method, code = status, duration, useragent = %agent, size, "HTTP API Called");
    }
}
