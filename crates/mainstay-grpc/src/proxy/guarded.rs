//! What an operator asks for calls of an app, around calls that are passed on.
//!
//! What is passed on may be one question and one answer, or a stream of either: only the caller knows. So it is taken
//! for the former, and all of it is within the policy's time, unless `dapr-stream` says that it is a stream; then the
//! policies hold for the connection alone. A call is made again only while nothing of an answer has gone back, and only
//! while its caller has sent no more than one message.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body::{Body as _, Frame};
use mainstay_blocks::layers::{Guard, Outcome};
use mainstay_core::{Ctx, Error, codes};
use mainstay_net::client::SendError;
use mainstay_net::multiplexed::{Answer, Channel};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::{Code, Status};

use super::kept::Kept;
use super::{BoxError, Response, unreached};

/// Metadata: whether a call is a stream.
const STREAM: &str = "dapr-stream";
/// The code of an answer, among its headers or its trailers.
const STATUS: &str = "grpc-status";

/// Passes on a call of the app `id`. `bytes_max`: of a message that is kept, so that it can be sent again.
pub(super) async fn pass(
    (id, guard): (&str, &Guard),
    channel: &Channel<Body>,
    request: Request<Body>,
    bytes_max: usize,
) -> Result<Response, Status> {
    let reached = |error: SendError| unreached(id, &error);
    if guard.is_empty() {
        return Ok(channel.send(request).await.map_err(reached)?.map(Body::new));
    }
    let ctx = request.extensions().get::<Ctx>().cloned().unwrap_or_else(Ctx::system);
    if is_stream(request.headers()) {
        let connect = |_| async { channel.ready().await.map_err(Failed::Send) };
        let judge = |ready: &Result<(), Failed>| ready.as_ref().err().map_or(Outcome::Fine, outcome);
        guard.run_judged(&ctx, None, connect, judge).await.map_err(|failed| failed.status(id))?;
        return Ok(channel.send(request).await.map_err(reached)?.map(Body::new));
    }
    if !guard.retries() {
        let once = |ctx| attempt(channel, request, ctx);
        let answered = guard.run_once(&ctx, once, judge).await;
        return answered.map(|begun| begun.response(None)).map_err(|failed| failed.status(id));
    }
    let (parts, body) = request.into_parts();
    let kept = Arc::new(Kept::new(body, bytes_max));
    let again = |ctx| {
        let request = Request::from_parts(copy(&parts), Body::new(Kept::again(&kept)));
        let (kept, sent) = (Arc::clone(&kept), attempt(channel, request, ctx));
        async move { sent.await.map_err(|failed| kept.refusal().map_or(failed, Failed::Refused)) }
    };
    let answered = guard.run_judged(&ctx, None, again, judge).await;
    answered.map(|begun| begun.response(Some(kept))).map_err(|failed| failed.status(id))
}

/// Whether the caller says so, in the words that the protocol takes for yes.
fn is_stream(headers: &HeaderMap) -> bool {
    let said = headers.get(STREAM).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    ["1", "on", "t", "true", "y", "yes"].iter().any(|yes| yes.eq_ignore_ascii_case(said))
}

fn copy(parts: &Parts) -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.version_mut() = parts.version;
    *request.headers_mut() = parts.headers.clone();
    request.into_parts().0
}

/// Why an attempt came to no answer.
#[derive(Debug)]
enum Failed {
    /// It could not be made, or was cut before it was answered.
    Send(SendError),
    /// The answer was cut before anything of it could go back.
    Cut(BoxError),
    /// The caller's own messages do not allow it.
    Refused(Status),
    /// Policies kept it away, or ended it.
    Policy(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Policy(error)
    }
}

impl Failed {
    fn status(self, id: &str) -> Status {
        match self {
            Self::Send(error) => unreached(id, &error),
            Self::Cut(error) => {
                tracing::warn!(target = %id, %error, "the answer to a call was cut");
                Status::unavailable(format!("failed to proxy request to {id}: the answer was cut"))
            }
            Self::Refused(status) => status,
            Self::Policy(error) if error.code() == &codes::DEADLINE_EXCEEDED => {
                Status::deadline_exceeded(error.message())
            }
            Self::Policy(error) => Status::unknown(error.message()),
        }
    }
}

fn outcome(failed: &Failed) -> Outcome {
    match failed {
        Failed::Send(SendError::Refused(_)) | Failed::Refused(_) | Failed::Policy(_) => Outcome::Permanent,
        Failed::Send(_) | Failed::Cut(_) => Outcome::Temporary(None),
    }
}

fn judge(answered: &Result<Begun, Failed>) -> Outcome {
    match answered {
        Ok(begun) => match begun.code() {
            Some(0) => Outcome::Fine,
            code => Outcome::Temporary(Some(code.unwrap_or(Code::Unknown as u16))),
        },
        Err(failed) => outcome(failed),
    }
}

/// An answer of which the beginning is there: a message, or how it ended.
struct Begun {
    head: http::response::Parts,
    first: Option<Frame<Bytes>>,
    rest: Answer,
    /// When the whole of it must be there.
    until: Option<tokio::time::Instant>,
}

/// Makes a call, up to the first frame of its answer.
async fn attempt(channel: &Channel<Body>, request: Request<Body>, ctx: Ctx) -> Result<Begun, Failed> {
    let (head, mut rest) = channel.send(request).await.map_err(Failed::Send)?.into_parts();
    let mut first = None;
    if !head.headers.contains_key(STATUS) {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await;
        first = frame.transpose().map_err(|error| Failed::Cut(error.into()))?;
    }
    Ok(Begun { head, first, rest, until: ctx.deadline().map(Into::into) })
}

impl Begun {
    /// What it ended with, and 0 where it has not ended. `None` where it ended without a word.
    fn code(&self) -> Option<u16> {
        let of = |headers: &HeaderMap| headers.get(STATUS)?.to_str().ok()?.parse().ok();
        match &self.first {
            Some(frame) => frame.trailers_ref().map_or(Some(0), of),
            None => of(&self.head.headers),
        }
    }

    fn response(self, kept: Option<Arc<Kept>>) -> Response {
        let Self { head, first, rest, until } = self;
        let until = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
        http::Response::from_parts(head, Body::new(Rest { first, rest, until, kept, has_ended: false }))
    }
}

/// The body of an answer on its way to the caller, within the policy's time.
struct Rest {
    first: Option<Frame<Bytes>>,
    rest: Answer,
    until: Option<Pin<Box<Sleep>>>,
    kept: Option<Arc<Kept>>,
    has_ended: bool,
}

impl Rest {
    /// Ends with a status of our own.
    fn end(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.has_ended = true;
        let mut trailers = HeaderMap::new();
        Poll::Ready(match status.add_header(&mut trailers) {
            Ok(()) => Some(Ok(Frame::trailers(trailers))),
            Err(status) => Some(Err(status.into())),
        })
    }
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.rest).poll_frame(cx) {
            let refusal = || self.kept.as_ref().and_then(|kept| kept.refusal());
            return match frame {
                Some(Err(error)) => match refusal() {
                    Some(status) => self.end(&status),
                    None => Poll::Ready(Some(Err(error.into()))),
                },
                frame => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            };
        }
        let Some(until) = &mut self.until else { return Poll::Pending };
        ready!(until.as_mut().poll(cx));
        self.end(&Status::deadline_exceeded("context deadline exceeded: the timeout of its policy is over"))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.first.is_none() && self.rest.is_end_stream()
    }
}
