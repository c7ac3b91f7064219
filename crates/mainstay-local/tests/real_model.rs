//! The default model as it really is: an answer, memory of a conversation, the vocabulary. What so small a model says
//! to harder questions is not tested: it changes with the kernel that computes it. Calls are tested on the tiny model.
//! Runs where `mainstay models pull` has put it; elsewhere each test is shown as not run. It fetches nothing.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use libtest_mimic::{Arguments, Failed, Trial};
use mainstay_core::message::{Message, Role};
use mainstay_core::model::{Assembler, Completion, ModelRequest};
use mainstay_local::library::{DEFAULT_MODEL, Library};
use mainstay_local::{Engine, EngineOptions};

fn main() {
    // One after the other: they share a model, and with it the memory of the last conversation.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let engine = Library::new(models_folder()).installed(DEFAULT_MODEL).ok().map(|file| {
        Arc::new(Engine::open(EngineOptions::new(file, DEFAULT_MODEL)).expect("the engine's thread starts"))
    });
    let trials = TESTS.iter().map(|(name, test)| match engine.clone() {
        Some(engine) => Trial::test(*name, move || test(&engine)),
        None => Trial::test(*name, || Ok(()))
            .with_kind("not run: no model; `mainstay models pull smollm2-135m-instruct`")
            .with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

type Test = fn(&Engine) -> Result<(), Failed>;

const TESTS: &[(&str, Test)] = &[
    ("it_knows_the_capital_of_france", it_knows_the_capital_of_france),
    ("a_conversation_is_remembered_token_by_token", a_conversation_is_remembered_token_by_token),
    ("the_vocabulary_splits_text_as_its_authors_do", the_vocabulary_splits_text_as_its_authors_do),
];

fn it_knows_the_capital_of_france(engine: &Engine) -> Result<(), Failed> {
    let request =
        request(vec![Message::text(Role::User, "Paris or London: which one is the capital of France?")]);
    let answer = ask(engine, request)?;
    check(answer.message.joined_text().contains("Paris"), || format!("{answer:?}"))?;
    check(answer.model == DEFAULT_MODEL && answer.usage.output > 0, || format!("{answer:?}"))
}

fn a_conversation_is_remembered_token_by_token(engine: &Engine) -> Result<(), Failed> {
    let mut messages = vec![Message::text(Role::User, "My name is Ada.")];
    let first = ask(engine, request(messages.clone()))?;
    messages.extend([first.message.clone(), Message::text(Role::User, "What is my name?")]);
    let second = ask(engine, request(messages))?;
    check(second.usage.cache_read >= first.usage.input_total(), || format!("{first:?} {second:?}"))
}

/// Lengths of prompts in tokens, against the tokenizer that the model's authors published.
fn the_vocabulary_splits_text_as_its_authors_do(engine: &Engine) -> Result<(), Failed> {
    let length = |text: &str| -> Result<u64, Failed> {
        let one = ModelRequest { max_tokens: Some(1), ..request(vec![Message::text(Role::User, text)]) };
        Ok(ask(engine, one)?.usage.input_total())
    };
    let empty = length("x")? - 1;
    // Digits stand alone, contractions are split off, runs of spaces leave their last to the next word.
    for (text, tokens) in [("In 2024, 12345 people's  houses\n\n  x", 19), ("Hello world! 日本 é", 8)] {
        let found = length(text)? - empty;
        check(found == tokens, || format!("{text:?} has {found} tokens instead of {tokens}"))?;
    }
    Ok(())
}

fn request(messages: Vec<Message>) -> ModelRequest {
    ModelRequest { messages, temperature: Some(0.0), max_tokens: Some(48), ..ModelRequest::default() }
}

fn ask(engine: &Engine, request: ModelRequest) -> Result<Completion, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        let mut stream = engine.complete(None, request).await.map_err(|e| format!("{e:?}"))?;
        let mut assembler = Assembler::default();
        while let Some(event) = stream.next().await {
            assembler.push(&event.map_err(|e| format!("{e:?}"))?);
        }
        Ok(assembler.finish())
    })
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what().into()) }
}

/// Where the binary keeps models.
fn models_folder() -> PathBuf {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("MAINSTAY_MODELS_FOLDER").unwrap_or_else(|| {
        let data = path("XDG_DATA_HOME").or_else(|| path("HOME").map(|home| home.join(".local/share")));
        data.unwrap_or_default().join("mainstay").join("models")
    })
}
