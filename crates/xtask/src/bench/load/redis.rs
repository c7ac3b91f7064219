//! A client of Redis that does nothing but ask: what a read costs when nobody stands between.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address).await.context("connect")?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, read: Vec::with_capacity(8_192) })
    }

    /// Reads the data and the version of a hash, as a state store keeps them. The bytes of the data.
    pub(super) async fn read(&mut self, key: &str) -> anyhow::Result<usize> {
        let command =
            format!("*4\r\n$5\r\nHMGET\r\n${}\r\n{key}\r\n$4\r\ndata\r\n$7\r\nversion\r\n", key.len());
        self.socket.write_all(command.as_bytes()).await.context("send")?;
        self.read.clear();
        loop {
            let count = self.socket.read_buf(&mut self.read).await.context("read")?;
            anyhow::ensure!(count > 0, "the server closed the connection");
            if let Some(bytes) = first_of_two(&self.read)? {
                return Ok(bytes);
            }
        }
    }
}

/// The length of the first of an array's two strings, once all of it is there.
fn first_of_two(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(rest) = after_line(answer) else { return Ok(None) };
    anyhow::ensure!(
        answer.starts_with(b"*2\r\n"),
        "not an array of two: {}",
        String::from_utf8_lossy(answer)
    );
    let Some((first, rest)) = string(rest)? else { return Ok(None) };
    Ok(string(rest)?.map(|_| first))
}

/// The length of a string and what follows it.
fn string(answer: &[u8]) -> anyhow::Result<Option<(usize, &[u8])>> {
    let Some(rest) = after_line(answer) else { return Ok(None) };
    let line = &answer[..answer.len() - rest.len()];
    let digits = line.strip_prefix(b"$").and_then(|line| line.strip_suffix(b"\r\n"));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).context("not a string")?;
    let length: usize = digits.parse().context("the key is not there")?;
    Ok(rest.get(length + 2..).map(|rest| (length, rest)))
}

fn after_line(answer: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::find(answer, b"\r\n")?;
    Some(&answer[end + 2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_all_of_it_is_there() {
        let whole = b"*2\r\n$5\r\nhello\r\n$1\r\n3\r\n";
        for end in 0..whole.len() {
            assert_eq!(first_of_two(&whole[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(first_of_two(whole).unwrap(), Some(5));
        assert!(first_of_two(b"*2\r\n$-1\r\n$-1\r\n").is_err());
        assert!(first_of_two(b"-ERR no\r\n").is_err());
    }
}
