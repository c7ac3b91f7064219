//! The accept loop over real sockets.

use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

type Answer = http::Response<Full<bytes::Bytes>>;

#[derive(Clone)]
struct Slow {
    started: Arc<tokio::sync::Notify>,
    release: Arc<tokio::sync::Notify>,
}

impl tower_service::Service<http::Request<Incoming>> for Slow {
    type Response = Answer;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            assert!(request.extensions().get::<Peer>().is_some());
            this.started.notify_one();
            this.release.notified().await;
            Ok(http::Response::new(Full::new(bytes::Bytes::from_static(b"done"))))
        })
    }
}

struct Running {
    address: SocketAddr,
    slow: Slow,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

async fn start(close_timeout: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = Slow { started: Arc::default(), release: Arc::default() };
    let stop = CancellationToken::new();
    let options = ServeOptions { header_timeout: Duration::from_secs(5), connections_max: 8, close_timeout };
    let served = tokio::spawn(serve(listener, slow.clone(), options, stop.clone()));
    Running { address, slow, stop, served }
}

async fn send_request(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn a_stop_lets_the_open_answer_finish() {
    let running = start(Duration::from_secs(30)).await;
    let mut stream = send_request(running.address).await;
    running.slow.started.notified().await;
    running.stop.cancel();
    running.slow.release.notify_one();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    running.served.await.unwrap();
}

#[tokio::test]
async fn what_does_not_finish_is_cut() {
    let running = start(Duration::from_millis(20)).await;
    let mut stream = send_request(running.address).await;
    running.slow.started.notified().await;
    running.stop.cancel();
    running.served.await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let running = start(Duration::from_secs(30)).await;
    let idle = TcpStream::connect(running.address).await.unwrap();
    running.stop.cancel();
    running.served.await.unwrap();
    drop(idle);
}
