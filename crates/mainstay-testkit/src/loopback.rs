//! A small HTTP server on loopback for tests: one function answers every request. It notices when its caller goes away.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// An answer; an error in its body cuts the connection.
pub type Answer = http::Response<UnsyncBoxBody<Bytes, io::Error>>;
/// A request as received.
pub type Request = http::Request<Incoming>;
/// What answers.
pub type Service = Arc<dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A server that lives as long as this.
#[derive(Debug)]
pub struct Loopback {
    address: SocketAddr,
    accept: JoinHandle<()>,
    gone: watch::Receiver<usize>,
}

impl Loopback {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub async fn serve(service: Service) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (tell, gone) = watch::channel(0);
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, tell) = (Arc::clone(&service), tell.clone());
                tokio::spawn(async move {
                    let answer = hyper::service::service_fn(move |request| {
                        let (answer, unanswered) = (service(request), Unanswered(Some(tell.clone())));
                        async move { Ok::<_, Infallible>(unanswered.until_read(answer.await)) }
                    });
                    // A cut connection is what some tests are about.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Self { address, accept, gone }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until callers of `count` requests went away before their answers were whole.
    ///
    /// # Panics
    /// After ten seconds.
    pub async fn callers_gone(&self, count: usize) {
        let mut gone = self.gone.clone();
        let seen = tokio::time::timeout(Duration::from_secs(10), gone.wait_for(|gone| *gone >= count)).await;
        seen.expect("the callers went away in time").expect("the server runs");
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Counts itself when dropped, unless the answer was read to its end first.
struct Unanswered(Option<watch::Sender<usize>>);

impl Unanswered {
    fn until_read(self, answer: Answer) -> Answer {
        let mut guard = Some(self);
        let (parts, body) = answer.into_parts();
        let frames = http_body_util::BodyStream::new(body).map(Some);
        let end = futures_util::stream::once(async { None });
        let watched = frames.chain(end).filter_map(move |frame| {
            if frame.is_none()
                && let Some(mut guard) = guard.take()
            {
                guard.0 = None;
            }
            std::future::ready(frame)
        });
        http::Response::from_parts(parts, StreamBody::new(watched).boxed_unsync())
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell.send_modify(|gone| *gone += 1);
        }
    }
}

/// An answer of one piece.
#[must_use]
pub fn whole(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    answer(status, content_type, body)
}

/// An answer in pieces; an error cuts the connection.
#[must_use]
pub fn pieces<S>(status: u16, content_type: &str, pieces: S) -> Answer
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    answer(status, content_type, StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync())
}

fn answer(status: u16, content_type: &str, body: UnsyncBoxBody<Bytes, io::Error>) -> Answer {
    let response = http::Response::builder().status(status).header("content-type", content_type);
    response.body(body).expect("the test's status and content type are valid")
}
