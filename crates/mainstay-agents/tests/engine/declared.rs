//! The loop of a declared agent: tools, steps and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::message::Role;
use mainstay_core::model::{FinishReason, ModelEvent};
use mainstay_core::plan::{AgentKind, Declared};
use mainstay_core::run::{RunEventKind, RunStatus};
use mainstay_core::tool::{ToolOutput, ToolSource};
use mainstay_core::{Error, Result, codes};
use serde_json::json;
use tokio::sync::Barrier;

use crate::stage::model::{Reply, Ruled, USAGE, answer, call, calls, opening, says, transcript};
use crate::stage::tool::{look, mirror, said, tool};
use crate::stage::{Cast, Stage, all, ask, ask_in, declared, name, names, soon, spelled};

fn with_tool(tool: Arc<dyn ToolSource>, change: impl Fn(&mut Declared)) -> Cast {
    let mut cast = Cast::with_tool(tool);
    let mut plan = Declared { tools: vec![name("t")], ..declared() };
    change(&mut plan);
    cast.agent.kind = AgentKind::Declared(plan);
    cast
}

/// A model that asks for tools once and then says "done".
fn once(first: impl Fn() -> Reply + Send + Sync + 'static) -> Arc<Ruled> {
    Ruled::new(move |n, _| if n == 0 { first() } else { says("done") })
}

