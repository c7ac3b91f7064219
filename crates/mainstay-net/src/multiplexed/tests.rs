//! The channel against our own listener, over TCP and over a socket.

use std::convert::Infallible;

use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{Listener, ServeOptions, serve};

/// Answers with what it was sent.
#[derive(Clone)]
struct Echo;

impl tower_service::Service<Request<Incoming>> for Echo {
    type Response = Response<Incoming>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Incoming>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        assert_eq!(request.version(), Version::HTTP_2);
        let path = request.uri().path().to_owned();
        let mut answer = Response::new(request.into_body());
        answer.headers_mut().insert("path", path.parse().unwrap());
        std::future::ready(Ok(answer))
    }
}

fn start(listener: impl Listener) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let long = Duration::from_secs(60);
    let options = ServeOptions {
        header_timeout: long,
        idle_timeout: long,
        write_timeout: long,
        connections_max: 64,
        close_timeout: long,
    };
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(serve(listener, Echo, options, stop)))
}

async fn check(channel: &Channel<Full<Bytes>>) {
    let request = Request::post("/a?b").body(Full::new(Bytes::from_static(b"hello"))).unwrap();
    let (head, body) = channel.send(request).await.unwrap().into_parts();
    assert_eq!(head.headers["path"], "/a");
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
}

#[tokio::test]
async fn calls_share_a_connection_until_it_is_busy() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (stop, served) = start(listener);
    let channel = Channel::new(url, ClientOptions::default(), None);
    let mut open = Vec::new();
    for count in 1..=BUSY + 1 {
        let request = Request::post("/").body(Full::new(Bytes::from_static(b"x"))).unwrap();
        open.push(channel.send(request).await.unwrap());
        assert_eq!(channel.0.open.lock().len(), if count <= BUSY { 1 } else { 2 });
    }
    drop(open);
    stop.cancel();
    served.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_has_ended_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = Sockets::open(&folder.path().join("run")).unwrap();
    let url = "http://default.bank".parse().unwrap();
    let channel = Channel::to_socket(url, ClientOptions::default(), sockets.clone());
    let request = Request::post("/").body(Full::default()).unwrap();
    assert!(matches!(channel.send(request).await, Err(SendError::Connect(_))));
    for _ in 0..2 {
        let (stop, served) = start(sockets.listen("default.bank").unwrap());
        check(&channel).await;
        check(&channel).await;
        stop.cancel();
        served.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_of_one_server_may_speak_this_version() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (stop, served) = start(listener);
    let client = crate::client::Client::over(Channel::new(url.clone(), ClientOptions::default(), None));
    let pieces =
        || futures_util::stream::iter(["one", "two"]).map(|text| Ok(Bytes::from_static(text.as_bytes())));
    for (length, whole) in [(None, true), (Some(6), true), (Some(7), false)] {
        let body = crate::client::Body::stream(Box::pin(pieces()), length);
        let request = Request::post(url.clone()).body(body).unwrap();
        let answer = async { client.send(request).await.ok()?.into_body().collect().await.ok() }.await;
        assert_eq!(
            answer.map(|body| body.to_bytes()).as_deref(),
            whole.then_some(&b"onetwo"[..]),
            "{length:?}"
        );
    }
    drop(client);
    stop.cancel();
    served.await.unwrap();
}
