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
    start_with(ServeOptions { close_timeout, ..patient() }).await
}

fn patient() -> ServeOptions {
    let long = Duration::from_secs(30);
    ServeOptions {
        header_timeout: long,
        idle_timeout: long,
        write_timeout: long,
        connections_max: 8,
        close_timeout: long,
    }
}

async fn start_with(options: ServeOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = Slow { started: Arc::default(), release: Arc::default() };
    let stop = CancellationToken::new();
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

const SHORT: Duration = Duration::from_millis(60);

/// Reads until the server ends the connection.
async fn ended(mut stream: TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    // A reset ends it as well.
    let _ = stream.read_to_end(&mut seen).await;
    seen
}

#[tokio::test]
async fn whoever_sends_no_whole_head_is_cut() {
    let running = start_with(ServeOptions { header_timeout: SHORT, ..patient() }).await;
    for start in
        [&b""[..], b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n"]
    {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(start).await.unwrap();
        ended(stream).await;
    }
}

#[tokio::test]
async fn the_head_of_a_later_request_is_timed_as_well() {
    let running = start_with(ServeOptions { header_timeout: SHORT, ..patient() }).await;
    running.slow.release.notify_one();
    let mut stream = send_request(running.address).await;
    let mut answer = [0; 512];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    stream.write_all(b"GET / HT").await.unwrap();
    ended(stream).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let limits = ServeOptions { header_timeout: SHORT, idle_timeout: SHORT, ..patient() };
    let running = start_with(limits).await;
    let mut stream = send_request(running.address).await;
    running.slow.started.notified().await;
    tokio::time::sleep(4 * SHORT).await;
    running.slow.release.notify_one();
    let mut answer = [0; 512];
    assert!(stream.read(&mut answer).await.unwrap() > 0, "it was cut while its request was in flight");
    ended(stream).await;
}

#[test]
fn a_watch_judges_by_what_happens() {
    let zero = Duration::ZERO;
    let watch = Arc::new(watch::Watch::new());
    let verdict = |options: ServeOptions| watch.verdict(&options);
    use watch::Verdict::{Fine, Idle, Stuck};
    assert_eq!(verdict(patient()), Fine);
    assert_eq!(verdict(ServeOptions { header_timeout: zero, ..patient() }), Stuck, "no request came");
    let busy = watch.request(http::Version::HTTP_11);
    let nothing_allowed = ServeOptions { header_timeout: zero, idle_timeout: zero, ..patient() };
    assert_eq!(verdict(nothing_allowed), Fine, "a request is in flight");
    drop(busy);
    assert_eq!(verdict(ServeOptions { idle_timeout: zero, ..patient() }), Idle);
    assert_eq!(verdict(ServeOptions { header_timeout: zero, ..patient() }), Fine, "between requests");
}

/// Answers with more than a socket takes at once.
#[derive(Clone)]
struct Large;

impl tower_service::Service<http::Request<Incoming>> for Large {
    type Response = Answer;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Incoming>) -> Self::Future {
        std::future::ready(Ok(http::Response::new(Full::new(vec![0; 64 << 20].into()))))
    }
}

#[tokio::test]
async fn whoever_does_not_read_its_answer_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServeOptions { write_timeout: SHORT, ..patient() };
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, Large, options, stop.clone()));
    let mut stream = send_request(address).await;
    tokio::time::sleep(4 * SHORT).await;
    let mut seen = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        seen += read;
    }
    assert!(seen < 64 << 20, "all of it came: {seen}");
    stop.cancel();
    served.await.unwrap();
}
