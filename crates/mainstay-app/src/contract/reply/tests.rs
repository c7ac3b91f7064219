//! Shapes of whole answers.

use serde_json::json;

use super::*;

fn done(value: Value) -> AppOutput {
    match json(value).unwrap().pop().unwrap() {
        AppEvent::Done(output) => output,
        other => panic!("not the end: {other:?}"),
    }
}

#[test]
fn the_answer_has_several_names() {
    for name in ANSWERS {
        assert_eq!(done(json!({ name: "hi" })).answer, "hi", "{name}");
    }
    assert_eq!(done(json!("hi")).answer, "hi");
    assert_eq!(done(json!({"answer": null, "response": "hi"})).answer, "hi");
    assert_eq!(done(json!({"output": {"a": [1, 2]}})).answer, r#"{"a":[1,2]}"#);
}

#[test]
fn both_reference_services_are_understood() {
    let output = done(json!({
        "id": "r1", "response": "hi", "tokens_used": 12, "model": "m-1", "latency_ms": 5, "timestamp": "2026-01-01",
    }));
    assert_eq!((output.answer.as_str(), output.model.as_deref()), ("hi", Some("m-1")));
    assert_eq!(output.usage.unwrap().total(), 12);
    let output = done(json!({"answer": "hi", "model": "m", "finish_reason": "STOP", "session_id": null}));
    assert_eq!(output.finish_reason.as_deref(), Some("STOP"));
    assert_eq!(output.usage, None);
}

#[test]
fn usage_goes_by_either_pair_of_names() {
    for usage in
        [json!({"input_tokens": 3, "output_tokens": 4}), json!({"prompt_tokens": 3, "completion_tokens": 4})]
    {
        let read = done(json!({"answer": "", "usage": usage})).usage.unwrap();
        assert_eq!((read.input_uncached, read.output), (3, 4));
    }
    assert_eq!(done(json!({"answer": "", "usage": {"total_tokens": 9}})).usage.unwrap().total(), 9);
    assert_eq!(done(json!({"answer": "", "usage": {"cost": 1}})).usage, None);
}

#[test]
fn counts_beyond_belief_are_cut() {
    for usage in [json!({"usage": {"input_tokens": u64::MAX}}), json!({"tokens_used": u64::MAX})] {
        let mut answer = json!({"answer": ""});
        answer.as_object_mut().unwrap().extend(usage.as_object().unwrap().clone());
        assert_eq!(done(answer).usage.unwrap().total(), mainstay_core::model::Usage::TOKENS_MAX);
    }
}

#[test]
fn what_an_app_says_besides_is_not_lost() {
    let events = json(json!({"answer": "hi", "id": 1, "sources": ["a"], "steps": null})).unwrap();
    let [AppEvent::Custom { name, data }, AppEvent::Done(_)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((name.as_str(), data), ("app.output", &json!({"sources": ["a"]})));
    assert_eq!(json(json!({"answer": "hi", "id": 1})).unwrap().len(), 1);
}

#[test]
fn an_answer_that_is_none_is_a_failure() {
    for (value, why) in [
        (json!({}), "has none of"),
        (json!({"answer": null}), "has none of"),
        (json!({"error": "secret detail"}), "is an error in a response of status 200"),
        (json!([1]), "neither text nor an object"),
    ] {
        let error = json(value).unwrap_err();
        assert_eq!(error.code().id, "APP_FAILED");
        assert!(error.message().contains(why) && !error.message().contains("secret"), "{error}");
    }
}
