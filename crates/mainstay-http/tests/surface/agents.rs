//! Agents: asked, streamed, asked in the background.

use mainstay_core::codes;
use serde_json::json;

use crate::house::{House, post, until, with};
use crate::scripted::{Script, error, saying};

const INVOKE: &str = "/v1/agents/echo/invoke";
const STREAM: &str = "/v1/agents/echo/stream";

#[tokio::test]
async fn the_list_shows_what_can_be_asked_and_no_prompt() {
    let house = House::new();
    let answer = house.get("/v1/agents").await;
    let list = answer.json();
    assert_eq!(list["default_agent"], "echo");
    let echo = list["agents"].as_array().unwrap().iter().find(|agent| agent["name"] == "echo").unwrap();
    let wanted = json!({"name": "echo", "description": "Repeats.", "kind": "declared", "model": "scripted", "tools": []});
    assert_eq!(*echo, wanted);
    assert!(!answer.body.contains("secret prompt"));
}

#[tokio::test]
async fn an_answer_has_everything_about_its_run() {
    let house = House::new();
    let asked = json!({"query": "hi", "session_id": "s1", "metadata": {"user": "u7"}});
    let answer = house.post(INVOKE, asked).await;
    assert_eq!(answer.status, 200);
    let mut run = answer.json();
    let id = run["id"].take();
    assert_eq!(answer.header("x-run-id"), id.as_str());
    assert_eq!(answer.header("x-session-id"), Some("s1"));
    let wanted = json!({
        "id": null, "agent": "echo", "session_id": "s1", "status": "completed", "background": false,
        "answer": "You said: hi", "response": "You said: hi", "model": "up-model", "finish_reason": "stop",
        "tokens_used": 12,
        "usage": {
            "input_tokens": 7, "output_tokens": 5, "total_tokens": 12,
            "cache_read_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0,
        },
        "steps": 1, "latency_ms": 0,
        "created_at": "2023-11-14T22:13:20.000Z", "timestamp": "2023-11-14T22:13:20.000Z",
        "metadata": {"user": "u7"},
    });
    assert_eq!(run, wanted);
}

#[tokio::test]
async fn what_was_asked_reaches_the_model() {
    let house = House::new();
    house
        .post(INVOKE, json!({"query": "hi", "temperature": 0.5, "max_tokens": 9, "context": {"k": 1}}))
        .await;
    let seen = house.model.seen.lock();
    assert_eq!((seen[0].temperature, seen[0].max_tokens), (Some(0.5), Some(9)));
    assert!(format!("{:?}", seen[0].messages).contains("k"), "{:?}", seen[0].messages);
}

