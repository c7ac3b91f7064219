//! What a connection is doing, as far as time is concerned: how long it is quiet, how long a request's head has been
//! arriving, how long the peer has not read. It decides; the sweep asks it and acts.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Instant;

use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ServeOptions;

/// The clock of one connection. Times are milliseconds since it opened, plus one: zero is "not now".
#[derive(Debug)]
pub(super) struct Watch {
    opened: Instant,
    /// Requests whose answers have not ended.
    in_flight: AtomicU32,
    /// Since when nothing is in flight.
    quiet: AtomicU64,
    /// Since when bytes of a request that is not there yet arrive.
    head: AtomicU64,
    /// Since when the peer takes no more bytes.
    blocked: AtomicU64,
    /// Whether a request has come, and by which version of HTTP.
    served: AtomicBool,
    multiplexed: AtomicBool,
}

/// What a connection deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// Nothing has been asked for too long: it may end in order.
    Idle,
    /// It holds its place without using it: it is cut.
    Stuck,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            in_flight: AtomicU32::new(0),
            quiet: AtomicU64::new(1),
            head: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            served: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
        }
    }

    pub(super) fn verdict(&self, options: &ServeOptions) -> Verdict {
        let now = self.now();
        let beyond = |since: u64, limit: std::time::Duration| {
            since > 0 && u128::from(now.saturating_sub(since)) >= limit.as_millis()
        };
        if beyond(self.blocked.load(Relaxed), options.write_timeout) {
            return Verdict::Stuck;
        }
        if self.in_flight.load(Relaxed) > 0 {
            return Verdict::Fine;
        }
        // Over HTTP/2 bytes come without a request (pings, windows), so only the first head is timed.
        let first = !self.served.load(Relaxed);
        let head = if first { 1 } else { self.head.load(Relaxed) };
        if (first || !self.multiplexed.load(Relaxed)) && beyond(head, options.header_timeout) {
            return Verdict::Stuck;
        }
        let quiet = self.quiet.load(Relaxed);
        if beyond(quiet, options.idle_timeout + options.header_timeout) {
            return Verdict::Stuck;
        }
        if beyond(quiet, options.idle_timeout) { Verdict::Idle } else { Verdict::Fine }
    }

    /// A request is there. It is in flight until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>, version: http::Version) -> Busy {
        self.in_flight.fetch_add(1, Relaxed);
        self.head.store(0, Relaxed);
        if !self.served.load(Relaxed) {
            self.multiplexed.store(version == http::Version::HTTP_2, Relaxed);
            self.served.store(true, Relaxed);
        }
        Busy(Arc::clone(self))
    }

    fn received(&self) {
        if self.in_flight.load(Relaxed) == 0 && self.head.load(Relaxed) == 0 {
            self.head.store(self.now(), Relaxed);
        }
    }

    fn wrote(&self, is_blocked: bool) {
        let since = self.blocked.load(Relaxed);
        if is_blocked && since == 0 {
            self.blocked.store(self.now(), Relaxed);
        } else if !is_blocked && since != 0 {
            self.blocked.store(0, Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// A request in flight.
pub(super) struct Busy(Arc<Watch>);

impl Drop for Busy {
    fn drop(&mut self) {
        // The time first: whoever sees nothing in flight sees since when.
        self.0.quiet.store(self.0.now(), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer, which keeps its request in flight.
pub(super) struct Watched<B> {
    pub(super) body: B,
    pub(super) _busy: Busy,
}

impl<B: http_body::Body + Unpin> http_body::Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells its watch what passes.
pub(super) struct Io<S> {
    pub(super) stream: S,
    pub(super) watch: Arc<Watch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch.wrote(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch.wrote(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
