//! Bytes passed through: as received both ways but for the edits, noticed on the side, cut when their source is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use mainstay_core::model::FinishReason;
use mainstay_core::provider::{Dialect, Tap, WireRequest, WireResponse};
use mainstay_core::{Ctx, Error, Result, Retry};
use serde_json::Value;

use super::{Behaviour, MODEL, MODEL_ASKED, Open, Rig, USAGE, promises};

promises! {
    a_stream_passes_as_it_comes_and_is_noticed,
    a_whole_answer_passes_as_it_is_and_is_noticed,
    usage_that_only_metering_asked_for_is_left_out,
    the_request_arrives_as_it_was_but_for_its_model_and_edits,
    headers_pass_both_ways,
    a_failed_answer_passes_with_its_meaning,
    an_answer_of_another_kind_does_not_pass,
    an_answer_that_is_nothing_but_a_failure_is_a_failed_answer,
    a_passed_stream_that_says_nothing_is_no_answer,
    a_failure_inside_a_passed_stream_is_noticed,
    a_provider_at_work_on_a_passed_stream_can_be_told_from_a_silent_one,
    a_passed_stream_that_breaks_fails_after_what_came,
    a_passed_stream_that_ends_early_fails_after_what_came,
    a_connection_that_breaks_after_the_end_of_a_passed_stream_is_no_failure,
    nobody_to_pass_it_to_is_an_error,
    dropping_a_passed_stream_is_noticed_upstream,
    a_dialect_that_is_not_declared_is_unsupported,
}

async fn pass(rig: &Arc<dyn Rig>, request: WireRequest) -> Result<WireResponse> {
    rig.provider().forward(&Ctx::system(), request).await
}

/// A request to pass; `None` where the provider passes nothing, which it then must have said.
fn request(rig: &Arc<dyn Rig>, stream: bool) -> Option<WireRequest> {
    let request = rig.wire(stream);
    let declared = rig.provider().capabilities().dialects;
    assert_eq!(request.is_some(), !declared.is_empty(), "it declares {declared:?}");
    request
}

/// Everything that comes: the bytes, what was noticed, and how it ended.
async fn read(response: WireResponse) -> (Vec<u8>, Tap, Option<Error>) {
    let (mut bytes, mut noticed) = (Vec::new(), Tap::default());
    let mut body = response.body;
    while let Some(frame) = body.next().await {
        match frame {
            Ok(frame) => {
                bytes.extend_from_slice(&frame.bytes);
                if let Some(tap) = frame.tap {
                    noticed.model = tap.model.or(noticed.model);
                    noticed.usage = tap.usage.or(noticed.usage);
                    noticed.finish = tap.finish.or(noticed.finish);
                    noticed.failure = tap.failure.or(noticed.failure);
                }
            }
            Err(error) => {
                assert!(body.next().await.is_none(), "the first error ends the answer");
                return (bytes, noticed, Some(error));
            }
        }
    }
    (bytes, noticed, None)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn passes_whole(open: Open, stream: bool) {
    let rig = open(Behaviour::Says("text")).await;
    let Some(mut request) = request(&rig, stream) else { return };
    request.strip_usage = false;
    let response = pass(&rig, request).await.expect("the provider answers");
    assert_eq!(response.status, 200);
    assert!(response.failure.is_none());
    let (bytes, noticed, error) = read(response).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text(&bytes), text(&rig.recorded(stream)), "the bytes were changed");
    let model = Some(MODEL.to_owned());
    let wanted = Tap { model, usage: Some(USAGE), finish: Some(FinishReason::Stop), failure: None };
    assert_eq!(noticed, wanted);
}

async fn a_stream_passes_as_it_comes_and_is_noticed(open: Open) {
    passes_whole(open, true).await;
}

async fn a_whole_answer_passes_as_it_is_and_is_noticed(open: Open) {
    passes_whole(open, false).await;
}

