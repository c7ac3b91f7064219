//! Over a real connection: what only time and sockets show.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_net::server::{ServeOptions, serve};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::house::{House, settings, until};
use crate::scripted::Script;

async fn listen(house: &House) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let options = ServeOptions {
        header_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(5),
        connections_max: 16,
        close_timeout: Duration::from_secs(1),
    };
    tokio::spawn(serve(listener, house.surface.router(), options, stop.clone()));
    (address, stop)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// What comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut text)).await.unwrap().unwrap();
    String::from_utf8(text).unwrap()
}

/// What comes until `word` did.
async fn read_until(stream: &mut TcpStream, word: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while !text.contains(word) {
        let read =
            tokio::time::timeout(Duration::from_secs(10), stream.read(&mut chunk)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_slow_body_is_408_and_the_connection_closes() {
    let mut quick = settings();
    quick.server.body_timeout = Duration::from_millis(100);
    let house = House::with(quick);
    let (address, _stop) = listen(&house).await;
    let mut stream = connect(address).await;
    stream.write_all(head("/v1/invoke", 100).as_bytes()).await.unwrap();
    stream.write_all(b"{\"query\"").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close") && answer.contains("BODY_TIMEOUT"), "{answer}");
}

#[tokio::test]
async fn a_refusal_reaches_a_caller_who_is_still_sending() {
    let house = House::new();
    let (address, _stop) = listen(&house).await;
    for (path, status) in [("/v1/invoke", "413"), ("/nope", "404")] {
        let mut stream = connect(address).await;
        let body = vec![b'x'; 4 << 20];
        stream.write_all(head(path, body.len()).as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let answer = read_until(&mut stream, "request_id").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_serves_on_after_an_error_and_a_panic() {
    let house = House::new();
    house.openai.next(Script::Panic);
    let (address, _stop) = listen(&house).await;
    let mut stream = connect(address).await;
    let chat = json!({"model": "gpt", "messages": []}).to_string();
    for (path, body, status) in [("/v1/invoke", "{}", "422"), ("/v1/chat/completions", &*chat, "500")] {
        stream.write_all((head(path, body.len()) + body).as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "}").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let length = answer.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut got = answer.split("\r\n\r\n").nth(1).unwrap().len();
        let mut chunk = [0; 1024];
        while got < length.parse::<usize>().unwrap() {
            got += stream.read(&mut chunk).await.unwrap();
        }
    }
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(read_until(&mut stream, "uptime_seconds").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn events_arrive_as_they_happen_and_leaving_is_noticed() {
    let house = House::new();
    house.next(Script::Stall("part"));
    let (address, _stop) = listen(&house).await;
    let mut stream = connect(address).await;
    let body = json!({"query": "hi"}).to_string();
    stream.write_all((head("/v1/agents/leaving/stream", body.len()) + &body).as_bytes()).await.unwrap();
    let seen = read_until(&mut stream, "message.delta").await;
    assert!(seen.contains("transfer-encoding: chunked") && seen.contains("x-accel-buffering: no"), "{seen}");
    assert_eq!(house.surface.in_flight(), 1);
    drop(stream);
    until("the end of the request", async || house.surface.in_flight() == 0).await;
    until("the cut", async || house.get("/v1/runs").await.json()["runs"][0]["status"] == "cancelled").await;
}

#[tokio::test]
async fn a_foreign_name_for_this_machine_opens_nothing() {
    let house = House::new();
    let (address, _stop) = listen(&house).await;
    let mut stream = connect(address).await;
    stream
        .write_all(b"GET /v1/runs HTTP/1.1\r\nhost: rebound.example\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn a_stop_lets_an_open_stream_end_first() {
    let house = House::new();
    house.next(Script::Stall("part"));
    let (address, stop) = listen(&house).await;
    let mut stream = connect(address).await;
    let body = json!({"query": "hi"}).to_string();
    stream.write_all((head("/v1/agents/echo/stream", body.len()) + &body).as_bytes()).await.unwrap();
    read_until(&mut stream, "message.delta").await;
    house.surface.set_draining();
    let cut = house.engine.drain(Duration::from_millis(50)).await;
    assert_eq!(cut, 1);
    let end = read_until(&mut stream, "run.interrupted").await;
    assert!(end.contains("RUN_INTERRUPTED"), "{end}");
    house.surface.idle().await;
    stop.cancel();
    rest(&mut stream).await;
}
