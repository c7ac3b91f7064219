//! Bytes through: the request as received but for its edits, the answer as it comes, tapped on the side.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use http::HeaderMap;
use http_body::Body as _;
use mainstay_core::provider::{WireFrame, WireRequest, WireResponse};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use mainstay_dialects::Codec;
use mainstay_dialects::codec::{Seen, TapState};
use mainstay_dialects::envelope::splice;
use mainstay_dialects::sse::{Frame, Parser};
use mainstay_net::client::AnswerBody;

use super::{Endpoint, broke_off, failure, is_event_stream, is_page, whole};

/// Headers of the answer that go back to the caller; with those that begin with one of `PASSED_PREFIXES`.
const PASSED: &[&str] = &[
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "openai-processing-ms",
    "openai-version",
];
const PASSED_PREFIXES: &[&str] = &["x-ratelimit-", "anthropic-ratelimit-"];

/// Bytes of comments before a stream's first event with data: all that a provider at work sends in an hour.
const COMMENT_BYTES_MAX: usize = 64 << 10;

impl Endpoint {
    /// Passes a request of this endpoint's dialect through.
    pub(crate) async fn forward(&self, ctx: &Ctx, path: &str, request: WireRequest) -> Result<WireResponse> {
        if request.dialect != self.codec.dialect {
            let message = format!(
                "pass a request of dialect `{}` through: this endpoint speaks another",
                request.dialect.0
            );
            return Err(Error::new(&codes::UNSUPPORTED, message));
        }
        let answer = self
            .post(ctx, path, splice(&request).into_iter().collect(), &request.headers, request.stream)
            .await?;
        let status = answer.status().as_u16();
        let headers = passed(answer.headers());
        if status >= 400 {
            let (error, body) = failure::of_answer(self.codec, answer).await;
            let frame = WireFrame { bytes: body, tap: None };
            return Ok(WireResponse { status, headers, failure: Some(error), body: at_hand([frame]) });
        }
        if !answer.status().is_success() || is_page(answer.headers()) {
            // A redirect, or the page of whoever sits in front: no answer of any dialect, so nothing to pass on.
            return Err(failure::of_answer(self.codec, answer).await.0);
        }
        if is_event_stream(answer.headers()) {
            let mut body = Tapped::new(answer.into_body(), self.codec, request.strip_usage);
            body.begin().await?;
            return Ok(match body.failure.take() {
                // What failed has nothing more to say: the connection is not kept for it.
                Some(error) => {
                    WireResponse { status, headers, failure: Some(error), body: at_hand(body.ready) }
                }
                None => WireResponse { status, headers, failure: None, body: Box::pin(body) },
            });
        }
        let bytes = whole(answer.into_body()).await?;
        if bytes.trim_ascii().is_empty() {
            let message = format!("read the provider's answer: it is empty (status {status})");
            return Err(Error::new(&codes::PROVIDER_BAD_RESPONSE, message));
        }
        let Seen { tap, failure, .. } = (self.codec.tap_body)(&bytes);
        let frame = WireFrame { bytes, tap: tap.map(Box::new) };
        Ok(WireResponse { status, headers, failure, body: at_hand([frame]) })
    }
}

/// A body of which everything has come.
fn at_hand<I>(frames: I) -> BoxStream<Result<WireFrame>>
where
    I: IntoIterator<Item = WireFrame, IntoIter: Send + 'static>,
{
    Box::pin(stream::iter(frames.into_iter().map(Ok)))
}

fn passed(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut passed = Vec::with_capacity(4);
    for (name, value) in headers {
        let name = name.as_str();
        let passes = PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if let (true, Ok(value)) = (passes, value.to_str()) {
            passed.push((name.to_owned(), value.to_owned()));
        }
    }
    passed
}

/// A stream of events as received: what one chunk holds of whole events goes on in one frame.
struct Tapped {
    body: AnswerBody,
    codec: &'static Codec,
    parser: Parser,
    state: TapState,
    strip_usage: bool,
    ready: VecDeque<WireFrame>,
    /// Whether an event with data has come.
    begun: bool,
    /// What the first such event means, where it reports a failure.
    failure: Option<Error>,
    failed: Option<Error>,
    over: bool,
}

impl Tapped {
    fn new(body: AnswerBody, codec: &'static Codec, strip_usage: bool) -> Self {
        Self {
            body,
            codec,
            parser: Parser::default(),
            state: TapState::default(),
            strip_usage,
            ready: VecDeque::new(),
            begun: false,
            failure: None,
            failed: None,
            over: false,
        }
    }

    /// Waits for the first event with data; what has come until then stays ready. Errors: how the stream ended, where
    /// that comes first.
    async fn begin(&mut self) -> Result<()> {
        while !self.begun {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.ready.iter().map(|frame| frame.bytes.len()).sum::<usize>() > COMMENT_BYTES_MAX {
                let message = "read the provider's stream: it consists of comments";
                return Err(Error::new(&codes::PROVIDER_BAD_RESPONSE, message));
            }
            std::future::poll_fn(|cx| self.poll_chunk(cx)).await;
        }
        Ok(())
    }

    fn take(&mut self, chunk: Bytes) -> Result<()> {
        self.parser.push(chunk);
        while let Some(frame) = self.parser.next_frame()? {
            self.tap(frame);
        }
        Ok(())
    }

    fn tap(&mut self, frame: Frame) {
        let Seen { tap, usage_only, failure } = (self.codec.tap)(&mut self.state, &frame);
        if !self.begun && frame.has_data() {
            (self.begun, self.failure) = (true, failure);
        }
        let strip = self.strip_usage && usage_only;
        let bytes = if strip { Bytes::new() } else { frame.into_bytes() };
        self.ready.push_back(WireFrame { bytes, tap: tap.map(Box::new) });
    }

    /// Reads a piece of the body: what it completes is ready then, or the stream is over.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let failed = match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame.into_data().ok().and_then(|chunk| self.take(chunk).err()),
            Some(Err(error)) => {
                self.over = true;
                // How the connection of a stream ends that was whole is nobody's concern.
                (!self.state.complete).then(|| broke_off(error))
            }
            None => self.end(),
        };
        if failed.is_some() {
            (self.failed, self.over) = (failed, true);
        }
        Poll::Ready(())
    }

    /// The stream is over. What is left without its blank line still goes on: some servers end so.
    fn end(&mut self) -> Option<Error> {
        self.over = true;
        if let Some(rest) = self.parser.finish() {
            self.tap(rest);
        }
        let message = "read the provider's stream: it ended without its closing event";
        (!self.state.complete).then(|| Error::new(&codes::PROVIDER_BAD_RESPONSE, message))
    }
}

impl Stream for Tapped {
    type Item = Result<WireFrame>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(frame) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            // Frames that came before the failure have gone first.
            if this.over {
                return Poll::Ready(this.failed.take().map(Err));
            }
            std::task::ready!(this.poll_chunk(cx));
            if this.ready.is_empty() && !this.over {
                return Poll::Ready(Some(Ok(WireFrame::default())));
            }
        }
    }
}
