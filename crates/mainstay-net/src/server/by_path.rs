//! gRPC over a Unix socket, as clients made of gRPC's C core speak it (Python, C++, Ruby): they send the socket's path
//! as `:authority`, percent-encoded (`tmp%2Fx.socket`), which no authority may be and our HTTP/2 refuses. Each `%` of
//! such a value becomes `-` here, before it is read: the length stays, and with it the state of header compression at
//! both ends.
//!
//! Nothing else is changed, and values in the compressed (Huffman) form pass as they are: that core does not write it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};

use super::{Listener, Peer};

/// What a client begins HTTP/2 with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head (4.1).
const HEAD_BYTES: usize = 9;
/// The frame of headers, and its flags (6.2).
const HEADERS: u8 = 1;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
/// Longest frame that is looked into: the longest that a client may send which was told nothing else (6.5.2).
const FRAME_BYTES_MAX: usize = 16 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 8 << 10;

/// A Unix socket whose clients may call it by its path.
#[derive(Debug)]
pub struct ByPath(pub UnixListener);

impl Listener for ByPath {
    type Stream = Named;

    async fn next(&self) -> std::io::Result<(Named, Option<Peer>)> {
        Ok((Named { stream: self.0.accept().await?.0, names: Names::default(), ready: Vec::new() }, None))
    }
}

/// A connection to such a socket.
#[derive(Debug)]
pub struct Named {
    stream: UnixStream,
    names: Names,
    /// What was read and looked at, and not taken yet.
    ready: Vec<u8>,
}

/// How far a connection was looked into.
#[derive(Debug, Default)]
struct Names {
    /// What is not complete yet.
    held: Vec<u8>,
    /// Whether the preface has passed.
    has_begun: bool,
    /// Bytes of the frame at hand that pass unseen.
    passing: usize,
    /// It speaks something else, and is left alone.
    is_other: bool,
}

impl Names {
    /// Takes what was read, and gives what can be passed on.
    fn pass(&mut self, read: &[u8]) -> Vec<u8> {
        if self.is_other {
            return read.to_vec();
        }
        self.held.extend_from_slice(read);
        let mut at = 0;
        while let Some(length) = self.step(at) {
            at += length;
            if self.is_other {
                at = self.held.len();
                break;
            }
        }
        self.held.drain(..at).collect()
    }

    /// Looks at what is held from there on: how much of it can pass. `None`: it waits for more.
    fn step(&mut self, at: usize) -> Option<usize> {
        let held = &mut self.held[at..];
        if held.is_empty() {
            return None;
        }
        if !self.has_begun {
            let seen = held.len().min(PREFACE.len());
            self.is_other = held[..seen] != PREFACE[..seen];
            self.has_begun = seen == PREFACE.len();
            return (self.is_other || self.has_begun).then_some(seen);
        }
        if self.passing > 0 {
            let passing = self.passing.min(held.len());
            self.passing -= passing;
            return Some(passing);
        }
        let head: [u8; HEAD_BYTES] = held.get(..HEAD_BYTES)?.try_into().ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if head[3] != HEADERS || length > FRAME_BYTES_MAX {
            self.passing = length;
            return Some(HEAD_BYTES);
        }
        let whole = HEAD_BYTES + length;
        let frame = held.get_mut(HEAD_BYTES..whole)?;
        let before = usize::from(head[4] & PADDED != 0) + if head[4] & PRIORITY == 0 { 0 } else { 5 };
        if let Some(block) = frame.get_mut(before..) {
            // A block that is none is for whoever reads it to refuse.
            let _ = rename(block);
        }
        Some(whole)
    }
}

