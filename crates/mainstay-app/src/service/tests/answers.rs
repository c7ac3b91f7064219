//! What goes over the wire, and what becomes of each answer.

use std::io;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http_body_util::BodyExt as _;
use mainstay_testkit::loopback::{self, Answer, Loopback, Request};
use serde_json::{Value, json};

use super::*;

async fn server(answer: impl Fn() -> Answer + Send + Sync + 'static) -> (Loopback, AppService) {
    let server = Loopback::serve(Arc::new(move |_| Box::pin(std::future::ready(answer())))).await;
    let service = service(&plan(&server.url()));
    (server, service)
}

fn sse(stream: &'static str) -> Answer {
    loopback::whole(200, "text/event-stream; charset=utf-8", stream)
}

/// What a stream says: its pieces joined, the names of its own events, and how it ended.
async fn streamed(
    answer: impl Fn() -> Answer + Send + Sync + 'static,
) -> (String, Vec<String>, Result<AppOutput>) {
    let (_server, service) = server(answer).await;
    let mut events = service.invoke(&Ctx::system(), request("q", true)).await.unwrap();
    let (mut text, mut own) = (String::new(), Vec::new());
    loop {
        match events.next().await.expect("the last item is the end or an error") {
            Ok(AppEvent::Text(piece)) => text.push_str(&piece),
            Ok(AppEvent::Custom { name, .. }) => own.push(name),
            Ok(AppEvent::Done(output)) => {
                assert!(events.next().await.is_none(), "nothing follows the end");
                return (text, own, Ok(output));
            }
            Err(error) => return (text, own, Err(error)),
        }
    }
}

#[tokio::test]
async fn the_request_carries_the_question_and_its_circumstances() {
    let seen = Arc::new(Mutex::new(None));
    let (kept, url) = (Arc::clone(&seen), "/base/ask");
    let serve = move |request: Request| -> BoxFuture<'static, Answer> {
        let kept = Arc::clone(&kept);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
            *kept.lock().unwrap() = Some((parts, body));
            loopback::whole(200, "application/json", r#"{"answer":"hi"}"#)
        })
    };
    let server = Loopback::serve(Arc::new(serve)).await;
    let mut plan = plan(&format!("{}/base/", server.url()));
    plan.invoke_path = "ask".to_owned();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ctx = Ctx::system().with_traceparent(trace).with_deadline(Instant::now() + Duration::from_secs(30));
    let mut asked = request("what?", false);
    asked.input.context = json!({"lang": "de"});
    asked.input.max_tokens = Some(7);
    asked.input.temperature = Some(0.5);
    asked.input.metadata = json!({"team": "a"});
    let mut events = service(&plan).invoke(&ctx, asked).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(AppEvent::Done(_)))));

    let (parts, body) = seen.lock().unwrap().take().unwrap();
    assert_eq!((parts.method.as_str(), parts.uri.path()), ("POST", url));
    let expect = json!({
        "query": "what?", "run_id": "run_1", "session_id": "ses_1", "stream": false, "context": {"lang": "de"},
        "max_tokens": 7, "temperature": 0.5, "metadata": {"team": "a"},
    });
    assert_eq!(body, expect);
    let header =
        |name: &str| parts.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let expect = [
        ("x-mainstay-run-id", "run_1"),
        ("x-mainstay-session-id", "ses_1"),
        ("idempotency-key", "run_1"),
        ("traceparent", trace),
        ("x-request-id", ctx.request_id().as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json"),
    ];
    for (name, value) in expect {
        assert_eq!(header(name), value, "{name}");
    }
    let deadline: u64 = header("x-mainstay-deadline-ms").parse().unwrap();
    assert!((20_000..=30_000).contains(&deadline), "{deadline}");
}

#[tokio::test]
async fn what_the_caller_did_not_give_is_left_out() {
    let serve = |request: Request| -> BoxFuture<'static, Answer> {
        Box::pin(async move {
            let absent = ["x-mainstay-session-id", "x-mainstay-deadline-ms", "traceparent"];
            assert!(absent.iter().all(|name| !request.headers().contains_key(*name)));
            let body = request.into_body().collect().await.unwrap().to_bytes();
            loopback::whole(200, "text/plain", body)
        })
    };
    let server = Loopback::serve(Arc::new(serve)).await;
    let asked = AppRequest { session: None, ..request("q", false) };
    let mut events = service(&plan(&server.url())).invoke(&Ctx::system(), asked).await.unwrap();
    let Some(Ok(AppEvent::Done(output))) = events.next().await else { panic!("no answer") };
    assert_eq!(output.answer, r#"{"query":"q","run_id":"run_1","stream":false}"#);
}

