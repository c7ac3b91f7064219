//! What is said of a call once it is answered, or its stream has begun: to the meter where there is one, and to the log
//! where files or flags ask for a line a call. Where neither is wanted, nothing is read or kept.

use std::time::Instant;

use http::{Request, Response, Uri};
use mainstay_core::meter::Done;
use tonic::body::Body;

use crate::surface::Shared;

/// A call that is being answered.
pub(crate) struct Noting {
    began: Instant,
    uri: Uri,
    /// Who calls, where that goes to the log.
    agent: Option<String>,
}

impl Noting {
    /// Begins, if somebody wants to hear of it.
    pub(crate) fn begin<B>(shared: &Shared, request: &Request<B>) -> Option<Self> {
        let is_logged = shared.rules().call_log.enabled;
        if shared.blocks.meter().is_none() && !is_logged {
            return None;
        }
        let agent = is_logged.then(|| {
            let agent = request.headers().get("user-agent");
            agent.map_or_else(String::new, |agent| String::from_utf8_lossy(agent.as_bytes()).into_owned())
        });
        Some(Self { began: Instant::now(), uri: request.uri().clone(), agent })
    }

    /// It is answered so. What fails at its start has its code in the head; a stream may still fail later.
    pub(crate) fn end(self, shared: &Shared, response: &Response<Body>) {
        let (elapsed, method) = (self.began.elapsed(), self.uri.path());
        let told = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
        let code: u8 = told.unwrap_or(0);
        if let Some(meter) = shared.blocks.meter() {
            meter.took(Done::Call { method, code }, elapsed);
        }
        if let Some(agent) = self.agent {
            let duration = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%method, code, duration, useragent = %agent, "gRPC API Called");
        }
    }
}
