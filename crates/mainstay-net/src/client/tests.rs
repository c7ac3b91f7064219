//! The client against loopback listeners.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn get(url: &str) -> http::Request<Body> {
    http::Request::get(url).body(Body::default()).unwrap()
}

async fn answer_once(listener: TcpListener, answer: &'static str) -> TcpListener {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 1024];
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(read > 0);
    stream.write_all(answer.as_bytes()).await.unwrap();
    listener
}

#[tokio::test]
async fn a_response_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(answer_once(listener, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    let response = Client::new(ClientOptions::default()).send(get(&url)).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    server.await.unwrap();
}

#[tokio::test]
async fn pieces_arrive_as_one_body_of_their_length() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"one, two") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    let pieces = [b"one".as_slice(), b"", b", two"].map(Bytes::from_static);
    let request = http::Request::post(url).body(Body::from_iter(pieces)).unwrap();
    Client::new(ClientOptions::default()).send(request).await.unwrap();
    let seen = server.await.unwrap();
    assert!(seen.contains("content-length: 8\r\n") && !seen.contains("transfer-encoding"), "{seen}");
}

#[tokio::test]
async fn a_guarded_client_refuses_loopback_by_address_and_by_name() {
    let client = Client::new(ClientOptions { addresses: Addresses::PublicOnly, ..ClientOptions::default() });
    for url in ["http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/", "http://169.254.169.254/"] {
        let error = client.send(get(url)).await.unwrap_err();
        assert!(matches!(error, SendError::Refused(_)), "{url}: {}", error.chain());
    }
}

#[tokio::test]
async fn a_refused_connection_is_told_from_a_broken_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let broken = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 512]).await;
    });
    let client = Client::new(ClientOptions::default());
    assert!(matches!(client.send(get(&url)).await.unwrap_err(), SendError::Transport(_)));
    broken.await.unwrap();
    assert!(matches!(client.send(get(&url)).await.unwrap_err(), SendError::Connect(_)));
}

#[tokio::test]
async fn dropping_the_body_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await.unwrap();
        stream.read(&mut buffer).await.unwrap()
    });
    let response = Client::new(ClientOptions::default()).send(get(&url)).await.unwrap();
    drop(response);
    assert_eq!(server.await.unwrap(), 0, "the server must see the end of the connection");
}

#[test]
fn the_download_client_builds() {
    assert!(download_client().is_ok());
}

/// Answers every request on one connection at a time; says how many connections came.
async fn answer_all(listener: TcpListener, answers: usize, per_connection: usize) -> usize {
    let (mut connections, mut answered) = (0, 0);
    while answered < answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        connections += 1;
        for _ in 0..per_connection {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap() == 0 {
                    break;
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            answered += 1;
        }
    }
    connections
}

async fn read(client: &Client, url: &str) -> Bytes {
    client.send(get(url)).await.unwrap().into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_connection_serves_call_after_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(answer_all(listener, 3, 3));
    let client = Client::new(ClientOptions::default());
    for _ in 0..3 {
        assert_eq!(read(&client, &url).await, "ok");
    }
    assert_eq!(server.await.unwrap(), 1);
}

#[tokio::test]
async fn a_connection_that_the_peer_closed_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(answer_all(listener, 3, 1));
    let client = Client::new(ClientOptions::default());
    for _ in 0..3 {
        assert_eq!(read(&client, &url).await, "ok");
        // The close has to arrive before the next call, for a call that was sent is never sent again.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.await.unwrap(), 3);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 512];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        stream.read(&mut head).await.unwrap()
    });
    let options = ClientOptions { idle_timeout: Duration::from_millis(40), ..ClientOptions::default() };
    let client = Client::new(options);
    assert_eq!(read(&client, &url).await, "ok");
    assert_eq!(server.await.unwrap(), 0, "the server must see the end of the connection");
}

#[tokio::test]
async fn a_connection_the_peer_will_close_is_not_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
    });
    let client = Client::new(ClientOptions::default());
    assert_eq!((read(&client, &url).await, read(&client, &url).await), ("ok".into(), "ok".into()));
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_without_a_body_gives_its_connection_back_unread() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    });
    let client = Client::new(ClientOptions::default());
    for _ in 0..2 {
        assert_eq!(client.send(get(&url)).await.unwrap().status(), 204);
    }
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { drop(answer_once(listener, answer).await) });
        let body = Client::new(ClientOptions::default()).send(get(&url)).await.unwrap().into_body();
        assert!(body.collect().await.is_err(), "{answer}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_read_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let (read, may_close) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        may_close.await.unwrap();
    });
    let large = Bytes::from(vec![b'x'; 32 << 20]);
    let request = http::Request::post(&url).body(Body::from(large)).unwrap();
    let client = Client::new(ClientOptions::default());
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "no");
    read.send(()).unwrap();
    server.await.unwrap();
    // Half a request was left on that connection: it takes no other.
    assert!(matches!(client.send(get(&url)).await.unwrap_err(), SendError::Connect(_)));
}