async fn usage_that_only_metering_asked_for_is_left_out(open: Open) {
    let rig = open(Behaviour::Says("text")).await;
    let Some(request) = request(&rig, true) else { return };
    let recorded = text(&rig.recorded(true));
    if !request.strip_usage {
        // A dialect whose streams always report usage has nothing to leave out.
        let response = pass(&rig, request).await.expect("the provider answers");
        assert_eq!(text(&read(response).await.0), recorded);
        return;
    }
    let (bytes, noticed, _) = read(pass(&rig, request).await.expect("the provider answers")).await;
    let kept = text(&bytes);
    assert_eq!(noticed.usage, Some(USAGE), "what is left out is metered all the same");
    let left_out: Vec<&str> =
        recorded.split_inclusive("\n\n").filter(|event| !kept.contains(event)).collect();
    assert_eq!(left_out.len(), 1, "one event is left out: {left_out:?}");
    assert!(left_out[0].contains("\"choices\":[]"), "{left_out:?}");
    assert_eq!(kept.len() + left_out[0].len(), recorded.len(), "something else was changed");
}

async fn the_request_arrives_as_it_was_but_for_its_model_and_edits(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Says("text")).await;
        let Some(request) = request(&rig, stream) else { return };
        let mut wanted: Value = serde_json::from_slice(&request.body).expect("the request is JSON");
        let edits = request.edits.len();
        pass(&rig, request).await.expect("the provider answers");
        let received = rig.received().expect("what is passed has an upstream").remove(0);
        let mut arrived: Value = serde_json::from_slice(&received.body).expect("what arrives is JSON");
        let model = arrived.as_object_mut().and_then(|fields| fields.shift_remove("model"));
        let names_it = model == Some(MODEL_ASKED.into()) || received.path.contains(MODEL_ASKED);
        assert!(names_it, "another model was asked for: {model:?}, {}", received.path);
        let fields = wanted.as_object_mut().expect("the request is an object");
        fields.shift_remove("model");
        if edits > 0 {
            let added = arrived.as_object_mut().and_then(|fields| fields.shift_remove("stream_options"));
            assert_eq!(added.expect("the edit adds a field")["include_usage"], true);
        }
        // Compared as text: the order of keys matters to the provider's prompt cache.
        assert_eq!(arrived.to_string(), wanted.to_string());
    }
}

async fn headers_pass_both_ways(open: Open) {
    let rig = open(Behaviour::Says("text")).await;
    let Some(mut request) = request(&rig, true) else { return };
    request.headers.push(("x-suite", "there".to_owned()));
    let response = pass(&rig, request).await.expect("the provider answers");
    let header =
        |name: &str| response.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    assert!(header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    assert_eq!(header("retry-after-ms"), Some("17"));
    let received = rig.received().expect("what is passed has an upstream").remove(0);
    assert_eq!(received.headers.get("x-suite").and_then(|value| value.to_str().ok()), Some("there"));
    for name in ["content-type", "host"] {
        assert_eq!(received.headers.get_all(name).iter().count(), 1, "`{name}` arrived more than once");
    }
}

async fn a_failed_answer_passes_with_its_meaning(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Fails("rate_limited")).await;
        let Some(request) = request(&rig, stream) else { return };
        let response = pass(&rig, request).await.expect("a failed answer is an answer");
        assert_eq!(response.status, 429);
        let failure = response.failure.as_ref().expect("its meaning is told");
        assert_eq!(failure.code().id, "PROVIDER_RATE_LIMITED");
        assert_eq!(failure.retry(), Retry::Temporary(Some(Duration::from_secs(2))));
        let (bytes, _, error) = read(response).await;
        assert!(error.is_none() && text(&bytes).contains("words with the prompt"), "{}", text(&bytes));
    }
}

async fn an_answer_of_another_kind_does_not_pass(open: Open) {
    for behaviour in [Behaviour::Page, Behaviour::Moved, Behaviour::Empty] {
        for stream in [true, false] {
            let rig = open(behaviour).await;
            let Some(request) = request(&rig, stream) else { return };
            let error = pass(&rig, request).await.expect_err("there is nothing to pass");
            assert_eq!(error.code().id, "PROVIDER_BAD_RESPONSE", "{behaviour:?}");
        }
    }
}

async fn an_answer_that_is_nothing_but_a_failure_is_a_failed_answer(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::FailsAtOnce).await;
        let Some(request) = request(&rig, stream) else { return };
        let response = pass(&rig, request).await.expect("a failed answer is an answer");
        let failure = response.failure.as_ref().expect("the first event is waited for, and its meaning told");
        assert_eq!(failure.code().id, "PROVIDER_UNAVAILABLE");
        let repeats = format!("{failure:?}").contains("words with the prompt");
        assert!(!repeats, "it repeats the provider: {failure:?}");
        let (bytes, _, error) = read(response).await;
        assert!(error.is_none() && text(&bytes).contains("words with the prompt"), "{}", text(&bytes));
    }
}

