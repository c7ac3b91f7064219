//! Failures: each has its code, says whether to come back, repeats nothing of the request, and ends the call.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use mainstay_core::model::ModelEvent;
use mainstay_core::{Ctx, Error, Retry};

use super::{Behaviour, Open, TEXT, USAGE, answered, ask, completion, failure, promises, request};

promises! {
    refused_credentials_are_told,
    an_empty_account_is_not_a_rate_limit,
    a_rate_limit_says_when_to_come_back,
    a_prompt_that_is_refused_is_told,
    a_request_that_is_not_accepted_is_invalid,
    a_model_that_the_provider_lacks_is_told,
    an_overloaded_provider_may_be_asked_again,
    a_provider_that_cannot_be_reached_is_unavailable,
    an_answer_of_another_kind_is_a_bad_response,
    a_stream_that_breaks_is_a_bad_response_after_what_came,
    a_stream_that_ends_early_is_a_bad_response_after_what_came,
    a_whole_answer_that_breaks_is_a_bad_response,
    a_connection_that_breaks_after_the_end_is_no_failure,
    a_failure_inside_a_stream_keeps_its_class,
    dropping_a_call_is_noticed_upstream,
    dropping_a_stream_is_noticed_upstream,
}

/// The failure of a call, streamed and whole: the same code, and none of the words of the provider.
async fn fails(open: &Open, behaviour: Behaviour, code: &str) -> Error {
    let mut last = None;
    for stream in [false, true] {
        let rig = open(behaviour).await;
        let error = failure(&rig, request(stream)).await;
        check(&error, code);
        last = Some(error);
    }
    last.expect("it was asked twice")
}

fn check(error: &Error, code: &str) {
    assert_eq!(error.code().id, code, "{error:?}");
    assert!(!format!("{error:?}").contains("words with the prompt"), "it repeats the provider: {error:?}");
}

async fn refused_credentials_are_told(open: Open) {
    let error = fails(&open, Behaviour::Fails("auth"), "PROVIDER_AUTH").await;
    assert_eq!(error.retry(), Retry::Permanent);
}

async fn an_empty_account_is_not_a_rate_limit(open: Open) {
    let error = fails(&open, Behaviour::Fails("quota"), "PROVIDER_QUOTA").await;
    assert_eq!(error.retry(), Retry::Permanent, "the same call fails again");
}

async fn a_rate_limit_says_when_to_come_back(open: Open) {
    let error = fails(&open, Behaviour::Fails("rate_limited"), "PROVIDER_RATE_LIMITED").await;
    assert_eq!(error.retry(), Retry::Temporary(Some(Duration::from_secs(2))));
}

async fn a_prompt_that_is_refused_is_told(open: Open) {
    fails(&open, Behaviour::Fails("refused"), "PROVIDER_CONTENT_FILTER").await;
}

async fn a_request_that_is_not_accepted_is_invalid(open: Open) {
    let error = fails(&open, Behaviour::Fails("invalid"), "PROVIDER_INVALID_REQUEST").await;
    assert_eq!(error.retry(), Retry::Permanent);
}

async fn a_model_that_the_provider_lacks_is_told(open: Open) {
    let error = fails(&open, Behaviour::Fails("unknown_model"), "PROVIDER_MODEL_NOT_FOUND").await;
    assert_eq!(error.retry(), Retry::Permanent);
}

async fn an_overloaded_provider_may_be_asked_again(open: Open) {
    let error = fails(&open, Behaviour::Fails("overloaded"), "PROVIDER_UNAVAILABLE").await;
    assert!(matches!(error.retry(), Retry::Temporary(_)), "{:?}", error.retry());
}

async fn a_provider_that_cannot_be_reached_is_unavailable(open: Open) {
    let error = fails(&open, Behaviour::Gone, "PROVIDER_UNAVAILABLE").await;
    assert!(matches!(error.retry(), Retry::Temporary(_)), "{:?}", error.retry());
}

async fn an_answer_of_another_kind_is_a_bad_response(open: Open) {
    for behaviour in [Behaviour::Page, Behaviour::Moved, Behaviour::Empty] {
        fails(&open, behaviour, "PROVIDER_BAD_RESPONSE").await;
    }
}

async fn broken_off(open: &Open, behaviour: Behaviour, code: &str) {
    let rig = open(behaviour).await;
    let (events, ending) = ask(&rig, request(true)).await;
    check(&ending.expect_err("the answer is not whole"), code);
    assert_eq!(completion(&events).message.joined_text().trim(), "Hei", "what came is told: {events:?}");
    let finished = events.iter().any(|event| matches!(event, ModelEvent::Finish(_)));
    assert!(!finished, "an answer that broke off has no end: {events:?}");
}

async fn a_stream_that_breaks_is_a_bad_response_after_what_came(open: Open) {
    broken_off(&open, Behaviour::Breaks, "PROVIDER_BAD_RESPONSE").await;
}

async fn a_stream_that_ends_early_is_a_bad_response_after_what_came(open: Open) {
    broken_off(&open, Behaviour::EndsEarly, "PROVIDER_BAD_RESPONSE").await;
}

async fn a_failure_inside_a_stream_keeps_its_class(open: Open) {
    broken_off(&open, Behaviour::FailsInside, "PROVIDER_UNAVAILABLE").await;
}

async fn a_whole_answer_that_breaks_is_a_bad_response(open: Open) {
    let rig = open(Behaviour::Breaks).await;
    check(&failure(&rig, request(false)).await, "PROVIDER_BAD_RESPONSE");
}

async fn a_connection_that_breaks_after_the_end_is_no_failure(open: Open) {
    let rig = open(Behaviour::BreaksAfterwards).await;
    let (_, done) = answered(&rig, request(true)).await;
    assert_eq!((done.message.joined_text().as_str(), done.usage), (TEXT, USAGE));
}

async fn dropping_a_call_is_noticed_upstream(open: Open) {
    let rig = open(Behaviour::Silent).await;
    let caller = {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move { ask(&rig, request(true)).await })
    };
    rig.called().await;
    assert!(!caller.is_finished(), "it was answered by nobody");
    caller.abort();
    rig.caller_gone().await;
}

async fn dropping_a_stream_is_noticed_upstream(open: Open) {
    let rig = open(Behaviour::Hangs).await;
    let mut stream = rig.provider().complete(&Ctx::system(), request(true)).await.expect("the answer begins");
    while let Some(event) = stream.next().await {
        if matches!(event.expect("the answer goes on"), ModelEvent::Text(_)) {
            break;
        }
    }
    drop(stream);
    rig.caller_gone().await;
}
