//! Engines over a tiny model: order of events, bounds, cancellation, waiting and failing.

use std::fs::FileTimes;
use std::path::Path;
use std::time::Duration;

use mainstay_core::message::{Message, Role};
use mainstay_core::model::{FinishReason, Usage};
use mainstay_core::tool::ToolSpec;

use super::*;
use crate::tiny;

fn engine(file: &Path) -> Engine {
    let options = EngineOptions { threads: 2, queue_max: 4, ..EngineOptions::new(file, "tiny") };
    Engine::open(options).unwrap()
}

fn tiny_engine(context: u32) -> (Engine, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    tiny::write(&file, context, 7);
    (engine(&file), folder)
}

fn request(text: &str, max_tokens: u32) -> ModelRequest {
    ModelRequest {
        messages: vec![Message::text(Role::User, text)],
        temperature: Some(0.0),
        max_tokens: Some(max_tokens),
        ..ModelRequest::default()
    }
}

/// Text, usage and finish of an answer; checks the order of events.
async fn ask(engine: &Engine, request: ModelRequest) -> Result<(String, Usage, FinishReason)> {
    let events: Vec<_> = engine.complete(None, request).await?.collect().await;
    let mut events: Vec<ModelEvent> = events.into_iter().collect::<Result<_>>()?;
    events.retain(|event| *event != ModelEvent::Alive);
    let [ModelEvent::Start { model, id }, texts @ .., ModelEvent::Usage(usage), ModelEvent::Finish(finish)] =
        events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert!(*model == engine.name && id.starts_with("local_"));
    let text = texts.iter().map(|event| match event {
        ModelEvent::Text(text) => text.as_str(),
        other => panic!("{other:?}"),
    });
    Ok((text.collect(), *usage, finish.clone()))
}

#[tokio::test]
async fn the_same_request_has_the_same_answer_and_its_prompt_is_remembered() {
    let (engine, _folder) = tiny_engine(256);
    let (text, usage, finish) = ask(&engine, request("hello", 20)).await.unwrap();
    let (again, usage_again, _) = ask(&engine, request("hello", 20)).await.unwrap();
    assert_eq!(text, again);
    // `<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n`: controls, bytes, and `hel` as one token.
    let prompt = 1 + 5 + 3 + 1 + 1 + 1 + 10;
    assert_eq!((usage.input_uncached, usage.cache_read), (prompt, 0));
    assert_eq!((usage_again.input_uncached, usage_again.cache_read), (1, prompt - 1));
    assert_eq!(usage.output, usage_again.output);
    assert!(usage.output == 20 && finish == FinishReason::Length || finish == FinishReason::Stop);
}

#[tokio::test]
async fn another_conversation_in_between_changes_nothing() {
    let (engine, _folder) = tiny_engine(256);
    let (text, ..) = ask(&engine, request("hello", 12)).await.unwrap();
    ask(&engine, request("help me with something else", 12)).await.unwrap();
    assert_eq!(ask(&engine, request("hello", 12)).await.unwrap().0, text);
}

