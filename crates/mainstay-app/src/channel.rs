//! The way to an app: one request, and its answer as events, within the deadline. It knows nothing of the app's
//! process.

use std::future::Future;
use std::time::Instant;

use async_stream::try_stream;
use bytes::Bytes;
use http::header;
use http_body_util::BodyExt as _;
use mainstay_core::app::{AppEvent, AppRequest};
use mainstay_core::plan::AppPlan;
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use mainstay_dialects::sse::Parser;
use mainstay_net::client::AnswerBody;
use mainstay_net::client::{Client, SendError};

use crate::contract::events::Events;
use crate::contract::{broken, question, refusal, reply};

/// An app's addresses, and how to reach them.
#[derive(Debug)]
pub(crate) struct Channel {
    client: Client,
    invoke: http::Uri,
    stream: http::Uri,
    bytes_max: usize,
}

/// Events of one answer.
type Answer = BoxStream<Result<AppEvent>>;

impl Channel {
    /// The channel that a plan describes. Errors: `CONFIG_VALUE` for a URL that is none.
    pub(crate) fn new(plan: &AppPlan, client: Client) -> Result<Self> {
        let stream_path = plan.stream_path.as_deref().unwrap_or(&plan.invoke_path);
        Ok(Self {
            client,
            invoke: join(&plan.process.url, &plan.invoke_path)?,
            stream: join(&plan.process.url, stream_path)?,
            bytes_max: usize::try_from(plan.response_bytes_max).unwrap_or(usize::MAX),
        })
    }

    /// Asks once. Errors: as of [`mainstay_core::app::App::invoke`].
    pub(crate) async fn ask(&self, ctx: &Ctx, asked: &AppRequest) -> Result<Answer> {
        let url = if asked.stream { &self.stream } else { &self.invoke };
        let now = Instant::now();
        if ctx.remaining(now).is_some_and(|left| left.is_zero()) {
            return Err(late());
        }
        let request = question::request(url, ctx, asked, now)?;
        let deadline = ctx.deadline();
        let sent = within(deadline, self.client.send(request)).await?;
        let response = sent.map_err(|error| unanswered(&error))?;
        let status = response.status();
        if !status.is_success() {
            let body = within(deadline, read_some(response.into_body(), refusal::BODY_BYTES_MAX)).await?;
            return Err(refusal::error(status, url.path(), &body));
        }
        let form = Form::of(response.headers())?;
        let body = Body { body: response.into_body(), deadline, bytes_max: self.bytes_max };
        match form {
            Form::Events => Ok(events(body)),
            Form::Text if asked.stream => Ok(pieces(body)),
            Form::Text => Ok(events_of(vec![reply::text(text(body.whole().await?)?)])),
            Form::Json => {
                let value = serde_json::from_slice(&body.whole().await?)
                    .map_err(|e| broken("is not the JSON that its content type says").with_source(e))?;
                Ok(events_of(reply::json(value)?))
            }
        }
    }
}

/// What an answer is written in.
enum Form {
    Json,
    Events,
    Text,
}

impl Form {
    fn of(headers: &http::HeaderMap) -> Result<Self> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/event-stream" => Ok(Self::Events),
            "application/json" => Ok(Self::Json),
            other if other.ends_with("+json") => Ok(Self::Json),
            // No other text: a page in HTML is a login or a fault of what stands between, and no answer.
            "text/plain" => Ok(Self::Text),
            "" => Err(broken("has no content type")),
            _ => Err(broken("is neither JSON, plain text nor an event stream")),
        }
    }
}

/// The body of a good answer, read within its bounds.
struct Body {
    body: AnswerBody,
    deadline: Option<Instant>,
    bytes_max: usize,
}

