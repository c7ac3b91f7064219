//! The gateway over providers that answer as told.

use std::collections::VecDeque;

use mainstay_core::BoxStream;
use mainstay_core::model::{FinishReason, Usage};
use mainstay_core::provider::{Capabilities, ModelCard, Tap, WireFrame};
use mainstay_testkit::telemetry::Seen;
use parking_lot::Mutex;

use super::*;

const OURS: Dialect = Dialect("ours");

/// What a fake provider does with its next call.
enum Act {
    Fail(&'static mainstay_core::Code),
    Status(u16, &'static mainstay_core::Code),
    Say(&'static str),
    /// Says something and then nothing more.
    SayAndStall(&'static str),
    /// Says something and then reports a failure in the stream.
    SayAndReport(&'static str, &'static mainstay_core::Code),
    FailAfterStart(&'static mainstay_core::Code),
    Hang,
}

struct Fake {
    acts: Mutex<VecDeque<Act>>,
    dialects: &'static [Dialect],
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn new(dialects: &'static [Dialect], acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self { acts: Mutex::new(acts.into_iter().collect()), dialects, asked: Mutex::default() })
    }

    fn next(&self) -> Act {
        self.acts.lock().pop_front().expect("the test gave too few acts")
    }
}

#[async_trait]
impl Provider for Fake {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dialects: self.dialects,
            tools: true,
            images: false,
            json_schema: false,
            lists_models: false,
            embeddings: false,
        }
    }

    async fn complete(&self, _: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        self.asked.lock().push(format!("complete {}", request.model));
        let start = Ok(ModelEvent::Start { id: "1".into(), model: request.model });
        match self.next() {
            Act::Fail(code) | Act::Status(_, code) | Act::SayAndReport(_, code) => {
                Err(Error::new(code, "told to"))
            }
            Act::Say(text) => {
                let usage = Usage { output: 3, ..Usage::default() };
                let rest = [
                    ModelEvent::Text(text.into()),
                    ModelEvent::Usage(usage),
                    ModelEvent::Finish(FinishReason::Stop),
                ];
                Ok(Box::pin(stream::iter([start].into_iter().chain(rest.map(Ok)))))
            }
            Act::FailAfterStart(code) => {
                Ok(Box::pin(stream::iter([start, Err(Error::new(code, "told to"))])))
            }
            Act::SayAndStall(text) => {
                let said = stream::iter([start, Ok(ModelEvent::Text(text.into()))]);
                Ok(Box::pin(said.chain(stream::pending())))
            }
            Act::Hang => std::future::pending().await,
        }
    }

    async fn forward(&self, _: &Ctx, request: WireRequest) -> Result<WireResponse> {
        self.asked.lock().push(format!("forward {}", request.model));
        let answer = |status, failure, text: &'static str| {
            let tap = Tap { usage: Some(Usage { output: 7, ..Usage::default() }), ..Tap::default() };
            frames(status, failure, vec![(text, tap)])
        };
        match self.next() {
            Act::Fail(code) | Act::FailAfterStart(code) => Err(Error::new(code, "told to")),
            Act::Status(status, code) => answer(status, Some(Error::new(code, "told to")), "refused"),
            Act::Say(text) => answer(200, None, text),
            Act::SayAndReport(text, code) => {
                let report = Tap { failure: Some(code), ..Tap::default() };
                frames(200, None, vec![(text, Tap::default()), (" failed", report)])
            }
            Act::SayAndStall(text) => {
                let begun = frames(200, None, vec![(text, Tap::default())])?;
                Ok(WireResponse { body: Box::pin(begun.body.chain(stream::pending())), ..begun })
            }
            Act::Hang => std::future::pending().await,
        }
    }

    async fn models(&self, _: &Ctx) -> Result<Vec<ModelCard>> {
        Err(Error::new(&codes::UNSUPPORTED, "no list"))
    }
}

fn frames(status: u16, failure: Option<Error>, said: Vec<(&'static str, Tap)>) -> Result<WireResponse> {
    let frame = |(text, tap): (&'static str, Tap)| {
        Ok(WireFrame { bytes: Bytes::from_static(text.as_bytes()), tap: Some(Box::new(tap)) })
    };
    let body = Box::pin(stream::iter(said.into_iter().map(frame)));
    Ok(WireResponse { status, headers: vec![], failure, body })
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn gateway(providers: &[(&str, Arc<Fake>)]) -> (Gateway, Arc<Seen>) {
    let target = |p: &&str| Target { provider: name(p), model: format!("{p}-model") };
    let model = Model {
        targets: providers.iter().map(|(p, _)| target(p)).collect(),
        first_byte_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(7),
        max_tokens_default: 100,
    };
    let table = Table {
        models: [(name("m"), model)].into(),
        providers: providers.iter().map(|(p, f)| (name(p), Arc::clone(f) as Arc<dyn Provider>)).collect(),
    };
    let seen = Arc::new(Seen::default());
    (Gateway::new(Arc::clone(&seen) as Arc<dyn Telemetry>, table), seen)
}

fn ask<'a>(decode: &'a (dyn Fn(&[u8]) -> Result<ModelRequest> + Send + Sync)) -> FrontRequest<'a> {
    FrontRequest {
        dialect: OURS,
        model: "m",
        body: Bytes::from_static(b"{\"model\":\"m\"}"),
        model_span: 9..12,
        edits: vec![],
        stream: true,
        strip_usage: false,
        headers: vec![],
        is_mixed: false,
        decode,
    }
}

fn no_decode(_: &[u8]) -> Result<ModelRequest> {
    panic!("the bytes were to pass through")
}

async fn said(answer: Answer) -> String {
    match answer {
        Answer::Wire(mut wire) => {
            let mut text = format!("{} ", wire.status);
            while let Some(frame) = wire.body.next().await {
                text.push_str(std::str::from_utf8(&frame.unwrap().bytes).unwrap());
            }
            text
        }
        Answer::Events(mut events) => {
            let mut text = String::new();
            while let Some(event) = events.next().await {
                if let ModelEvent::Text(piece) = event.unwrap() {
                    text.push_str(&piece);
                }
            }
            text
        }
    }
}

/// What an answer fails with after what it says.
async fn failure<T>(mut answer: BoxStream<Result<T>>) -> Error {
    while let Some(item) = answer.next().await {
        if let Err(error) = item {
            return error;
        }
    }
    panic!("the answer was to fail")
}

#[tokio::test]
async fn the_same_dialect_passes_as_bytes_under_the_targets_name() {
    let only = Fake::new(&[OURS], [Act::Say("bytes")]);
    let (gateway, seen) = gateway(&[("a", Arc::clone(&only))]);
    let answer = gateway.dispatch(&Ctx::system(), ask(&no_decode)).await.unwrap();
    assert_eq!(said(answer).await, "200 bytes");
    assert_eq!(*only.asked.lock(), ["forward a-model"]);
    let asked = seen.models();
    assert_eq!((asked.len(), asked[0].provider.as_str(), asked[0].outcome.as_str()), (1, "a", "ok"));
    assert_eq!(asked[0].usage.output, 7);
}

#[tokio::test]
async fn a_body_that_its_own_dialect_would_refuse_is_translated() {
    let only = Fake::new(&[OURS], [Act::Say("events")]);
    let (gateway, _) = gateway(&[("a", Arc::clone(&only))]);
    let decode = |_: &[u8]| Ok(ModelRequest::default());
    let request = FrontRequest { is_mixed: true, ..ask(&decode) };
    let answer = gateway.dispatch(&Ctx::system(), request).await.unwrap();
    assert_eq!(said(answer).await, "events");
    assert_eq!(*only.asked.lock(), ["complete a-model"]);
}

#[tokio::test]
async fn another_dialect_is_decoded_for_each_target_and_not_kept_for_the_next() {
    let first = Fake::new(&[], [Act::Fail(&codes::PROVIDER_UNAVAILABLE)]);
    let second = Fake::new(&[], [Act::Say("events")]);
    let (gateway, _) = gateway(&[("a", first), ("b", Arc::clone(&second))]);
    let decodes = std::sync::atomic::AtomicU32::new(0);
    let decode = |_: &[u8]| {
        decodes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(ModelRequest::default())
    };
    let answer = gateway.dispatch(&Ctx::system(), ask(&decode)).await.unwrap();
    assert_eq!(said(answer).await, "events");
    assert_eq!(decodes.into_inner(), 2);
    assert_eq!(*second.asked.lock(), ["complete b-model"]);
}

#[tokio::test]
async fn a_failing_target_hands_over_and_both_are_reported() {
    let first = Fake::new(&[OURS], [Act::Status(429, &codes::PROVIDER_RATE_LIMITED)]);
    let second = Fake::new(&[OURS], [Act::Say("b")]);
    let (gateway, seen) = gateway(&[("a", first), ("b", second)]);
    let answer = gateway.dispatch(&Ctx::system(), ask(&no_decode)).await.unwrap();
    assert_eq!(said(answer).await, "200 b");
    assert_eq!(seen.outcomes(), ["PROVIDER_RATE_LIMITED", "ok"]);
}

#[tokio::test]
async fn an_answer_that_blames_the_request_is_passed_on() {
    let first = Fake::new(&[OURS], [Act::Status(400, &codes::PROVIDER_INVALID_REQUEST)]);
    let second = Fake::new(&[OURS], []);
    let (gateway, seen) = gateway(&[("a", first), ("b", second)]);
    let answer = gateway.dispatch(&Ctx::system(), ask(&no_decode)).await.unwrap();
    assert_eq!(said(answer).await, "400 refused");
    assert_eq!(seen.outcomes()[0], "PROVIDER_INVALID_REQUEST");
}

#[tokio::test]
async fn a_target_that_lacks_its_model_hands_over_on_either_path_unless_it_is_the_last() {
    let lacks = &codes::PROVIDER_MODEL_NOT_FOUND;
    let decode = |_: &[u8]| Ok(ModelRequest::default());
    for dialects in [&[OURS][..], &[]] {
        let first = Fake::new(dialects, [Act::Status(404, lacks), Act::Status(404, lacks)]);
        let second = Fake::new(dialects, [Act::Say("b"), Act::Status(404, lacks)]);
        let (gateway, seen) = gateway(&[("a", first), ("b", second)]);
        let answer = gateway.dispatch(&Ctx::system(), ask(&decode)).await.unwrap();
        assert!(said(answer).await.ends_with('b'));
        assert_eq!(seen.outcomes()[0], "PROVIDER_MODEL_NOT_FOUND");
        match gateway.dispatch(&Ctx::system(), ask(&decode)).await {
            Ok(answer) => assert_eq!(said(answer).await, "404 refused"),
            Err(error) => assert_eq!((error.code(), dialects.len()), (lacks, 0)),
        }
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_asked_does_not_hide_why_the_one_before_it_failed() {
    let first = Fake::new(&[OURS], [Act::Fail(&codes::PROVIDER_UNAVAILABLE)]);
    let second = Fake::new(&[], []);
    let (gateway, seen) = gateway(&[("a", first), ("b", Arc::clone(&second))]);
    let decode = |_: &[u8]| Err(Error::new(&codes::INVALID_FIELD, "it has no canonical form"));
    let error = gateway.dispatch(&Ctx::system(), ask(&decode)).await.unwrap_err();
    assert_eq!(error.code(), &codes::PROVIDER_UNAVAILABLE);
    let reported: Vec<String> = seen.models().into_iter().map(|asked| asked.provider).collect();
    assert_eq!((reported, second.asked.lock().len()), (vec!["a".to_owned()], 0));
    let request = FrontRequest { dialect: Dialect("theirs"), ..ask(&decode) };
    let error = gateway.dispatch(&Ctx::system(), request).await.unwrap_err();
    assert_eq!(error.code(), &codes::INVALID_FIELD, "with nothing before it, it is the answer");
}

#[tokio::test]
async fn a_failure_before_the_first_word_still_hands_over() {
    let first = Fake::new(&[], [Act::FailAfterStart(&codes::PROVIDER_UNAVAILABLE)]);
    let second = Fake::new(&[], [Act::Say("b")]);
    let (gateway, _) = gateway(&[("a", first), ("b", second)]);
    let request = ModelRequest { model: "m".into(), ..ModelRequest::default() };
    let events = gateway.complete(&Ctx::system(), request).await.unwrap();
    assert_eq!(said(Answer::Events(events)).await, "b");
}

#[tokio::test]
async fn a_stream_that_fails_at_once_hands_over_whatever_its_status_says() {
    let first = Fake::new(&[OURS], [Act::Status(200, &codes::PROVIDER_UNAVAILABLE)]);
    let second = Fake::new(&[OURS], [Act::Say("b")]);
    let (gateway, seen) = gateway(&[("a", first), ("b", second)]);
    let answer = gateway.dispatch(&Ctx::system(), ask(&no_decode)).await.unwrap();
    assert_eq!(said(answer).await, "200 b");
    assert_eq!(seen.outcomes()[0], "PROVIDER_UNAVAILABLE");
}

#[tokio::test]
async fn a_failure_that_a_stream_reports_is_what_its_call_came_to() {
    for leaves in [false, true] {
        let only = Fake::new(&[OURS], [Act::SayAndReport("half", &codes::PROVIDER_UNAVAILABLE)]);
        let (gateway, seen) = gateway(&[("a", only)]);
        let answer = gateway.dispatch(&Ctx::system(), ask(&no_decode)).await.unwrap();
        let Answer::Wire(mut wire) = answer else { panic!("bytes were to pass") };
        let frames = if leaves { 2 } else { 3 };
        for _ in 0..frames {
            wire.body.next().await;
        }
        drop(wire);
        assert_eq!(seen.outcomes(), ["PROVIDER_UNAVAILABLE"], "leaves: {leaves}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_is_left_after_the_first_byte_timeout() {
    let first = Fake::new(&[OURS], [Act::Hang]);
    let second = Fake::new(&[OURS], [Act::Say("b")]);
    let (gateway, seen) = gateway(&[("a", first), ("b", second)]);
    let answer = gateway.dispatch(&Ctx::system(), ask(&no_decode)).await.unwrap();
    assert_eq!(said(answer).await, "200 b");
    assert_eq!(seen.outcomes()[0], "PROVIDER_TIMEOUT");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_ends_in_a_timeout_on_either_path() {
    for dialects in [&[OURS][..], &[]] {
        let only = Fake::new(dialects, [Act::SayAndStall("half")]);
        let (gateway, seen) = gateway(&[("a", only)]);
        let decode = |_: &[u8]| Ok(ModelRequest::default());
        let failed = match gateway.dispatch(&Ctx::system(), ask(&decode)).await.unwrap() {
            Answer::Wire(wire) => failure(wire.body).await,
            Answer::Events(events) => failure(events).await,
        };
        assert_eq!(failed.code(), &codes::PROVIDER_TIMEOUT);
        assert_eq!(seen.outcomes()[0], "PROVIDER_TIMEOUT");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_is_reported_as_such() {
    let only = Fake::new(&[OURS], [Act::Say("bytes")]);
    let (gateway, seen) = gateway(&[("a", only)]);
    drop(gateway.dispatch(&Ctx::system(), ask(&no_decode)).await.unwrap());
    assert_eq!(seen.outcomes()[0], "client_closed");
}

#[tokio::test]
async fn an_unknown_model_names_the_known_ones() {
    let (gateway, _) = gateway(&[("a", Fake::new(&[OURS], []))]);
    let request = FrontRequest { model: "nope", ..ask(&no_decode) };
    let error = gateway.dispatch(&Ctx::system(), request).await.unwrap_err();
    assert_eq!(error.code(), &codes::MODEL_NOT_FOUND);
    assert_eq!(error.help(), Some("the models here are: m"));
}

#[tokio::test]
async fn a_reload_changes_what_can_be_asked_for() {
    let (gateway, _) = gateway(&[("a", Fake::new(&[OURS], []))]);
    assert_eq!(gateway.models(), [name("m")]);
    gateway.reload(Table::default());
    assert!(gateway.models().is_empty());
}