#[tokio::test]
async fn results_are_fed_back_until_the_model_answers() {
    let model = Ruled::new(|n, _| match n {
        0 => answer(
            [ModelEvent::Text("let me look".into())].into_iter().chain(call(0, "c1", "look", r#"{"at":7}"#)),
            FinishReason::ToolCalls,
        ),
        1 => calls([call(0, "c2", "look", r#"{"at":8}"#)]),
        _ => says("it is 8"),
    });
    let tool = mirror();
    let stage = Stage::new(model.clone(), Cast::with_tool(tool.clone()));
    let handle = stage.start(ask("look")).await.unwrap();
    let id = handle.id().clone();
    let events = all(handle.events()).await;
    let expect = [
        "run.started",
        "message.delta",
        "step.completed",
        "tool.call",
        "tool.result",
        "step.completed",
        "tool.call",
        "tool.result",
        "message.delta",
        "step.completed",
        "run.completed",
    ];
    assert_eq!(names(&events), expect);
    assert_eq!(spelled(&events), "let me lookit is 8");
    let run = stage.engine.run(&crate::stage::ctx(), &id).await.unwrap();
    assert_eq!((run.answer.as_deref(), run.steps, run.usage.output), (Some("it is 8"), 3, 3 * USAGE.output));
    let roles: Vec<Role> = run.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::Assistant, Role::Tool, Role::Assistant, Role::Tool, Role::Assistant]);
    let seen = transcript(model.asked.lock().last().unwrap());
    let expect = [
        "user: look",
        "assistant: let me look|<look {\"at\":7}>",
        "tool: <= 7>",
        "assistant: <look {\"at\":8}>",
        "tool: <= 8>",
    ];
    assert_eq!(seen, expect);
    assert_eq!(model.asked.lock()[0].tools[0].name, "look");
    assert_eq!(stage.telemetry.tools(), ["look ok", "look ok"]);
    let keys: Vec<_> = tool.called.lock().iter().map(|c| c.idempotency_key.clone()).collect();
    assert_eq!(keys, [format!("{id}:c1"), format!("{id}:c2")]);
    assert!(tool.called.lock().iter().all(|c| c.run == id));
}

#[tokio::test]
async fn calls_of_one_step_overlap_and_their_results_keep_the_calls_order() {
    const CALLS: u32 = 4;
    let together = Arc::new(Barrier::new(CALLS as usize));
    let tool = look(move |call| {
        let together = together.clone();
        async move {
            together.wait().await;
            // The later the call, the sooner it answers.
            for _ in 0..(10 - call.arguments["at"].as_u64().unwrap()) {
                tokio::task::yield_now().await;
            }
            said(&call.arguments["at"].to_string())
        }
    });
    let model =
        once(|| calls((0..CALLS).map(|n| call(n, &format!("c{n}"), "look", &format!(r#"{{"at":{n}}}"#)))));
    let stage = Stage::new(model.clone(), with_tool(tool, |plan| plan.parallel_tools_max = CALLS));
    stage.invoke(ask("look")).await;
    assert_eq!(transcript(&model.asked.lock()[1])[2], "tool: <= 0>|<= 1>|<= 2>|<= 3>");
}

#[tokio::test]
async fn no_more_calls_overlap_than_the_agent_allows() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = most.clone();
    let tool = look(move |_| {
        let (now, most) = (now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            said("ok")
        }
    });
    let model = once(|| calls((0..9).map(|n| call(n, &format!("c{n}"), "look", r#"{"at":1}"#))));
    let stage = Stage::new(model, with_tool(tool.clone(), |plan| plan.parallel_tools_max = 3));
    stage.invoke(ask("look")).await;
    assert_eq!((highest.load(Ordering::SeqCst), tool.called.lock().len()), (3, 9));
}

/// Runs one call and returns what the model was told, and how the call was reported.
async fn told(arguments: &str, called: &str, outcome: Result<ToolOutput, fn() -> Error>) -> (String, String) {
    let tool = look(move |_| {
        let outcome = outcome.clone().map_err(|error| error());
        async move { outcome }
    });
    let (arguments, called) = (arguments.to_owned(), called.to_owned());
    let model = once(move || calls([call(0, "c", &called, &arguments)]));
    let stage = Stage::new(model.clone(), Cast::with_tool(tool));
    let run = stage.invoke(ask("look")).await;
    assert_eq!((run.status, run.answer.as_deref()), (RunStatus::Completed, Some("done")));
    let told = transcript(&model.asked.lock()[1]).pop().unwrap();
    let report = stage.telemetry.tools().join(",");
    let errors = stage.recorded(&run.id).await;
    let is_error = errors.iter().any(|e| matches!(e.kind, RunEventKind::ToolResult { is_error: true, .. }));
    assert!(is_error, "{told}");
    (told, report)
}

#[tokio::test]
async fn what_goes_wrong_with_a_call_is_told_to_the_model() {
    let fine = || Ok(ToolOutput { content: "ok".into(), is_error: false });
    for (arguments, tool, outcome, told_part, report) in [
        (r#"{"at":"x"}"#, "look", fine(), "TOOL_ARGUMENTS", "look TOOL_ARGUMENTS"),
        ("{\"at\":", "look", fine(), "not a JSON object", "look TOOL_ARGUMENTS"),
        (
            r#"{"at":1}"#,
            "rm -rf",
            fine(),
            "TOOL_NOT_FOUND: no tool is called `rm -rf` (the tools are: look)",
            "unknown TOOL_NOT_FOUND",
        ),
        (
            r#"{"at":1}"#,
            "look",
            Err((|| Error::new(&codes::TOOL_TIMEOUT, "too slow").with_internal("10.0.0.7")) as fn() -> Error),
            "TOOL_TIMEOUT: too slow",
            "look TOOL_TIMEOUT",
        ),
        (
            r#"{"at":1}"#,
            "look",
            Ok(ToolOutput { content: "no such place".into(), is_error: true }),
            "no such place",
            "look error",
        ),
    ] {
        let (told, reported) = told(arguments, tool, outcome).await;
        assert!(told.contains(told_part), "{told}");
        assert!(!told.contains("10.0.0.7"), "internals leaked: {told}");
        assert_eq!(reported, report);
    }
}

#[tokio::test]
async fn a_tool_is_called_only_once_that_is_on_record() {
    let (send, mut seen) = tokio::sync::mpsc::channel(1);
    let journal = Arc::new(crate::stage::journal::Watched::default());
    let watched = journal.clone();
    let tool = look(move |_| {
        let on_record = watched.kept.lock().iter().flatten().any(|record| {
            matches!(record, mainstay_core::journal::RunRecord::Event { event, .. }
                if matches!(event.kind, RunEventKind::ToolCall { .. }))
        });
        let send = send.clone();
        async move {
            send.send(on_record).await.unwrap();
            said("ok")
        }
    });
    let model = once(|| calls([call(0, "c", "look", r#"{"at":1}"#)]));
    Stage::on(journal, model, Cast::with_tool(tool)).invoke(ask("look")).await;
    assert_eq!(soon(seen.recv()).await, Some(true));
}

#[tokio::test]
async fn calls_with_the_same_id_have_different_idempotency_keys() {
    let model = Ruled::new(|n, _| match n {
        0 => calls([call(0, "c", "look", r#"{"at":1}"#), call(1, "c", "look", r#"{"at":2}"#)]),
        1 => calls([call(0, "c", "look", r#"{"at":3}"#)]),
        _ => says("done"),
    });
    let tool = mirror();
    let stage = Stage::new(model, Cast::with_tool(tool.clone()));
    let id = stage.invoke(ask("look")).await.id;
    let keys: Vec<_> = tool.called.lock().iter().map(|c| c.idempotency_key.clone()).collect();
    assert_eq!(keys, [format!("{id}:c"), format!("{id}:c#2"), format!("{id}:c#3")]);
}

#[tokio::test]
async fn the_bound_on_steps_ends_the_run_with_a_clear_reason_and_a_sound_conversation() {
    let model = Ruled::new(|n, request| match request.messages.last().unwrap().role {
        Role::User if n > 2 => says("fresh"),
        _ => answer(
            [ModelEvent::Text("more".into())].into_iter().chain(call(
                0,
                &format!("c{n}"),
                "look",
                r#"{"at":1}"#,
            )),
            FinishReason::ToolCalls,
        ),
    });
    let tool = mirror();
    let stage = Stage::new(model.clone(), with_tool(tool.clone(), |plan| plan.steps_max = 3));
    let run = stage.invoke(ask_in("s", "look")).await;
    assert_eq!((run.status, run.finish_reason.as_deref()), (RunStatus::Completed, Some("steps_max")));
    assert_eq!((run.steps, tool.called.lock().len(), run.answer.as_deref()), (3, 2, Some("more")));
    assert_eq!(run.messages.last().unwrap().tool_calls().count(), 0);
    stage.invoke(ask_in("s", "and now?")).await;
    let asked = model.asked.lock();
    let conversation = transcript(asked.last().unwrap());
    let (calls, results) = (
        conversation.iter().filter(|m| m.contains("<look")),
        conversation.iter().filter(|m| m.contains("<=")),
    );
    assert_eq!((calls.count(), results.count()), (2, 2), "{conversation:?}");
}

#[tokio::test]
async fn calls_cut_short_by_the_token_limit_are_not_carried_out() {
    for finish in [FinishReason::Length, FinishReason::ContentFilter] {
        let reason = finish.as_str().to_owned();
        let model = Ruled::new(move |_, _| answer(call(0, "c", "look", ""), finish.clone()));
        let tool = tool(json!({}), |_| async { said("ok") });
        let stage = Stage::new(model, Cast::with_tool(tool.clone()));
        let run = stage.invoke(ask("look")).await;
        assert_eq!((run.status, run.finish_reason), (RunStatus::Completed, Some(reason)));
        assert!(tool.called.lock().is_empty() && run.messages.is_empty());
    }
}

#[tokio::test]
async fn a_paused_turn_is_continued() {
    let model = Ruled::new(|n, _| match n {
        0 => answer([ModelEvent::Text("wait ".into())], FinishReason::Pause),
        _ => says("for it"),
    });
    let stage = Stage::new(model.clone(), Cast::plain());
    let run = stage.invoke(ask("q")).await;
    assert_eq!((run.answer.as_deref(), run.steps), (Some("wait for it"), 2));
    assert_eq!(transcript(&model.asked.lock()[1]), ["user: q", "assistant: wait "]);
}

#[tokio::test]
async fn an_answer_without_an_end_is_an_error_and_its_usage_counts() {
    let model = Ruled::new(|_, _| {
        Ok(vec![Ok(opening()), Ok(ModelEvent::Text("half".into())), Ok(ModelEvent::Usage(USAGE))])
    });
    let run = Stage::new(model, Cast::plain()).invoke(ask("q")).await;
    assert_eq!(run.error.unwrap().code, "PROVIDER_BAD_RESPONSE");
    assert_eq!((run.usage, run.steps), (USAGE, 0));
}

#[tokio::test]
async fn reasoning_is_shown_but_never_what_the_vendor_hides() {
    use mainstay_core::message::Reasoning;
    let thought = |text: &str, redacted| {
        ModelEvent::Reasoning(Reasoning { text: text.into(), signature: Some("sig".into()), redacted })
    };
    let model = Ruled::new(move |_, _| {
        let text = ModelEvent::Text("yes".into());
        answer([thought("hm", false), thought("hidden", true), text], FinishReason::Stop)
    });
    let stage = Stage::new(model, Cast::plain());
    let run = stage.invoke(ask("q")).await;
    let shown: Vec<_> = stage.recorded(&run.id).await.into_iter().map(|event| event.kind).collect();
    assert!(shown.contains(&RunEventKind::Reasoning { delta: "hm".into() }), "{shown:?}");
    assert!(!format!("{shown:?}").contains("hidden"));
    assert_eq!(run.messages[0].parts.len(), 3, "the vendor sees its signatures again");
}

#[tokio::test]
async fn tools_are_listed_once_and_an_invalid_schema_is_said() {
    let model = Ruled::echo();
    let tool = mirror();
    let stage = Stage::new(model, Cast::with_tool(tool.clone()));
    for _ in 0..3 {
        stage.invoke(ask("q")).await;
    }
    assert_eq!(*tool.listed.lock(), 1);
    let broken = crate::stage::tool::tool(json!({ "type": 7 }), |_| async { said("ok") });
    let run = Stage::new(Ruled::echo(), Cast::with_tool(broken)).invoke(ask("q")).await;
    let error = run.error.unwrap();
    assert_eq!(error.code, "TOOL_UNAVAILABLE");
    assert!(error.message.contains("`look`"), "{}", error.message);
}

#[tokio::test]
async fn more_calls_than_can_be_made_at_once_are_refused_one_by_one() {
    let model = once(|| calls((0..130).map(|n| call(n, &format!("c{n}"), "look", r#"{"at":1}"#))));
    let tool = mirror();
    let stage = Stage::new(model, Cast::with_tool(tool.clone()));
    let run = stage.invoke(ask("q")).await;
    assert_eq!((tool.called.lock().len(), run.messages[1].parts.len()), (128, 130));
}
