//! What the model is shown: instructions, the session's past, the context and the question.

use std::sync::atomic::Ordering;

use mainstay_agents::Start;
use mainstay_core::codes;
use mainstay_core::journal::{RUN_PAGE_BYTES_MAX, Retention};
use mainstay_core::message::Role;
use mainstay_core::plan::Declared;
use mainstay_core::run::{RunInput, RunStatus};
use mainstay_core::{Clock, Error, Name};
use serde_json::{Value, json};

use crate::stage::model::{Ruled, call, calls, question, says, transcript};
use crate::stage::tool::mirror;
use crate::stage::{Cast, Stage, ask, ask_in, ctx, declared, name, ses};

fn plan(history_messages_max: u32) -> Declared {
    Declared { instructions: "be kind".into(), history_messages_max, ..declared() }
}

#[tokio::test]
async fn a_model_sees_instructions_past_and_question() {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::declared(plan(20)));
    stage.invoke(ask_in("s", "one")).await;
    stage.invoke(ask_in("other", "elsewhere")).await;
    stage.invoke(ask_in("s", "two")).await;
    let seen = transcript(model.asked.lock().last().unwrap());
    assert_eq!(seen, ["system: be kind", "user: one", "assistant: re: one", "user: two"]);
}

#[tokio::test]
async fn runs_without_a_session_have_no_past() {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::plain());
    stage.invoke(ask("one")).await;
    stage.invoke(ask("two")).await;
    assert_eq!(transcript(&model.asked.lock()[1]), ["user: two"]);
}

#[tokio::test]
async fn failed_runs_are_not_part_of_the_conversation() {
    let model = Ruled::new(|_, request| match question(request).as_str() {
        "bad" => Err(Error::new(&codes::PROVIDER_TIMEOUT, "it failed")),
        other => says(other),
    });
    let stage = Stage::new(model.clone(), Cast::plain());
    for (query, status) in
        [("one", RunStatus::Completed), ("bad", RunStatus::Failed), ("two", RunStatus::Completed)]
    {
        assert_eq!(stage.invoke(ask_in("s", query)).await.status, status);
    }
    let expect = ["user: one", "assistant: one", "user: two"];
    assert_eq!(transcript(model.asked.lock().last().unwrap()), expect);
    let messages = stage.engine.session_messages(&ctx(), &ses("s")).await.unwrap();
    let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User, Role::Assistant]);
}