#[tokio::test]
async fn an_answer_ends_at_its_own_bound_and_at_the_context_s() {
    let (engine, _folder) = tiny_engine(64);
    let (_, usage, finish) = ask(&engine, request("a", 3)).await.unwrap();
    assert_eq!((usage.output, finish), (3, FinishReason::Length));
    let (_, usage, finish) = ask(&engine, request("a", 1000)).await.unwrap();
    assert_eq!(
        (usage.total(), finish),
        (65, FinishReason::Length),
        "the last token is spoken, not remembered"
    );
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_refused() {
    let (engine, _folder) = tiny_engine(64);
    for length in [64, 100_000] {
        let failure = ask(&engine, request(&"x".repeat(length), 5)).await.unwrap_err();
        assert_eq!((failure.code().id, failure.field()), ("PROVIDER_INVALID_REQUEST", Some("messages")));
    }
    assert!(ask(&engine, request("x", 5)).await.is_ok());
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_before_it() {
    let (engine, _folder) = tiny_engine(256);
    let (text, ..) = ask(&engine, request("hello", 20)).await.unwrap();
    let stop: String = text.chars().skip(3).take(2).collect();
    let (cut, _, finish) =
        ask(&engine, ModelRequest { stop: vec![stop.clone()], ..request("hello", 20) }).await.unwrap();
    assert_eq!(cut, text[..text.find(&stop).unwrap()]);
    assert_eq!(finish, FinishReason::Stop);
}

#[tokio::test]
async fn every_token_shows_even_where_nothing_can_be_said_yet() {
    let (engine, _folder) = tiny_engine(1024);
    let parameters = serde_json::json!({"type": "object"});
    let tool = ToolSpec { name: "find".into(), description: String::new(), parameters, strict: None };
    // The answer is made to begin with a call, which is held back until it is whole.
    let calling = ModelRequest {
        tools: vec![tool],
        tool_choice: mainstay_core::model::ToolChoice::Required,
        ..request("go", 8)
    };
    let events: Vec<_> = engine.complete(None, calling).await.unwrap().map(Result::unwrap).collect().await;
    let output = events.iter().find_map(|e| if let ModelEvent::Usage(u) = e { Some(u.output) } else { None });
    let alive = events.iter().filter(|event| **event == ModelEvent::Alive).count();
    assert!(output > Some(0) && alive as u64 == output.unwrap(), "{events:?}");
}

#[tokio::test]
async fn a_dropped_stream_frees_the_model() {
    let (engine, _folder) = tiny_engine(4000);
    let mut stream = engine.complete(None, request("go on for ever", 4000)).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(ModelEvent::Start { .. }))));
    drop(stream);
    let next = tokio::time::timeout(Duration::from_secs(20), ask(&engine, request("a", 1)));
    assert!(next.await.expect("the abandoned answer is not finished first").is_ok());
}

#[tokio::test]
async fn a_deadline_ends_the_answer_with_an_error() {
    let (engine, _folder) = tiny_engine(256);
    let failure = engine.complete(Some(Instant::now()), request("a", 5)).await.err().unwrap();
    assert_eq!(failure.code().id, "PROVIDER_TIMEOUT");
}