async fn a_passed_stream_that_says_nothing_is_no_answer(open: Open) {
    let rig = open(Behaviour::SaysNothing).await;
    let Some(request) = request(&rig, true) else { return };
    let error = pass(&rig, request).await.expect_err("nothing was said");
    assert_eq!(error.code().id, "PROVIDER_BAD_RESPONSE");
}

async fn a_failure_inside_a_passed_stream_is_noticed(open: Open) {
    let rig = open(Behaviour::FailsInside).await;
    let Some(request) = request(&rig, true) else { return };
    let (bytes, noticed, error) = read(pass(&rig, request).await.expect("the answer begins")).await;
    assert!(error.is_none(), "the stream has told its failure itself: {error:?}");
    assert!(text(&bytes).contains("Hei ") && text(&bytes).contains("words with the prompt"));
    assert_eq!(noticed.failure.expect("the failure is noticed").id, "PROVIDER_UNAVAILABLE");
}

async fn a_provider_at_work_on_a_passed_stream_can_be_told_from_a_silent_one(open: Open) {
    let rig = open(Behaviour::Thinks).await;
    let Some(request) = request(&rig, true) else { return };
    let mut body = pass(&rig, request).await.expect("the answer begins").body;
    let mut passed = String::new();
    loop {
        let frame = body.next().await.expect("the answer does not end").expect("the answer goes on");
        if frame.bytes.is_empty() && passed.ends_with(": at work\n\n") {
            return;
        }
        passed.push_str(&text(&frame.bytes));
    }
}

async fn breaks_off(open: Open, behaviour: Behaviour) {
    let rig = open(behaviour).await;
    let Some(request) = request(&rig, true) else { return };
    let (bytes, _, error) = read(pass(&rig, request).await.expect("the answer begins")).await;
    assert_eq!(error.expect("the answer is not whole").code().id, "PROVIDER_BAD_RESPONSE");
    assert!(text(&bytes).contains("Hei "), "what came is passed");
    assert!(rig.recorded(true).starts_with(&bytes), "the bytes were changed");
}

async fn a_passed_stream_that_breaks_fails_after_what_came(open: Open) {
    breaks_off(open, Behaviour::Breaks).await;
}

async fn a_passed_stream_that_ends_early_fails_after_what_came(open: Open) {
    breaks_off(open, Behaviour::EndsEarly).await;
}

async fn a_connection_that_breaks_after_the_end_of_a_passed_stream_is_no_failure(open: Open) {
    let rig = open(Behaviour::BreaksAfterwards).await;
    let Some(mut request) = request(&rig, true) else { return };
    request.strip_usage = false;
    let (bytes, noticed, error) = read(pass(&rig, request).await.expect("the answer begins")).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((text(&bytes), noticed.usage), (text(&rig.recorded(true)), Some(USAGE)));
}

async fn nobody_to_pass_it_to_is_an_error(open: Open) {
    let rig = open(Behaviour::Gone).await;
    let Some(request) = request(&rig, true) else { return };
    let error = pass(&rig, request).await.expect_err("nobody answers");
    assert_eq!(error.code().id, "PROVIDER_UNAVAILABLE");
}

async fn dropping_a_passed_stream_is_noticed_upstream(open: Open) {
    let rig = open(Behaviour::Hangs).await;
    let Some(request) = request(&rig, true) else { return };
    let mut response = pass(&rig, request).await.expect("the answer begins");
    response.body.next().await.expect("something comes").expect("it is no error");
    drop(response);
    rig.caller_gone().await;
}

async fn a_dialect_that_is_not_declared_is_unsupported(open: Open) {
    let rig = open(Behaviour::Says("text")).await;
    let request = WireRequest {
        dialect: Dialect("nobody-speaks-this"),
        model: MODEL_ASKED.to_owned(),
        body: bytes::Bytes::from_static(b"{\"model\":\"x\"}"),
        model_span: 9..12,
        edits: Vec::new(),
        stream: false,
        strip_usage: false,
        headers: Vec::new(),
    };
    let error = pass(&rig, request).await.expect_err("it speaks no such dialect");
    assert_eq!(error.code().id, "UNSUPPORTED");
    assert!(rig.received().unwrap_or_default().is_empty(), "the upstream was asked all the same");
}
