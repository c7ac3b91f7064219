//! The upstream of the benchmarks: one thread, answers a chat completion at once, or streams numbered chunks at a fixed
//! pace. It looks at nothing in a request but `"stream":true`, and it checks nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// What the mock is asked to be.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Content chunks of a stream
    #[arg(long, default_value_t = 20)]
    chunks: u32,
    /// Milliseconds between two chunks
    #[arg(long, default_value_t = 5)]
    interval_ms: u64,
}

/// Where a value is got and put.
pub(super) const VALUE_PATH: &str = "/value";
/// Bytes of that value, without its quotes.
pub(super) const VALUE_BYTES: usize = 1_024;

type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

/// The ready-made answers.
struct Answers {
    whole: Bytes,
    value: Bytes,
    models: Bytes,
    frames: Vec<Bytes>,
    interval: Duration,
}

/// Serves until it is killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await.context("bind the mock")?;
    println!("mock: listening on http://{}", listener.local_addr()?);
    let answers = Arc::new(Answers {
        whole: whole(),
        value: Bytes::from(format!("\"{}\"", "v".repeat(VALUE_BYTES))),
        models: Bytes::from_static(
            br#"{"object":"list","data":[{"id":"bench","object":"model","created":1,"owned_by":"mock"}]}"#,
        ),
        frames: frames(options.chunks),
        interval: Duration::from_millis(options.interval_ms),
    });
    loop {
        let (socket, _) = listener.accept().await.context("accept")?;
        tokio::spawn(connection(socket, Arc::clone(&answers)));
    }
}

async fn connection(socket: TcpStream, answers: Arc<Answers>) {
    // A reply of one write is not held back by Nagle's algorithm then.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answer(request, &answers).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new());
    // A client that goes away is the usual end of a connection.
    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
}

async fn answer(request: Request<Incoming>, answers: &Arc<Answers>) -> Response<Body> {
    match request.uri().path() {
        // Beside a sidecar: an app that asks for nothing, and a value of a kilobyte.
        path if path.starts_with("/dapr/") => return bare(StatusCode::NOT_FOUND),
        VALUE_PATH if request.method() == Method::GET => return json(answers.value.clone()),
        VALUE_PATH => {
            let read = request.into_body().collect().await;
            return bare(if read.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::BAD_REQUEST });
        }
        _ => {}
    }
    if request.method() == Method::GET {
        return json(answers.models.clone());
    }
    let Ok(streamed) = wants_stream(request.into_body()).await else {
        let mut response = json(Bytes::new());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    if !streamed {
        return json(answers.whole.clone());
    }
    let mut response = Response::new(Either::Right(paced(Arc::clone(answers)).boxed_unsync()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::new())));
    *response.status_mut() = status;
    response
}

fn json(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Reads the body to its end; whether it asks for a stream.
async fn wants_stream(mut body: Incoming) -> hyper::Result<bool> {
    let mut asked = false;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            asked |= asks_for_stream(data);
        }
    }
    Ok(asked)
}

fn asks_for_stream(data: &[u8]) -> bool {
    let mut places = memchr::memmem::find_iter(data, b"\"stream\":");
    places.any(|at| data[at + b"\"stream\":".len()..].trim_ascii_start().starts_with(b"true"))
}

fn paced(answers: Arc<Answers>) -> StreamBody<impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>>> {
    let begin = Instant::now();
    StreamBody::new(stream::unfold(0, move |at: usize| {
        let answers = Arc::clone(&answers);
        async move {
            let frame = answers.frames.get(at)?.clone();
            if at > 0 {
                let due = begin + answers.interval * u32::try_from(at).unwrap_or(u32::MAX);
                tokio::time::sleep_until(due).await;
            }
            Some((Ok(Frame::data(frame)), at + 1))
        }
    }))
}

/// A chat completion of about 737 bytes.
fn whole() -> Bytes {
    let text = "The quick brown fox jumps over the lazy dog near the quiet river bank. ".repeat(5);
    let body = format!(
        concat!(
            r#"{{"id":"chatcmpl-bench0001","object":"chat.completion","created":1763700000,"model":"bench","#,
            r#""choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null}},"logprobs":null,"#,
            r#""finish_reason":"stop"}}],"usage":{{"prompt_tokens":25,"completion_tokens":40,"total_tokens":65,"#,
            r#""prompt_tokens_details":{{"cached_tokens":0}}}},"service_tier":"default","system_fingerprint":"fp_bench"}}"#
        ),
        text.trim_end()
    );
    Bytes::from(body)
}

/// The text of content chunk `number`, so that a reader can tell which ones came.
pub(super) fn piece(number: u32) -> String {
    format!("t{number:05} ")
}

/// Content chunks, the finish, usage, and the end.
fn frames(chunks: u32) -> Vec<Bytes> {
    let head = r#"data: {"id":"chatcmpl-bench0002","object":"chat.completion.chunk","created":1763700000,"model":"bench","choices":["#;
    let mut frames: Vec<Bytes> = (0..chunks)
        .map(|n| {
            let role = if n == 0 { r#""role":"assistant","# } else { "" };
            let delta =
                format!(r#"{{"index":0,"delta":{{{role}"content":"{}"}},"finish_reason":null}}]"#, piece(n));
            Bytes::from(format!("{head}{delta},\"usage\":null}}\n\n"))
        })
        .collect();
    let finish = r#"{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#;
    let usage = r#"],"usage":{"prompt_tokens":25,"completion_tokens":40,"total_tokens":65}}"#;
    frames.push(Bytes::from(format!("{head}{finish}\n\n{head}{usage}\n\ndata: [DONE]\n\n")));
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_reply_is_json_of_about_737_bytes() {
        let body = whole();
        assert!((720..=750).contains(&body.len()), "{}", body.len());
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["usage"]["total_tokens"], 65);
    }

    #[test]
    fn every_frame_of_a_stream_is_a_chunk() {
        let text: String = frames(3).iter().map(|f| String::from_utf8(f.to_vec()).unwrap()).collect();
        let (chunks, end) = text.split_once("data: [DONE]\n\n").unwrap();
        assert_eq!(end, "");
        let chunks: Vec<serde_json::Value> = chunks
            .split_terminator("\n\n")
            .map(|frame| serde_json::from_str(frame.strip_prefix("data: ").unwrap()).unwrap())
            .collect();
        assert_eq!(chunks.len(), 3 + 2);
        assert_eq!(chunks[2]["choices"][0]["delta"]["content"], piece(2));
        assert_eq!(chunks[4]["choices"].as_array().map(Vec::len), Some(0));
    }

    #[test]
    fn a_stream_is_asked_for_with_or_without_a_space() {
        assert!(asks_for_stream(br#"{"stream": true}"#));
        assert!(asks_for_stream(br#"{"stream_options":{},"stream":true}"#));
        assert!(!asks_for_stream(br#"{"stream":false,"text":"true"}"#));
    }
}
