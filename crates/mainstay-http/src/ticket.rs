//! A request's place among those in flight, from its leave to its whole answer or the last byte of its stream: counted
//! once, reported once, and the key's seat given back with it.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use mainstay_core::telemetry::{Gauge, HttpReport};
use mainstay_core::{Error, RequestId, Result, codes, metric};
use tokio::sync::OwnedSemaphorePermit;

use crate::surface::Shared;

/// What a request is reported with when its caller left before it was answered (the status that nginx writes then).
const CALLER_LEFT: u16 = 499;

/// The place. Dropping it reports the request.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    route: Arc<str>,
    method: &'static str,
    request_id: RequestId,
    status: u16,
    started: Instant,
    counted: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    /// Opens a ticket for a request to `route`.
    pub(crate) fn open(shared: &Arc<Shared>, route: Arc<str>, method: &Method, id: &RequestId) -> Self {
        Self {
            shared: Arc::clone(shared),
            route,
            method: label(method),
            request_id: id.clone(),
            status: CALLER_LEFT,
            started: Instant::now(),
            counted: false,
            permit: None,
        }
    }

    /// Counts the request among those in flight. Errors: `OVERLOADED` when there are `max` already.
    pub(crate) fn count(&mut self, max: usize) -> Result<()> {
        if !self.shared.load.enter(max) {
            self.shared.telemetry.shed(metric::SHED_OVERLOAD);
            let message = "take the request: the server is at its limit of requests in flight";
            let help = "try again shortly, or raise `server.requests_max`";
            return Err(Error::new(&codes::OVERLOADED, message).with_help(help));
        }
        self.counted = true;
        self.shared.telemetry.gauge(Gauge::HttpInFlight, 1);
        Ok(())
    }

    /// Keeps the key's seat until the end of the answer.
    pub(crate) fn hold(&mut self, permit: Option<OwnedSemaphorePermit>) {
        self.permit = permit;
    }

    /// The answer's status is known.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }
}

impl Ticket {
    /// Gives the place and the seat back; the report comes with the end.
    pub(crate) fn give_back(&mut self) {
        // The seat first: whoever sees the request gone finds the seat free.
        self.permit = None;
        if std::mem::take(&mut self.counted) {
            self.shared.telemetry.gauge(Gauge::HttpInFlight, -1);
            self.shared.load.leave();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let telemetry = &self.shared.telemetry;
        let (route, method, status, elapsed) =
            (&*self.route, self.method, self.status, self.started.elapsed());
        telemetry.http(HttpReport { route, method, status, elapsed });
        tracing::debug!(route, method, status, ?elapsed, request_id = %self.request_id, "answered");
        self.give_back();
    }
}

/// The method as a label: a closed set, whatever callers send.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}