#[tokio::test]
async fn what_comes_after_an_answer_is_no_answer_to_the_next_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let smuggled =
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        let listener = answer_once(listener, smuggled).await;
        answer_once(listener, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood").await;
    });
    let client = Client::new(ClientOptions::default());
    assert_eq!((read(&client, &url).await, read(&client, &url).await), ("ok".into(), "good".into()));
    server.await.unwrap();
}

#[tokio::test]
async fn a_large_answer_arrives_whole_by_each_framing() {
    let text: String = (0..300_000).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    let chunked: String = text
        .as_bytes()
        .chunks(7_777)
        .map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)))
        .collect();
    for answer in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunked}0\r\n\r\n"),
        format!("HTTP/1.0 200 OK\r\n\r\n{text}"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { drop(answer_once(listener, answer.leak()).await) });
        assert_eq!(read(&Client::new(ClientOptions::default()), &url).await, text);
        server.await.unwrap();
    }
}

/// A server's settings with a certificate for `localhost` that nobody else vouches for, and the certificate.
fn self_signed() -> (tokio_rustls::TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    (Arc::new(config).into(), certificate)
}

#[tokio::test]
async fn a_call_over_tls_is_written_and_read() {
    let (acceptor, certificate) = self_signed();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        for _ in 0..2 {
            let mut seen = Vec::new();
            while !seen.ends_with(b"end") {
                assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(trusting)).connect(name, tcp).await.unwrap();
    let mut link = Link::new(stream::Stream::Tls(Box::new(tls)));
    for _ in 0..2 {
        // Larger than a record, and than what TLS takes at once.
        let body = Body::from_iter([Bytes::from(vec![b'x'; 1 << 20]), Bytes::from_static(b"end")]);
        let request = http::Request::post("https://localhost/").body(body).unwrap();
        let Ok(head) = link.call(Outgoing::new(request, "localhost")).await else { panic!("it is answered") };
        assert_eq!(head.status(), 200);
        let piece = std::future::poll_fn(|cx| link.poll_body(cx)).await;
        assert_eq!(piece.unwrap().unwrap(), "ok");
        link = link.freed().expect("it takes another call");
    }
    server.await.unwrap();
}

#[tokio::test]
async fn a_host_whose_certificate_is_not_trusted_is_not_called() {
    let (acceptor, _) = self_signed();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/x", listener.local_addr().unwrap().port());
    let server =
        tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.is_err() });
    let error = Client::new(ClientOptions::default()).send(get(&url)).await.unwrap_err();
    assert!(matches!(&error, SendError::Connect(_)), "{}", error.chain());
    assert!(error.chain().contains("certificate"), "{}", error.chain());
    assert!(server.await.unwrap(), "nothing was sent");
}

/// What a server sees of a request with this body, up to `end`.
async fn sent(body: Body, end: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(end.as_bytes()) && stream.read_buf(&mut seen).await.unwrap() > 0 {}
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        String::from_utf8(seen).unwrap()
    });
    let request = http::Request::post(url).body(body).unwrap();
    let _ = Client::new(ClientOptions::default()).send(request).await;
    server.await.unwrap()
}

fn coming(pieces: Vec<std::io::Result<&'static str>>) -> mainstay_core::BoxStream<std::io::Result<Bytes>> {
    use futures_util::StreamExt as _;
    let slow = futures_util::stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece.map(|text| Bytes::from_static(text.as_bytes()))
    });
    Box::pin(slow)
}

#[tokio::test]
async fn a_body_that_comes_is_sent_as_it_comes() {
    let pieces = || coming(vec![Ok("one"), Ok(""), Ok(", two")]);
    let chunked = sent(Body::stream(pieces(), None), "0\r\n\r\n").await;
    assert!(
        chunked.ends_with("transfer-encoding: chunked\r\n\r\n3\r\none\r\n5\r\n, two\r\n0\r\n\r\n"),
        "{chunked}"
    );
    let known = sent(Body::stream(pieces(), Some(8)), "two").await;
    assert!(known.ends_with("content-length: 8\r\n\r\none, two"), "{known}");
}

#[tokio::test]
async fn half_a_body_is_never_taken_for_a_whole_one() {
    let broken = || coming(vec![Ok("one"), Err(std::io::Error::other("gone"))]);
    let chunked = sent(Body::stream(broken(), None), "0\r\n\r\n").await;
    assert!(chunked.ends_with("3\r\none\r\n"), "{chunked}");
    for length in [2, 9] {
        let known = sent(Body::stream(coming(vec![Ok("one")]), Some(length)), "never").await;
        assert!(known.contains(&format!("content-length: {length}")) && !known.ends_with("one,"), "{known}");
    }
    assert!(sent(Body::stream(broken(), Some(0)), "\r\n\r\n").await.contains("content-length: 0"));
}
