//! Server-sent events, written (HTML standard, section 9.2): frames with ids and names, text over several lines,
//! comments that keep idle connections open. It reads none.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderValue, StatusCode, header};
use mainstay_core::BoxStream;
use mainstay_core::telemetry::{Gauge, Telemetry};
use tokio::time::{Instant, Sleep};

use crate::reply::{Payload, Response};

/// How long a stream may be silent before a comment is sent. Proxies commonly close after 30 or 60 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// One event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Event<'a> {
    pub(crate) id: Option<u64>,
    /// Without line ends.
    pub(crate) name: Option<&'a str>,
    pub(crate) data: &'a str,
}

impl Event<'_> {
    /// The event as bytes.
    pub(crate) fn encode(self) -> Bytes {
        let mut out = String::with_capacity(self.data.len() + 64);
        if let Some(id) = self.id {
            out.push_str("id: ");
            out.push_str(&id.to_string());
            out.push('\n');
        }
        if let Some(name) = self.name {
            out.push_str("event: ");
            out.push_str(name);
            out.push('\n');
        }
        for line in lines(self.data) {
            out.push_str("data: ");
            out.push_str(line);
            out.push('\n');
        }
        out.push('\n');
        out.into()
    }
}

/// The lines of a text; CR, LF and CRLF all end one, as they do for the reader.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// An answer of events. Comments fill the silences of one that is `kept_alive`.
pub(crate) fn response(
    events: BoxStream<Bytes>,
    telemetry: &Arc<dyn Telemetry>,
    kept_alive: bool,
) -> Response {
    telemetry.gauge(Gauge::StreamsOpen, 1);
    let silence = kept_alive.then(|| Box::pin(tokio::time::sleep(KEEP_ALIVE)));
    let open = Open { events, silence, telemetry: Arc::clone(telemetry) };
    let mut response = Response::new(Payload::Stream(Box::pin(open)));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    // Proxies that buffer hold a stream back; nginx reads this.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An open stream of events.
struct Open {
    events: BoxStream<Bytes>,
    silence: Option<Pin<Box<Sleep>>>,
    telemetry: Arc<dyn Telemetry>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.telemetry.gauge(Gauge::StreamsOpen, -1);
    }
}

impl Stream for Open {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        let next = this.events.as_mut().poll_next(cx);
        let Some(silence) = &mut this.silence else { return next };
        if next.is_ready() {
            silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
            return next;
        }
        if silence.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        // Registers the next wake-up; it cannot be due already.
        let _ = silence.as_mut().poll(cx);
        Poll::Ready(Some(Bytes::from_static(b": keep-alive\n\n")))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use mainstay_testkit::telemetry::Seen;

    use super::*;

    fn check(event: Event<'_>, wanted: &str) {
        assert_eq!(event.encode(), wanted);
    }

    #[test]
    fn text_over_several_lines_stays_one_event() {
        check(Event { data: "a", ..Event::default() }, "data: a\n\n");
        check(Event { id: Some(7), name: Some("x"), data: "a\nb" }, "id: 7\nevent: x\ndata: a\ndata: b\n\n");
        check(Event { data: "a\r\nb\rc\n", ..Event::default() }, "data: a\ndata: b\ndata: c\ndata: \n\n");
        check(
            Event { data: "\n\nevent: forged", ..Event::default() },
            "data: \ndata: \ndata: event: forged\n\n",
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let telemetry: Arc<dyn Telemetry> = Arc::new(Seen::default());
        let slow = futures_util::stream::once(async {
            tokio::time::sleep(KEEP_ALIVE * 2 + Duration::from_secs(1)).await;
            Bytes::from_static(b"data: x\n\n")
        });
        let Payload::Stream(stream) = response(Box::pin(slow), &telemetry, true).into_body() else {
            panic!()
        };
        let said: Vec<Bytes> = stream.collect().await;
        assert_eq!(said, [": keep-alive\n\n", ": keep-alive\n\n", "data: x\n\n"]);
    }
}
