//! The fake's way of passing bytes through.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_core::model::FinishReason;
use mainstay_core::provider::{Tap, WireFrame, WireRequest, WireResponse};
use mainstay_core::{Error, Result, codes};
use mainstay_testkit::conformance::provider::{Behaviour, MODEL};
use mainstay_testkit::fake_upstream::{Received, recorded};
use serde_json::Value;

use crate::fake::{DIALECT, Fake, Fault};

/// What the fake sends for a failure.
const FAILED: &[u8] = b"{\"error\":\"words with the prompt in them\"}";

impl Fake {
    pub(crate) fn pass(&self, request: WireRequest) -> Result<WireResponse> {
        if request.dialect != DIALECT && !self.has(Fault::SpeaksAnyDialect) {
            return Err(Error::new(&codes::UNSUPPORTED, "the fake speaks one dialect"));
        }
        if self.behaviour == Behaviour::Gone {
            return Err(self.failure().expect("nobody there is a failure"));
        }
        let headers = self.take_passed(&request);
        let content_type = if request.stream { "text/event-stream" } else { "application/json" };
        let headers = [("content-type", content_type), ("retry-after-ms", "17")]
            .into_iter()
            .filter(|_| headers)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let nothing = match self.behaviour {
            Behaviour::SaysNothing => !self.has(Fault::AnswersTooEarly),
            Behaviour::Page | Behaviour::Moved | Behaviour::Empty => !self.has(Fault::PassesAnything),
            _ => false,
        };
        if nothing {
            return Err(Error::new(&codes::PROVIDER_BAD_RESPONSE, "the fake says nothing as told"));
        }
        if let Some(failure) = self.passed_failure() {
            let hides = self.has(Fault::SwallowsMeaning) || self.has(Fault::AnswersTooEarly);
            let frame = Ok(WireFrame { bytes: Bytes::from_static(FAILED), tap: None });
            let failure = (!hides).then_some(failure);
            return Ok(WireResponse { status: 429, headers, failure, body: Box::pin(stream::iter([frame])) });
        }
        let frames = self.frames(&request);
        let caller = self.caller();
        let hangs = self.hangs();
        let frames = stream::iter(frames);
        let body = if hangs { frames.chain(stream::pending()).left_stream() } else { frames.right_stream() };
        let body = body.map(move |frame| {
            let _until_dropped = &caller;
            frame
        });
        Ok(WireResponse { status: 200, headers, failure: None, body: Box::pin(body) })
    }

    /// The failure that stands for the whole of an answer.
    fn passed_failure(&self) -> Option<Error> {
        let at_once = || Error::new(&codes::PROVIDER_UNAVAILABLE, "the fake fails as told");
        self.failure().or_else(|| (self.behaviour == Behaviour::FailsAtOnce).then(at_once))
    }

    /// Records the request as spliced. Returns whether headers pass.
    fn take_passed(&self, request: &WireRequest) -> bool {
        let mut body = request.body.to_vec();
        if !self.has(Fault::KeepsTheCallersModel) {
            body.splice(request.model_span.clone(), format!("\"{}\"", request.model).into_bytes());
        }
        for (span, text) in &request.edits {
            body.splice(span.clone(), text.bytes());
        }
        if self.has(Fault::SortsKeys) {
            let fields: std::collections::BTreeMap<String, Value> =
                serde_json::from_slice(&body).expect("the request is JSON");
            body = serde_json::to_vec(&fields).expect("fields are JSON");
        }
        let passes = !self.has(Fault::DropsHeaders);
        let mut headers = HeaderMap::new();
        for name in ["content-type", "host"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        for (name, value) in request.headers.iter().filter(|_| passes) {
            let value = HeaderValue::from_str(value).expect("the suite's headers are sound");
            headers.insert(HeaderName::from_static(name), value);
        }
        self.take(Received { path: "/".to_owned(), headers, body: body.into() });
        passes
    }

    fn frames(&self, request: &WireRequest) -> Vec<Result<WireFrame>> {
        let file = if request.stream { "text.sse" } else { "text.json" };
        let mut text = String::from_utf8(recorded(DIALECT.0, file).to_vec()).expect("the record is text");
        if self.has(Fault::Rewrites) {
            text = text.replace("\"created\":", "\"created\": ").replace("\"object\": ", "\"object\":");
        }
        let tap = Tap {
            model: Some(MODEL.to_owned()),
            usage: Some(self.usage(request.stream)),
            finish: Some(FinishReason::Stop),
            failure: None,
        };
        let noticed = (!self.has(Fault::NoticesNothing)).then(|| Box::new(tap));
        let breaks = !matches!(self.behaviour, Behaviour::Says(_) | Behaviour::BreaksAfterwards);
        if !request.stream {
            return vec![Ok(WireFrame { bytes: text.into(), tap: noticed })];
        }
        let mut frames = Vec::new();
        for event in text.split_inclusive("\n\n") {
            let strip =
                event.contains("\"choices\":[]") && request.strip_usage && !self.has(Fault::KeepsUsage);
            let bytes = if strip { Bytes::new() } else { Bytes::from(event.to_owned()) };
            frames.push(Ok(WireFrame { bytes, tap: None }));
            if self.behaviour == Behaviour::FailsInside && event.contains("Hei ") {
                let report = Tap { failure: Some(&codes::PROVIDER_UNAVAILABLE), ..Tap::default() };
                let tap = (!self.has(Fault::NoticesNothing)).then(|| Box::new(report));
                frames.push(Ok(WireFrame { bytes: Bytes::from_static(FAILED), tap }));
                return frames;
            }
            if breaks && event.contains("Hei ") {
                let broken = Error::new(&codes::PROVIDER_BAD_RESPONSE, "the fake breaks off as told");
                if self.behaviour == Behaviour::Thinks {
                    let life = [&b": at work\n\n"[..], b""]
                        .map(|bytes| WireFrame { bytes: bytes.into(), tap: None });
                    frames.extend(life.into_iter().filter(|_| !self.has(Fault::HidesLife)).map(Ok));
                }
                let told = !self.hangs() && !self.has(Fault::HidesCuts);
                frames.extend(told.then_some(Err(broken)));
                return frames;
            }
        }
        if let Some(Ok(last)) = frames.last_mut() {
            last.tap = noticed;
        }
        if self.behaviour == Behaviour::BreaksAfterwards && self.has(Fault::MindsTheConnection) {
            frames.push(Err(Error::new(&codes::PROVIDER_BAD_RESPONSE, "the fake breaks off as told")));
        }
        frames
    }
}
