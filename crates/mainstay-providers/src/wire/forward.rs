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
use mainstay_core::{Ctx, Error, Result, codes};
use mainstay_dialects::Codec;
use mainstay_dialects::codec::TapState;
use mainstay_dialects::envelope::splice;
use mainstay_dialects::sse::{Frame, Parser};
use mainstay_net::client::AnswerBody;

use super::{Endpoint, failure, is_event_stream, whole};

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
            return Ok(WireResponse {
                status,
                headers,
                failure: Some(error),
                body: Box::pin(stream::iter([Ok(frame)])),
            });
        }
        if is_event_stream(answer.headers()) {
            let body = Tapped::new(answer.into_body(), self.codec, request.strip_usage);
            return Ok(WireResponse { status, headers, failure: None, body: Box::pin(body) });
        }
        let bytes = whole(answer.into_body()).await?;
        let tap = (self.codec.tap_body)(&bytes).map(Box::new);
        let body = Box::pin(stream::iter([Ok(WireFrame { bytes, tap })]));
        Ok(WireResponse { status, headers, failure: None, body })
    }
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
    failed: Option<Error>,
    over: bool,
}

impl Tapped {
    fn new(body: AnswerBody, codec: &'static Codec, strip_usage: bool) -> Self {
        let (parser, state) = (Parser::default(), TapState::default());
        Self { body, codec, parser, state, strip_usage, ready: VecDeque::new(), failed: None, over: false }
    }

    fn take(&mut self, chunk: Bytes) -> Result<()> {
        self.parser.push(chunk);
        while let Some(frame) = self.parser.next_frame()? {
            self.tap(frame);
        }
        Ok(())
    }

    fn tap(&mut self, frame: Frame) {
        let seen = (self.codec.tap)(&mut self.state, &frame);
        let strip = self.strip_usage && seen.usage_only;
        let bytes = if strip { Bytes::new() } else { frame.into_bytes() };
        self.ready.push_back(WireFrame { bytes, tap: seen.tap.map(Box::new) });
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
            if this.over {
                return Poll::Ready(this.failed.take().map(Err));
            }
            let failed = match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data().ok().and_then(|chunk| this.take(chunk).err()),
                Some(Err(error)) => Some(
                    Error::new(&codes::PROVIDER_BAD_RESPONSE, "read the provider's stream: it broke off")
                        .with_source(error),
                ),
                None => this.end(),
            };
            // Frames that came before the failure go first.
            if failed.is_some() {
                (this.failed, this.over) = (failed, true);
            }
        }
    }
}