#[tokio::test]
async fn context_and_metadata_nest_up_to_their_bound() {
    let house = House::new();
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let asked = |context: &str, labels: &str| {
        format!(r#"{{"query":"hi","context":{context},"metadata":{{"labels":{labels}}}}}"#)
    };
    for (body, field) in [(asked(&nested(65), "1"), "context"), (asked("1", &nested(64)), "metadata")] {
        let refused = house.post("/v1/agents/echo/invoke", body).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "INVALID_FIELD"));
        assert_eq!(refused.json()["error"]["field"], field);
    }
    let most = house.post("/v1/agents/echo/invoke", asked(&nested(64), &nested(63))).await;
    assert_eq!(most.status, 200);
    assert_eq!(house.get("/v1/runs").await.json()["runs"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_fallback_answers_for_a_classified_failure() {
    let house = House::new();
    house.next(Script::Fail(&codes::PROVIDER_QUOTA));
    let answer = house.post("/v1/agents/demo/invoke", json!({"query": "hi"})).await;
    assert_eq!(answer.status, 200);
    let run = answer.json();
    assert_eq!((&run["answer"], &run["model"]), (&json!("A demo answer."), &json!("demo-fallback")));
    assert_eq!(run["finish_reason"], "QUOTA_EXCEEDED_DEMO_FALLBACK");
}

#[tokio::test]
async fn a_stream_is_typed_numbered_and_names_its_run_first() {
    let house = House::new();
    let answer = house.post(STREAM, json!({"query": "hi", "session_id": "s1"})).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("text/event-stream")));
    let events = answer.events();
    let ids: Vec<u64> = events.iter().map(|event| event.id.unwrap()).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    assert_eq!(events[0].name(), "run.started");
    let first = events[0].json();
    assert_eq!(first["run_id"].as_str(), answer.header("x-run-id"));
    assert_eq!(
        (&first["session_id"], &first["agent"], &first["seq"]),
        (&json!("s1"), &json!("echo"), &json!(1))
    );
    let text: String = events
        .iter()
        .filter(|event| event.name() == "message.delta")
        .map(|event| event.json()["delta"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(text, "You said: hi");
    let last = events.last().unwrap();
    assert_eq!(last.name(), "run.completed");
    let data = last.json();
    assert_eq!((&data["answer"], &data["tokens_used"]), (&json!("You said: hi"), &json!(12)));
    assert!(events.iter().all(|event| event.json()["run_id"] == first["run_id"]));
    assert!(events.iter().all(|event| event.json()["type"] == event.name()));
}

#[tokio::test]
async fn a_stream_that_fails_says_so_as_its_last_event() {
    let house = House::new();
    let mut events = saying(&["half"]);
    events.truncate(2);
    events.push(Err(error(&codes::PROVIDER_UNAVAILABLE)));
    house.next(Script::Events(events));
    let answer = house.post(STREAM, json!({"query": "hi"})).await;
    let last = answer.events().pop().unwrap();
    assert_eq!((last.name(), &last.json()["code"]), ("run.failed", &json!("PROVIDER_UNAVAILABLE")));
    assert!(!answer.body.contains("secret"));
}

#[tokio::test]
async fn a_background_run_is_202_and_goes_on() {
    let house = House::new();
    let answer = house.post(INVOKE, json!({"query": "hi", "background": true})).await;
    assert_eq!(answer.status, 202);
    let started = answer.json();
    let path = format!("/v1/runs/{}", started["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!((&started["links"]["run"], &started["background"]), (&json!(path), &json!(true)));
    until("the run's end", async || house.get(&path).await.json()["status"] == "completed").await;
    assert_eq!(house.get(&path).await.json()["answer"], "You said: hi");
}

#[tokio::test]
async fn a_repeated_key_is_the_same_run() {
    let house = House::new();
    let ask = async |query: &str| {
        house.send(with(post(INVOKE, json!({"query": query})), "idempotency-key", "k1")).await
    };
    let first = ask("hi").await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let second = ask("hi").await;
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(
        (&second.json()["id"], &second.json()["answer"]),
        (&first.json()["id"], &first.json()["answer"])
    );
    assert_eq!(house.model.seen.lock().len(), 1);
    let other = ask("something else").await;
    assert_eq!((other.status.as_u16(), other.code().as_str()), (422, "INVALID_FIELD"));
}

#[tokio::test]
async fn a_busy_session_is_409() {
    let house = House::new();
    house.next(Script::Stall("a"));
    let stream =
        house.open(post("/v1/agents/leaving/stream", json!({"query": "hi", "session_id": "s1"}))).await;
    let answer = house.post("/v1/agents/leaving/invoke", json!({"query": "and?", "session_id": "s1"})).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "SESSION_BUSY"));
    drop(stream);
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_run_where_the_agent_says_so() {
    let house = House::new();
    house.next(Script::Stall("a"));
    let stream = house.open(post("/v1/agents/leaving/stream", json!({"query": "hi"}))).await;
    let run = stream.headers()["x-run-id"].to_str().unwrap().to_owned();
    drop(stream);
    let path = format!("/v1/runs/{run}");
    until("the cut", async || house.get(&path).await.json()["status"] == "cancelled").await;
}
