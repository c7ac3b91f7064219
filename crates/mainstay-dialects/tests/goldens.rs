//! Wire in, meaning, wire out: each file under `goldens/` is what one dialect sends, and the `.expected` file beside it
//! what it means and how every dialect says the same. One case a trap; `UPDATE_GOLDENS=1` writes what is found, to be
//! read before it is committed.

#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped fails the test")]

mod goldens {
    pub(crate) mod render;
}

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use goldens::render;
use mainstay_core::Error;
use mainstay_core::model::{Assembler, ModelEvent};
use mainstay_core::provider::Tap;
use mainstay_dialects::codec::{EncodeOptions, ErrorAnswer, Hints, ReplyOptions, Seen, TapState};
use mainstay_dialects::{ALL, Codec, sse};
use serde_json::Value;

/// A case: its file, its name without the dialect, its dialect.
struct Case {
    path: PathBuf,
    name: String,
    codec: &'static Codec,
}

#[test]
fn requests_mean_the_same_in_every_dialect() {
    check("requests", |case, wire| {
        let request = match (case.codec.decode_request)(wire) {
            Ok(request) => request,
            Err(error) => return format!("{error:?}\n"),
        };
        let mut out = section("canonical", &render::request(&request));
        for codec in ALL {
            let mut request = request.clone();
            request.model = target_model(case, codec);
            let encoded = (codec.encode_request)(&request, &EncodeOptions::default());
            let body: Value = serde_json::from_slice(&encoded.body).unwrap();
            let mut text = render::json(&body);
            writeln!(text, "dropped: {}", encoded.dropped.join(", ")).unwrap();
            if let Some(tool) = encoded.hints.structured_tool {
                writeln!(text, "the answer is the call of `{tool}`").unwrap();
            }
            let other = (codec.encode_request)(&request, &for_compatible_servers());
            let other: Value = serde_json::from_slice(&other.body).unwrap();
            text += &render::differences("compatible servers get", &body, &other);
            out += &section(codec.dialect.0, &text);
        }
        out
    });
}

#[test]
fn whole_answers_mean_the_same_in_every_dialect() {
    check("answers", |case, wire| {
        let tap = section("tap", &noticed(&(case.codec.tap_body)(wire)));
        let events = match (case.codec.decode_response)(wire, &Hints::default()) {
            Ok(events) => events,
            Err(error) => return format!("{error:?}\n{tap}"),
        };
        let mut out = section("events", &render::events(&events)) + &tap;
        let mut assembler = Assembler::default();
        events.iter().for_each(|event| assembler.push(event));
        let completion = assembler.finish();
        for codec in ALL {
            let body: Value =
                serde_json::from_slice(&(codec.encode_response)(&completion, &reply())).unwrap();
            out += &section(codec.dialect.0, &render::json(&body));
        }
        out
    });
}

#[test]
fn streams_mean_the_same_in_every_dialect() {
    check("streams", |case, wire| {
        let (events, ending) = read_stream(case.codec, wire);
        let mut out = section("events", &(render::events(&events) + &ending));
        out += &section("tap", &tapped(case.codec, wire));
        if !ending.is_empty() {
            return out;
        }
        for codec in ALL {
            let mut encoder = (codec.encoder)(reply());
            let mut text = String::new();
            for event in &events {
                text += std::str::from_utf8(&encoder.push(event)).unwrap();
            }
            text += std::str::from_utf8(&encoder.end()).unwrap();
            out += &section(codec.dialect.0, &text);
        }
        out
    });
}

#[test]
fn errors_keep_their_class_in_every_dialect() {
    check("errors", |case, wire| {
        let answer: Value = serde_json::from_slice(wire).unwrap();
        let body = answer["body"].as_str().map_or_else(|| answer["body"].to_string(), str::to_owned);
        let header = |name: &str| answer["headers"][name].as_str().map(str::to_owned);
        let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
        let error =
            (case.codec.decode_error)(&ErrorAnswer { status, header: &header, body: body.as_bytes() });
        let mut out = section("error", &format!("{error:?}\n{:?}\n", error.retry()));
        for codec in ALL {
            let body: Value = serde_json::from_slice(&(codec.encode_error)(&error, Some("req_1"))).unwrap();
            let frame = (codec.encode_stream_error)(&error, Some("req_1"));
            let text = format!(
                "{}\n{}{}",
                (codec.status)(&error),
                render::json(&body),
                std::str::from_utf8(&frame).unwrap()
            );
            out += &section(codec.dialect.0, &text);
        }
        out
    });
}

