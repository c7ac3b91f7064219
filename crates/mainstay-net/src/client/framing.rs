//! Where the body of an answer ends (RFC 9112, sections 6 and 7), read piece by piece without a copy.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of a chunk's size line and of the fields after the last chunk.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Hexadecimal digits of a chunk's size; more would not fit.
const SIZE_DIGITS_MAX: usize = 15;

/// What is left of a body.
pub(super) enum Framing {
    /// So many bytes; never 0.
    Length(u64),
    Chunked(Chunk),
    UntilClose,
    Over,
}

/// Where in a chunked body the next byte stands.
pub(super) enum Chunk {
    /// Before a size line.
    Size,
    /// In a chunk that has so many bytes left; never 0.
    Data(u64),
    /// Before the line end that follows a chunk.
    DataEnd,
    /// In the fields after the last chunk, of which so many bytes have come.
    Trailers(usize),
}

impl Framing {
    pub(super) fn of_length(length: u64) -> Self {
        if length == 0 { Self::Over } else { Self::Length(length) }
    }

    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunk::Size)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Bytes of the body that are known to come.
    pub(super) fn expected(&self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) => *left,
            _ => 0,
        }
    }

    /// Takes what has come of the body. `None`: more has to come first, or the body is over. Errors: a chunk without
    /// a size or an end.
    pub(super) fn take(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match self {
            Self::Over => Ok(None),
            Self::UntilClose => Ok((!bytes.is_empty()).then(|| bytes.split().freeze())),
            Self::Length(left) => {
                let taken = part(bytes, left);
                if *left == 0 {
                    *self = Self::Over;
                }
                Ok(taken)
            }
            Self::Chunked(chunk) => {
                let (taken, is_over) = chunk.take(bytes)?;
                if is_over {
                    *self = Self::Over;
                }
                Ok(taken)
            }
        }
    }
}

/// Up to `left` bytes.
fn part(bytes: &mut BytesMut, left: &mut u64) -> Option<Bytes> {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= length as u64;
    (length > 0).then(|| bytes.split_to(length).freeze())
}

impl Chunk {
    /// A piece of the body, and whether it is over.
    fn take(&mut self, bytes: &mut BytesMut) -> io::Result<(Option<Bytes>, bool)> {
        let mut taken = None;
        loop {
            match self {
                Self::Size => {
                    let Some(line) = line(bytes, LINE_BYTES_MAX)? else { return Ok((taken, false)) };
                    *self = match size(&line)? {
                        0 => Self::Trailers(0),
                        length => Self::Data(length),
                    };
                }
                // A piece has been taken; the next chunk is for the next call.
                Self::Data(_) if taken.is_some() => return Ok((taken, false)),
                Self::Data(left) => {
                    taken = part(bytes, left);
                    if *left > 0 {
                        return Ok((taken, false));
                    }
                    *self = Self::DataEnd;
                }
                Self::DataEnd => match bytes.as_ref() {
                    [b'\r', b'\n', ..] => {
                        bytes.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok((taken, false)),
                    _ => return Err(bad("a chunk is longer than its size")),
                },
                Self::Trailers(seen) => {
                    let Some(line) = line(bytes, LINE_BYTES_MAX - *seen)? else { return Ok((taken, false)) };
                    if line.is_empty() {
                        return Ok((taken, true));
                    }
                    *seen += line.len();
                }
            }
        }
    }
}

/// A line without its end; `None` when more has to come first.
fn line(bytes: &mut BytesMut, most: usize) -> io::Result<Option<Bytes>> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() > most { Err(bad("a line of a chunk is too long")) } else { Ok(None) };
    };
    if end > most {
        return Err(bad("a line of a chunk is too long"));
    }
    let mut line = bytes.split_to(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err(bad("a line of a chunk does not end as one"));
    }
    line.truncate(end - 1);
    Ok(Some(line.freeze()))
}

/// The size at the beginning of a line; what follows a semicolon says nothing about it.
fn size(line: &[u8]) -> io::Result<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let text = std::str::from_utf8(digits).ok();
    let is_size = (1..=SIZE_DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    text.filter(|_| is_size)
        .and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or_else(|| bad("a chunk has no size"))
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a body that arrives in parts of `part` bytes, what is left behind it, and whether it is over.
    fn read(mut framing: Framing, wire: &[u8], part: usize) -> io::Result<(Vec<u8>, Vec<u8>, bool)> {
        let (mut bytes, mut body) = (BytesMut::new(), Vec::new());
        for part in wire.chunks(part) {
            bytes.extend_from_slice(part);
            while let Some(piece) = framing.take(&mut bytes)? {
                assert!(!piece.is_empty());
                body.extend_from_slice(&piece);
            }
        }
        Ok((body, bytes.to_vec(), framing.is_over()))
    }

    fn check(framing: impl Fn() -> Framing, wire: &[u8], body: &str, left: &str, over: bool) {
        for part in 1..=wire.len() {
            let (found, rest, is_over) = read(framing(), wire, part).unwrap();
            let found = (std::str::from_utf8(&found).unwrap(), std::str::from_utf8(&rest).unwrap(), is_over);
            assert_eq!(found, (body, left, over), "in parts of {part}");
        }
    }

    #[test]
    fn a_length_ends_the_body() {
        check(|| Framing::of_length(3), b"abc", "abc", "", true);
        check(|| Framing::of_length(3), b"ab", "ab", "", false);
        check(|| Framing::of_length(2), b"abc", "ab", "c", true);
        assert!(Framing::of_length(0).is_over());
    }

    #[test]
    fn without_a_length_everything_is_body() {
        check(|| Framing::UntilClose, b"abc", "abc", "", false);
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let wire = b"3\r\nabc\r\n0A ; name=\"v\"\r\n0123456789\r\n0\r\nx: y\r\n\r\nrest";
        check(Framing::chunked, wire, "abc0123456789", "rest", true);
        check(Framing::chunked, b"3\r\nabc\r\n", "abc", "", false);
        check(Framing::chunked, b"0\r\n\r\n", "", "", true);
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long = format!("1;{}\r\n", "x".repeat(LINE_BYTES_MAX));
        let fields = format!("0\r\n{}", "name: value\r\n".repeat(LINE_BYTES_MAX / 10));
        for wire in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\na",
            " 1\r\na",
            "0x1\r\na",
            "1\na",
            "1\r\nab\r\n",
            "1\r\na\n\r",
            "1000000000000000\r\n",
            "0\r\nx: y\n",
            &long,
            &fields,
        ] {
            for part in [1, wire.len()] {
                assert!(read(Framing::chunked(), wire.as_bytes(), part).is_err(), "{:?}", wire.get(..20));
            }
        }
    }
}