#[tokio::test]
async fn a_file_that_comes_later_is_found_later() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("late.gguf");
    let engine = engine(&file);
    let failure = ask(&engine, request("a", 1)).await.unwrap_err();
    assert_eq!(failure.code().id, "MODEL_FILE_UNAVAILABLE");
    assert!(failure.help().is_some_and(|help| help.contains("mainstay models pull")));
    assert!(!failure.message().contains(folder.path().to_str().unwrap()), "paths are for the log");
    std::fs::write(&file, b"GGUF is not all it takes").unwrap();
    assert_eq!(ask(&engine, request("a", 1)).await.unwrap_err().code().id, "MODEL_FILE_UNAVAILABLE");
    tiny::write(&file, 64, 7);
    assert!(ask(&engine, request("a", 1)).await.is_ok());
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_before_anyone_asks_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    let options = EngineOptions { missing_help: "fetch it".to_owned(), ..EngineOptions::new(&file, "tiny") };
    let open = || Engine::open(options.clone()).unwrap();
    let missing = open().ready().unwrap_err();
    assert_eq!((missing.code().id, missing.help()), ("MODEL_FILE_UNAVAILABLE", Some("fetch it")));
    std::fs::write(&file, "no model").unwrap();
    let engine = open();
    let asked = ask(&engine, request("hello", 3)).await.unwrap_err();
    assert_eq!(engine.ready().unwrap_err().message(), asked.message());
    std::fs::remove_file(&file).unwrap();
    tiny::write(&file, 64, 7);
    assert!(engine.ready().is_ok(), "another file is worth a try");
    ask(&engine, request("hello", 3)).await.unwrap();
    assert!(engine.ready().is_ok());
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slow.gguf");
    // Opening a pipe waits for its other end: the engine stays in its loading until we say.
    let (mode, kind) = (rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR, rustix::fs::FileType::Fifo);
    rustix::fs::mknodat(rustix::fs::CWD, &file, kind, mode, 0).unwrap();
    let options = EngineOptions { threads: 1, queue_max: 1, ..EngineOptions::new(&file, "tiny") };
    let engine = Engine::open(options).unwrap();
    let mut waiting = Box::pin(engine.complete(None, request("a", 1)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let refused = engine.complete(None, request("b", 1)).await.err().unwrap();
    assert_eq!(refused.code().id, "OVERLOADED");
    // With the other end at hand, whoever opens the pipe goes on; from the rename on, they find a model.
    let model = folder.path().join("model.gguf");
    tiny::write(&model, 64, 7);
    let pipe = tokio::task::spawn_blocking(move || {
        let pipe = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        std::fs::rename(model, file).unwrap();
        pipe
    });
    drop(pipe.await.unwrap());
    let waited = waiting.await;
    assert!(waited.is_ok() || waited.is_err_and(|e| e.code().id == "MODEL_FILE_UNAVAILABLE"));
    assert!(ask(&engine, request("a", 1)).await.is_ok(), "the queue has room again");
}

#[tokio::test]
async fn the_quantised_copy_is_made_once_and_mended_when_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("tiny.gguf"), folder.path().join("tiny.q8_0.gguf"));
    tiny::write(&file, 256, 7);
    let (text, ..) = ask(&engine(&file), request("hello", 12)).await.unwrap();
    let made = std::fs::read(&copy).unwrap();
    let modified = || std::fs::metadata(&copy).unwrap().modified().unwrap();

    let first = modified();
    assert_eq!(ask(&engine(&file), request("hello", 12)).await.unwrap().0, text);
    assert_eq!(modified(), first, "a sound copy is used as it is");

    let mut damaged = made.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x40;
    std::fs::write(&copy, damaged).unwrap();
    assert_eq!(ask(&engine(&file), request("hello", 12)).await.unwrap().0, text);
    assert_eq!(std::fs::read(&copy).unwrap(), made);

    tiny::write(&file, 256, 8);
    assert_ne!(
        ask(&engine(&file), request("hello", 12)).await.unwrap().0,
        text,
        "another model, another copy"
    );
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "no unfinished files stay: {left:?}");
}

/// Tokens of its prompt that an engine remembers from what the others were asked.
async fn remembered(engine: &Engine) -> u64 {
    ask(engine, request("hello", 1)).await.unwrap().1.cache_read
}

#[tokio::test]
async fn engines_of_one_file_share_the_model_but_not_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("tiny.gguf"), folder.path().join("link.gguf"));
    tiny::write(&file, 256, 7);
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let options = EngineOptions { threads: 2, queue_max: 4, ..EngineOptions::new(&link, "other") };
    let (one, other) = (engine(&file), Engine::open(options.clone()).unwrap());
    assert_eq!(remembered(&one).await, 0);
    assert!(remembered(&other).await > 0, "the file is loaded twice");
    drop(one);
    assert!(remembered(&engine(&file)).await > 0, "the last one keeps it");
    let fewer_threads = Engine::open(EngineOptions { threads: 1, ..options.clone() }).unwrap();
    let less_context = Engine::open(EngineOptions { context_tokens_max: 128, ..options }).unwrap();
    assert_eq!((remembered(&fewer_threads).await, remembered(&less_context).await), (0, 0));
}

#[tokio::test]
async fn a_model_that_nobody_holds_or_whose_file_was_replaced_is_loaded_anew() {
    let (first, folder) = tiny_engine(256);
    let file = folder.path().join("tiny.gguf");
    assert_eq!(remembered(&first).await, 0);
    let replaced = FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    std::fs::File::options().write(true).open(&file).unwrap().set_times(replaced).unwrap();
    let second = engine(&file);
    assert_eq!(remembered(&second).await, 0);
    drop((first, second));
    assert_eq!(remembered(&engine(&file)).await, 0);
}
