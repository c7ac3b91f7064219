//! The few HTTP calls that tasks make themselves: one connection a call, blocking, loopback.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

/// Longest silence of the other side.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {}", self.text()))
    }
}

/// `GET path`.
pub(crate) fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    call(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

/// `POST path` with a JSON body.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    body: &Value,
    key: Option<&str>,
) -> anyhow::Result<Answer> {
    let body = body.to_string();
    let key = key.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{key}");
    let about = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    call(address, &format!("{head}{about}\r\n\r\n{body}"))
}

/// Waits until `/ready` answers 200.
pub(crate) fn wait_ready(address: SocketAddr, patience: Duration) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let answer = get(address, "/ready")?;
        if answer.status == 200 {
            return Ok(());
        }
        anyhow::ensure!(begin.elapsed() < patience, "not ready: {}", answer.text());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The answer ends with the connection.
fn call(address: SocketAddr, request: &str) -> anyhow::Result<Answer> {
    let mut socket = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    socket.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    socket.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).context("read the answer")?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> anyhow::Result<Answer> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").context("an answer without a head")?;
    let head = std::str::from_utf8(&bytes[..end]).context("a head that is no text")?;
    let status =
        head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("an answer without a status")?;
    let body = &bytes[end + 4..];
    let is_chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    Ok(Answer { status, body: if is_chunked { joined(body)? } else { body.to_vec() } })
}

/// The pieces of a chunked body (RFC 9112, section 7.1).
fn joined(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(rest, b"\r\n").context("a chunk without a size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end])?.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        let piece = rest.get(end + 2..end + 2 + size).context("an answer that was cut")?;
        body.extend_from_slice(piece);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\nx: y\r\n\r\n{\"a\":1}").unwrap();
        assert_eq!((answer.status, answer.json().unwrap()["a"].as_u64()), (404, Some(1)));
        assert!(parse(b"nonsense").is_err());
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n5\r\na\":1}\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().text(), "{\"a\":1}");
        assert!(parse(&chunked[..chunked.len() - 9]).is_err(), "cut");
    }
}