/// Goes through a block of headers (RFC 7541, 6) and makes an authority of what stands for one. `None` where it ends
/// early.
fn rename(block: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while let Some(&first) = block.get(at) {
        let (prefix, is_literal) = match first {
            0x80.. => (7, false),
            0x40..0x80 => (6, true),
            0x20..0x40 => (5, false),
            _ => (4, true),
        };
        let (name, next) = integer(block, at, prefix)?;
        at = next;
        if !is_literal {
            continue;
        }
        // 1 is `:authority` in the table that all share; that core writes it out all the same.
        let mut is_authority = name == 1;
        if name == 0 {
            let (length, start) = integer(block, at, 7)?;
            at = start.checked_add(length)?;
            is_authority = block.get(start..at)? == b":authority";
        }
        let is_plain = block.get(at)? & 0x80 == 0;
        let (length, start) = integer(block, at, 7)?;
        at = start.checked_add(length)?;
        let value = block.get_mut(start..at)?;
        if is_authority && is_plain {
            value.iter_mut().filter(|byte| **byte == b'%').for_each(|byte| *byte = b'-');
        }
    }
    Some(())
}

/// A number with a prefix of so many bits (5.1), and where it ends.
fn integer(block: &[u8], at: usize, prefix: u32) -> Option<(usize, usize)> {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    let mut next = at + 1;
    if value < most {
        return Some((value, next));
    }
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*block.get(next)?);
        next += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, next));
        }
    }
    None
}

impl AsyncRead for Named {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        while this.ready.is_empty() {
            let mut space = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut space);
            std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                // What is not complete never will be.
                this.ready = std::mem::take(&mut this.names.held);
                break;
            }
            this.ready = this.names.pass(read.filled());
        }
        let taken = this.ready.len().min(out.remaining());
        out.put_slice(&this.ready[..taken]);
        this.ready.drain(..taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Named {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// `:method: POST`, `:authority` by its name, and a header of the caller's own that looks alike.
    fn block(name: &[u8], authority: &[u8]) -> Vec<u8> {
        let length = u8::try_from(authority.len()).unwrap();
        [&[0x83][..], name, &[length], authority, &b"\x40\x01x\x04A\x02%2"[..]].concat()
    }

    fn passed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut names = Names::default();
        pieces.iter().flat_map(|piece| names.pass(piece)).collect()
    }

    #[test]
    fn the_path_of_a_socket_becomes_an_authority_and_nothing_else_changes() {
        for (name, flags, pad) in [
            (&b"\x41"[..], 4, &b""[..]),
            (b"\x40\x0a:authority", 4 | PADDED, &[0]),
            (b"\x11", 4 | PRIORITY, &[0; 5]),
        ] {
            let (before, after) = (block(name, b"tmp%2Fx%2Fy"), block(name, b"tmp-2Fx-2Fy"));
            let stream = |block: &[u8]| {
                let headers = frame(HEADERS, flags, &[pad, block].concat());
                [PREFACE, &frame(4, 0, &[0; 6]), &headers, &frame(0, 1, b"%2F")].concat()
            };
            let (sent, expect) = (stream(&before), stream(&after));
            assert_eq!(passed(&[&sent]), expect);
            for cut in 1..sent.len() {
                assert_eq!(passed(&[&sent[..cut], &sent[cut..]]), expect, "cut at {cut}");
            }
        }
        let usual = [PREFACE, &frame(HEADERS, 4, &block(b"\x41", b"localhost"))].concat();
        assert_eq!(passed(&[&usual]), usual);
    }

    #[test]
    fn what_is_no_http_2_passes() {
        let other = b"GET /%2F HTTP/1.1\r\n\r\n";
        assert_eq!(passed(&[&other[..3], &other[3..]]), other);
        assert_eq!(passed(&[b"P", b"OST / HTTP/1.1"]), b"POST / HTTP/1.1");
        // Broken blocks are for the reader to refuse.
        for block in [&[0x41, 0x7f][..], &[0x41, 0x05, b'%'], &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            let sent = [PREFACE, &frame(HEADERS, 4, block)].concat();
            assert_eq!(passed(&[&sent]), sent);
        }
    }
}
