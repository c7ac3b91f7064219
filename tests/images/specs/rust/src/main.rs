//! An agent that says what it was asked, twenty words a second where it is streamed. It reads HTTP/1.1 and JSON only as far
//! as Mainstay sends them: whole bodies, and a question of plain words.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    for stream in TcpListener::bind(address)?.incoming().flatten() {
        // A caller who leaves is nobody's fault.
        thread::spawn(move || drop(answer(stream)));
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut bytes = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            bytes = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body);
    let query = body.split("\"query\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let kind = if first.contains("/stream") { "text/event-stream" } else { "application/json" };
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n")?;
    if !first.contains("/stream") {
        return write!(stream, "{{\"answer\":\"{query}\"}}");
    }
    for word in query.split(' ') {
        write!(stream, "data: {{\"token\":\"{word} \"}}\n\n")?;
        thread::sleep(Duration::from_millis(50));
    }
    write!(stream, "data: [DONE]\n\n")
}