impl Body {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(frame) = within(self.deadline, self.body.frame()).await? else { return Ok(None) };
            let frame = frame
                .map_err(|error| broken("was cut: the connection broke before its end").with_source(error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    async fn whole(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            if bytes.len() + piece.len() > self.bytes_max {
                return Err(broken(&format!("is larger than {} bytes", self.bytes_max)));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

fn events_of(events: Vec<AppEvent>) -> Answer {
    Box::pin(futures_util::stream::iter(events.into_iter().map(Ok)))
}

/// An event stream, up to its closing event. Dropping it closes the connection.
fn events(mut body: Body) -> Answer {
    Box::pin(try_stream! {
        let (mut parser, mut events) = (Parser::new(body.bytes_max), Events::default());
        let mut out = Vec::new();
        loop {
            let chunk = body.next().await?;
            let ended = chunk.is_none();
            let outcome = read_frames(&mut parser, chunk, &mut events, &mut out);
            for event in out.drain(..) {
                let done = matches!(event, AppEvent::Done(_));
                yield event;
                if done {
                    return;
                }
            }
            outcome?;
            if ended {
                Err(Events::cut())?;
            }
        }
    })
}

/// The events in a chunk, up to one that is an error; at the end of the stream, in what is left without its blank line.
fn read_frames(
    parser: &mut Parser,
    chunk: Option<Bytes>,
    events: &mut Events,
    out: &mut Vec<AppEvent>,
) -> Result<()> {
    let ended = chunk.is_none();
    parser.push(chunk.unwrap_or_default());
    loop {
        let whole = parser
            .next_frame()
            .map_err(|error| broken("has an event that is too large").with_source(error))?;
        let last = if whole.is_none() && ended { parser.finish() } else { None };
        let Some(frame) = whole.or(last) else { return Ok(()) };
        let Some(data) = frame.data() else { continue };
        let name = frame.event().map(String::from_utf8_lossy);
        events.read(name.as_deref(), &String::from_utf8_lossy(&data), out)?;
        if matches!(out.last(), Some(AppEvent::Done(_))) {
            return Ok(());
        }
    }
}

/// Plain text as it comes. The transfer itself says where it ends.
fn pieces(mut body: Body) -> Answer {
    Box::pin(try_stream! {
        let mut held: Vec<u8> = Vec::new();
        while let Some(piece) = body.next().await? {
            held.extend_from_slice(&piece);
            let whole = whole_characters(&held)?;
            let rest = held.split_off(whole);
            let ready = text(std::mem::replace(&mut held, rest))?;
            if !ready.is_empty() {
                yield AppEvent::Text(ready);
            }
        }
        if !held.is_empty() {
            Err(not_text())?;
        }
        yield reply::text(String::new());
    })
}

/// How many bytes are whole characters; a chunk may end within one.
fn whole_characters(bytes: &[u8]) -> Result<usize> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(not_text()),
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| not_text())
}

fn not_text() -> Error {
    broken("is not UTF-8 text")
}

/// At most so many bytes of a body whose end does not matter.
async fn read_some(mut body: AnswerBody, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() >= bytes_max {
            bytes.truncate(bytes_max);
            break;
        }
    }
    bytes
}

/// Waits up to the deadline. Errors: `DEADLINE_EXCEEDED`.
pub(crate) async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Result<T> {
    match deadline {
        None => Ok(work.await),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| late()),
    }
}

fn late() -> Error {
    Error::new(&codes::DEADLINE_EXCEEDED, "the app did not answer in time")
}

fn unanswered(error: &SendError) -> Error {
    match error {
        SendError::Connect(_) | SendError::Refused(_) => {
            Error::new(&codes::APP_UNAVAILABLE, "the app cannot be reached at its `url`")
        }
        SendError::Transport(_) => broken("did not come: the connection broke"),
    }
    .with_internal(error.chain())
}

/// A base URL and a path under it. Errors: `CONFIG_VALUE`.
pub(crate) fn join(base: &str, path: &str) -> Result<http::Uri> {
    let joined = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
    let parsed = joined.parse::<http::Uri>().ok();
    parsed
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
        .ok_or_else(|| {
            Error::new(&codes::CONFIG_VALUE, format!("`{joined}` is not an address of an app"))
                .with_help("write e.g. `url: http://127.0.0.1:8000`")
        })
}