#[tokio::test]
async fn a_json_answer_is_whole_also_where_a_stream_was_asked_for() {
    let json = || loopback::whole(200, "application/json", r#"{"response":"hi","model":"m","sources":[1]}"#);
    let (_server, service) = server(json).await;
    for stream in [false, true] {
        let events = ask(&service, "q", stream).await.unwrap();
        let [AppEvent::Custom { name, .. }, AppEvent::Done(output)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((name.as_str(), output.answer.as_str()), ("app.output", "hi"));
    }
}

#[tokio::test]
async fn streams_of_several_shapes_are_told_piece_by_piece() {
    let (text, own, end) =
        streamed(|| sse("data: Hel\n\ndata: lo\n\ndata: [DONE]\n\ndata: ignored\n\n")).await;
    assert_eq!((text.as_str(), own.len(), end.unwrap().answer.as_str()), ("Hello", 0, ""));
    let events = ": hi\n\nevent: step\ndata: {\"n\":1}\n\nevent: token\r\ndata: {\"token\":\"Hi\"}\r\n\r\n\
                  event: complete\ndata: {\"answer\":\"Hi\",\"model\":\"m\"}\n\n";
    let (text, own, end) = streamed(move || sse(events)).await;
    assert_eq!(
        (text.as_str(), own, end.unwrap().model.as_deref()),
        ("Hi", vec!["step".to_owned()], Some("m"))
    );
}

#[tokio::test]
async fn a_closing_event_without_its_blank_line_closes() {
    let (text, _, end) = streamed(|| sse("data: Hi\n\ndata: [DONE]")).await;
    assert!(end.is_ok());
    assert_eq!(text, "Hi");
}

#[tokio::test]
async fn a_stream_that_just_stops_was_cut() {
    for stream in ["data: Hi\n\n", "", "data: Hi\n\ndata: [DO"] {
        let (_, _, end) = streamed(move || sse(stream)).await;
        let error = end.unwrap_err();
        assert_eq!(error.code().id, "APP_FAILED");
        assert!(error.message().contains("was cut"), "{error}");
    }
    let broken = || {
        let said = stream::iter([Ok(Bytes::from("data: Hi\n\n"))]);
        // The server sends what it has when the next piece is not at hand.
        let cut = stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(io::Error::other("cut"))
        });
        loopback::pieces(200, "text/event-stream", said.chain(cut))
    };
    let (text, _, end) = streamed(broken).await;
    assert_eq!((text.as_str(), end.unwrap_err().code().id), ("Hi", "APP_FAILED"));
}

