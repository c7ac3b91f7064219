//! Connections whose bytes are ours: for what no client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::service::Service;

/// Bytes of an answer that are read: its status is what counts.
const ANSWER_BYTES_MAX: usize = 4096;
/// Bytes that are written at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What a service did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It answered with this status.
    Status(u16),
    /// It closed the connection.
    Closed,
    /// It went on waiting.
    Waiting,
}

/// A service behind TLS is not spoken to byte by byte. The host and port of any other.
pub(super) fn place(service: &Service) -> Option<(String, u16)> {
    let rest = service.given.base.strip_prefix("http://")?;
    let authority = rest.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => Some((host.to_owned(), port.parse().ok()?)),
        _ => Some((authority.to_owned(), 80)),
    }
}

/// Sends `head`, then `body_bytes` bytes, and waits for a reaction as long as `patience`.
pub(super) async fn send(
    place: (String, u16),
    head: &str,
    body_bytes: u64,
    patience: Duration,
) -> std::io::Result<Reaction> {
    let (host, port) = place;
    let connection = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let (mut read, mut write) = connection.into_split();
    write.write_all(head.as_bytes()).await?;
    let sent = async {
        let piece = vec![b' '; PIECE_BYTES];
        let mut left = body_bytes;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            // A service that answered may read no more of it.
            if write.write_all(&piece[..count]).await.is_err() {
                break;
            }
            left -= count as u64;
        }
        std::future::pending::<()>().await;
    };
    let answered = async {
        let mut answer = Vec::new();
        let mut piece = [0; 512];
        loop {
            match read.read(&mut piece).await {
                Ok(0) | Err(_) => return status(&answer).map_or(Reaction::Closed, Reaction::Status),
                Ok(count) => answer.extend_from_slice(&piece[..count]),
            }
            if let Some(status) = status(&answer) {
                return Reaction::Status(status);
            }
            if answer.len() > ANSWER_BYTES_MAX {
                return Reaction::Closed;
            }
        }
    };
    tokio::select! {
        reaction = answered => Ok(reaction),
        () = sent => Ok(Reaction::Waiting),
        () = tokio::time::sleep(patience) => Ok(Reaction::Waiting),
    }
}

/// The status of an answer that has begun.
pub(super) fn status(answer: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(answer).ok()?;
    let (line, _) = text.split_once("\r\n")?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 413 Payload Too Large\r\nx"), Some(413));
        assert_eq!(status(b"HTTP/1.1 408"), None);
    }
}