/// Runs every case of a folder. There is no case without an expectation, and no expectation without a case.
fn check(folder: &str, run: impl Fn(&Case, &[u8]) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(folder);
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let cases = cases(&folder);
    assert!(!cases.is_empty(), "no cases in {}", folder.display());
    let mut wrong = Vec::new();
    for case in &cases {
        let found = run(case, &std::fs::read(&case.path).unwrap());
        let expected_path = case.path.with_extension("expected");
        if update {
            std::fs::write(&expected_path, &found).unwrap();
        } else if std::fs::read_to_string(&expected_path).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", expected_path.display()));
        }
    }
    assert!(wrong.is_empty(), "these differ (UPDATE_GOLDENS=1 writes them):\n{}", wrong.join("\n"));
    let expectations = files(&folder, "expected");
    assert_eq!(expectations.len(), cases.len(), "an expectation has no case");
}

fn cases(folder: &Path) -> Vec<Case> {
    let inputs = files(folder, "json").into_iter().chain(files(folder, "sse"));
    let case = |path: PathBuf| {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (name, dialect) = stem.rsplit_once('.').unwrap();
        let codec = ALL.iter().copied().find(|codec| codec.dialect.0 == dialect)?;
        Some(Case { name: name.to_owned(), codec, path })
    };
    inputs.filter_map(case).collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

fn section(title: &str, text: &str) -> String {
    format!("==== {title}\n{text}")
}

/// The model asked of a provider: one of the present, unless the case says otherwise in `<name>.models.json`.
fn target_model(case: &Case, codec: &Codec) -> String {
    let file = case.path.with_file_name(format!("{}.models.json", case.name));
    let chosen: Value =
        std::fs::read(file).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
    let present = match codec.dialect.0 {
        "anthropic" => "claude-sonnet-4-6",
        "gemini" => "gemini-2.5-flash",
        _ => "gpt-5-mini",
    };
    chosen[codec.dialect.0].as_str().unwrap_or(present).to_owned()
}

fn for_compatible_servers() -> EncodeOptions {
    EncodeOptions { legacy_max_tokens: true, send_reasoning: true, ..EncodeOptions::default() }
}

fn reply() -> ReplyOptions {
    ReplyOptions { id: "fallback-id".to_owned(), created_s: 1_700_000_000, include_usage: true }
}

fn frames(wire: &[u8]) -> Vec<sse::Frame> {
    let mut parser = sse::Parser::default();
    parser.push(Bytes::copy_from_slice(wire));
    let mut frames = Vec::new();
    while let Some(frame) = parser.next_frame().unwrap() {
        frames.push(frame);
    }
    frames.extend(parser.finish());
    frames
}

/// The events of a stream, and how it failed, if it did.
fn read_stream(codec: &Codec, wire: &[u8]) -> (Vec<ModelEvent>, String) {
    let (mut decoder, mut events) = ((codec.decoder)(Hints::default()), Vec::new());
    let pushed = frames(wire).iter().try_for_each(|frame| decoder.push(frame, &mut events));
    match pushed.and_then(|()| decoder.end(&mut events)) {
        Ok(()) => (events, String::new()),
        Err(error) => (events, format!("{error:?}\n")),
    }
}

fn noticed(seen: &Seen) -> String {
    let Some(Tap { model, usage, finish, failure }) = &seen.tap else { return "nothing\n".to_owned() };
    assert_eq!(*failure, seen.failure.as_ref().map(Error::code));
    let failure = seen.failure.as_ref().map(|error| format!(", failure: {error:?}")).unwrap_or_default();
    format!("Tap {{ model: {model:?}, usage: {usage:?}, finish: {finish:?}{failure} }}\n")
}

fn tapped(codec: &Codec, wire: &[u8]) -> String {
    let mut state = TapState::default();
    let mut out = String::new();
    for (place, frame) in frames(wire).iter().enumerate() {
        let seen = (codec.tap)(&mut state, frame);
        if seen.tap.is_some() {
            let strip = if seen.usage_only { ", nothing but usage" } else { "" };
            write!(out, "frame {place}{strip}: {}", noticed(&seen)).unwrap();
        }
    }
    writeln!(out, "complete: {}", state.complete).unwrap();
    out
}