#[tokio::test]
async fn the_past_is_bounded_and_never_parts_a_call_from_its_result() {
    let model =
        Ruled::new(|_, request| match (question(request).as_str(), request.messages.last().unwrap().role) {
            ("look", Role::User) => calls([call(0, "c", "look", r#"{"at":1}"#)]),
            (other, _) => says(other),
        });
    let mut cast = Cast::with_tool(mirror());
    cast.agent.kind =
        mainstay_core::plan::AgentKind::Declared(Declared { tools: vec![name("t")], ..plan(5) });
    let stage = Stage::new(model.clone(), cast);
    for query in ["look", "one", "two"] {
        stage.invoke(ask_in("s", query)).await;
    }
    let asked = model.asked.lock();
    let whole =
        ["system: be kind", "user: look", "assistant: <look {\"at\":1}>", "tool: <= 1>", "assistant: look"];
    assert_eq!(transcript(&asked[2])[..5], whole);
    let cut = ["system: be kind", "user: one", "assistant: one", "user: two"];
    assert_eq!(transcript(&asked[3]), cut, "six messages do not fit, so the first exchange is gone whole");
}

async fn check_context(context: Value, expect: &str) {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::plain());
    let input = RunInput { query: "q".into(), context, ..RunInput::default() };
    stage.invoke(Start { input, ..Start::default() }).await;
    assert_eq!(transcript(&model.asked.lock()[0]), [expect]);
}

#[tokio::test]
async fn context_stands_before_the_question() {
    check_context(Value::Null, "user: q").await;
    check_context(json!("it rains"), "user: Context:\nit rains\n\n|q").await;
    check_context(json!({"sky": "grey"}), "user: Context:\n{\"sky\":\"grey\"}\n\n|q").await;
}

#[tokio::test]
async fn the_callers_bounds_hold_within_the_agents() {
    let model = Ruled::echo();
    let plan = Declared { max_tokens: Some(100), temperature: Some(0.5), ..declared() };
    let stage = Stage::new(model.clone(), Cast::declared(plan));
    for (max_tokens, temperature) in [(None, None), (Some(10), Some(1.0)), (Some(1_000), None)] {
        let input = RunInput { query: "q".into(), max_tokens, temperature, ..RunInput::default() };
        stage.invoke(Start { input, stream: max_tokens.is_some(), ..Start::default() }).await;
    }
    let asked = model.asked.lock();
    let bounds: Vec<_> = asked.iter().map(|r| (r.max_tokens, r.temperature, r.stream)).collect();
    let expect = [(Some(100), Some(0.5), false), (Some(10), Some(1.0), true), (Some(100), Some(0.5), true)];
    assert_eq!(bounds, expect);
    assert_eq!(Name::parse(&asked[0].model), Some(name("m")));
}

#[tokio::test]
async fn of_a_long_session_only_what_the_model_sees_is_read() {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::declared(plan(4)));
    for n in 0..230 {
        let before = stage.journal.runs_read.load(Ordering::SeqCst);
        stage.invoke(ask_in("s", &n.to_string())).await;
        let read = stage.journal.runs_read.load(Ordering::SeqCst) - before;
        assert!(read <= 4, "{read} runs were read for a window of four messages");
    }
    let seen = transcript(model.asked.lock().last().unwrap());
    let expect = [
        "system: be kind",
        "user: 227",
        "assistant: re: 227",
        "user: 228",
        "assistant: re: 228",
        "user: 229",
    ];
    assert_eq!(seen, expect);
    assert_eq!(stage.engine.session_messages(&ctx(), &ses("s")).await.unwrap().len(), 460);
}

#[tokio::test]
async fn a_session_goes_on_without_an_exchange_that_cannot_be_read() {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::plain());
    let lost = stage.invoke(ask_in("s", "one")).await.id;
    stage.invoke(ask_in("s", "two")).await;
    stage.journal.inner.damage_run(&lost);
    stage.invoke(ask_in("s", "three")).await;
    let seen = transcript(model.asked.lock().last().unwrap());
    assert_eq!(seen, ["user: two", "assistant: re: two", "user: three"]);
    assert_eq!(stage.engine.session_messages(&ctx(), &ses("s")).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_conversation_is_read_up_to_a_bound_of_bytes() {
    // A run holds its answer twice: as such and as a message.
    let answer = RUN_PAGE_BYTES_MAX as usize / 3;
    let stage = Stage::new(Ruled::new(move |_, _| says(&"x".repeat(answer))), Cast::declared(plan(0)));
    for n in 0..4 {
        stage.invoke(ask_in("s", &n.to_string())).await;
    }
    let messages = stage.engine.session_messages(&ctx(), &ses("s")).await.unwrap();
    let asked: Vec<String> =
        messages.iter().filter(|m| m.role == Role::User).map(|m| m.joined_text()).collect();
    assert_eq!((asked, messages.len()), (vec!["2".to_owned(), "3".to_owned()], 4));
}

#[tokio::test]
async fn what_is_forgotten_while_the_past_is_read_is_no_fault_of_the_callers() {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::declared(plan(1_000)));
    for n in 0..150 {
        stage.invoke(ask_in("s", &n.to_string())).await;
        stage.clock.advance(1);
    }
    // A page holds a hundred runs: the one that it ends with goes too.
    let of_now = |ago| Retention { before_ms: stage.clock.now_ms() - ago, bytes_max: u64::MAX };
    *stage.journal.forget_behind.lock() = Some(of_now(90));
    let messages = stage.engine.session_messages(&ctx(), &ses("s")).await.unwrap();
    assert_eq!(messages.len(), 200);
    *stage.journal.forget_behind.lock() = Some(of_now(10));
    let next = stage.invoke(ask_in("s", "next")).await;
    assert_eq!(next.status, RunStatus::Completed);
}