#[tokio::test]
async fn an_error_event_ends_a_stream() {
    let (text, _, end) =
        streamed(|| sse("data: Hi\n\nevent: error\ndata: {\"message\":\"hunter2\"}\n\n")).await;
    let error = end.unwrap_err();
    assert_eq!((text.as_str(), error.code().id), ("Hi", "APP_FAILED"));
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn plain_text_comes_as_it_is_sent_and_characters_stay_whole() {
    let pieces = || {
        let bytes = "süß \u{1f980}".as_bytes();
        let cut: Vec<io::Result<Bytes>> = bytes.chunks(1).map(|b| Ok(Bytes::copy_from_slice(b))).collect();
        loopback::pieces(200, "text/plain", stream::iter(cut))
    };
    let (text, _, end) = streamed(pieces).await;
    assert_eq!((text.as_str(), end.unwrap()), ("süß \u{1f980}", AppOutput::default()));
    let (_, _, end) = streamed(|| loopback::whole(200, "text/plain", &b"ok \xff"[..])).await;
    assert!(end.unwrap_err().message().contains("not UTF-8"));
}

#[tokio::test]
async fn answers_out_of_bounds_or_out_of_contract_are_failures() {
    let large = "x".repeat(64 * 1024 + 1);
    let event: &'static str = format!("data: {large}\n\ndata: [DONE]\n\n").leak();
    let (_, _, end) = streamed(move || sse(event)).await;
    assert!(end.unwrap_err().message().contains("too large"));
    let cases: [(&str, String, &str); 6] = [
        ("text/plain", large, "larger than 65536 bytes"),
        ("application/json", "{".to_owned(), "not the JSON"),
        ("application/json", r#"{"error":"hunter2"}"#.to_owned(), "is an error"),
        ("image/png", "x".to_owned(), "neither JSON, plain text nor"),
        ("text/html", "<h1>Log in</h1>".to_owned(), "neither JSON, plain text nor"),
        ("", "x".to_owned(), "no content type"),
    ];
    for (kind, body, why) in cases {
        let (_server, service) = server(move || loopback::whole(200, kind, body.clone())).await;
        let error = answer(&service, "q").await.unwrap_err();
        assert_eq!(error.code().id, "APP_FAILED", "{kind}");
        assert!(error.message().contains(why) && !error.message().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn statuses_are_told_apart() {
    let cases = [
        (
            422,
            r#"{"detail":[{"loc":["body","context"],"msg":"Field required","input":"hunter2"}]}"#,
            "APP_REJECTED",
        ),
        (404, "nothing here", "APP_REJECTED"),
        (500, "Traceback hunter2", "APP_FAILED"),
        (503, "busy", "APP_FAILED"),
        (307, "", "APP_FAILED"),
    ];
    for (status, body, code) in cases {
        let (_server, service) = server(move || loopback::whole(status, "application/json", body)).await;
        let error = answer(&service, "q").await.unwrap_err();
        assert_eq!(error.code().id, code, "{status}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn an_app_that_is_not_there_is_unavailable_and_one_that_hangs_up_failed() {
    let nobody = service(&plan("http://127.0.0.1:1"));
    assert_eq!(answer(&nobody, "q").await.unwrap_err().code().id, "APP_UNAVAILABLE");
    let error = nobody.ready(&Ctx::system()).await.unwrap_err();
    assert!(error.message().contains("does not accept connections"), "{error}");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    assert_eq!(answer(&service(&plan(&url)), "q").await.unwrap_err().code().id, "APP_FAILED");
}

#[tokio::test]
async fn the_deadline_holds_before_and_within_the_answer() {
    let serve = |request: Request| -> BoxFuture<'static, Answer> {
        let forever = stream::once(async { Ok(Bytes::from("data: Hi\n\n")) }).chain(stream::pending());
        let starts = request.uri().path() == "/stream";
        Box::pin(async move {
            if starts {
                loopback::pieces(200, "text/event-stream", forever)
            } else {
                std::future::pending().await
            }
        })
    };
    let server = Loopback::serve(Arc::new(serve)).await;
    let service = service(&AppPlan { stream_path: Some("/stream".to_owned()), ..plan(&server.url()) });
    let soon = || Ctx::system().with_deadline(Instant::now() + Duration::from_millis(300));
    let error = service.invoke(&soon(), request("q", false)).await.err().unwrap();
    assert_eq!(error.code().id, "DEADLINE_EXCEEDED");
    let mut events = service.invoke(&soon(), request("q", true)).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), AppEvent::Text("Hi".to_owned()));
    assert_eq!(events.next().await.unwrap().unwrap_err().code().id, "DEADLINE_EXCEEDED");
    drop(events);
    server.callers_gone(2).await;
    let past = service.invoke(&Ctx::system().with_deadline(Instant::now()), request("q", false)).await;
    assert_eq!(past.err().unwrap().code().id, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn dropping_the_answer_or_the_wait_for_it_cancels_at_the_app() {
    let serve = |request: Request| -> BoxFuture<'static, Answer> {
        let forever = stream::once(async { Ok(Bytes::from("data: Hi\n\n")) }).chain(stream::pending());
        let starts = request.uri().path() == "/stream";
        Box::pin(async move {
            if starts {
                loopback::pieces(200, "text/event-stream", forever)
            } else {
                std::future::pending().await
            }
        })
    };
    let server = Loopback::serve(Arc::new(serve)).await;
    let service = service(&AppPlan { stream_path: Some("/stream".to_owned()), ..plan(&server.url()) });
    let mut events = service.invoke(&Ctx::system(), request("q", true)).await.unwrap();
    events.next().await.unwrap().unwrap();
    drop(events);
    server.callers_gone(1).await;
    let ctx = Ctx::system();
    let waiting = service.invoke(&ctx, request("q", false));
    assert!(tokio::time::timeout(Duration::from_millis(200), waiting).await.is_err(), "it is not answered");
    server.callers_gone(2).await;
}
