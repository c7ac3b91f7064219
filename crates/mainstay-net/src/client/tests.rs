//! The client against loopback listeners.

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn get(url: &str) -> http::Request<Full<Bytes>> {
    http::Request::get(url).body(Full::new(Bytes::new())).unwrap()
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
