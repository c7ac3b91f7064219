//! Server-sent events: an incremental reader that gives whole events as slices of what was received, and a writer.
//!
//! Bytes are never rewritten: the frames of a stream, joined, are the stream. Follows the HTML standard, section
//! 9.2.6 (line ends CR, LF or CRLF; one leading BOM; comments; `data` over several lines). It does not reconnect and
//! does not keep a last event id.

use std::borrow::Cow;

use bytes::{Buf, Bytes, BytesMut};
use mainstay_core::{Error, Result, codes};
use memchr::memchr2;

/// Largest event, in bytes. Pictures come inside events, so this is not small.
pub const EVENT_BYTES_MAX: usize = 8 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads events from chunks of bytes.
///
/// ```text
///   push(chunk) ─► next() ─► Some(frame) … ─► None ─► push(chunk) …  ─► finish() ─► the incomplete rest
/// ```
/// A chunk that holds whole events is sliced, not copied; only an event split over chunks is joined.
#[derive(Debug)]
pub struct Parser {
    chunk: Bytes,
    tail: BytesMut,
    lines: Lines,
    bytes_max: usize,
}

/// One event: the bytes up to and including the blank line that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    bom: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(EVENT_BYTES_MAX)
    }
}

impl Parser {
    /// A reader that accepts events of up to `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { chunk: Bytes::new(), tail: BytesMut::new(), lines: Lines::default(), bytes_max }
    }

    /// Takes the next chunk. Call [`Parser::next_frame`] until it gives `None` before the next one.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::from(self.chunk.as_ref());
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// The next whole event, or `None` when more bytes are needed.
    /// Errors: `PROVIDER_BAD_RESPONSE` when an event is larger than the bound.
    pub fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.chunk.is_empty() {
            return Ok(None);
        }
        let end = self.lines.event_end(&self.chunk);
        let taken = end.unwrap_or(self.chunk.len());
        if self.tail.len() + taken > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        if end.is_none() {
            self.tail.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return Ok(None);
        }
        let bytes = if self.tail.is_empty() {
            self.chunk.split_to(taken)
        } else {
            self.tail.extend_from_slice(&self.chunk[..taken]);
            self.chunk.advance(taken);
            self.tail.split().freeze()
        };
        Ok(Some(Frame { bytes, bom: self.lines.take_bom() }))
    }

    /// The stream is over: the bytes after the last whole event, which by the standard are no event. Where they form
    /// one in all but the blank line (a server that closes early), reading them as a frame is the caller's choice.
    #[must_use]
    pub fn finish(&mut self) -> Option<Frame> {
        self.tail.extend_from_slice(&self.chunk);
        self.chunk.clear();
        let bytes = self.tail.split().freeze();
        let bom = self.lines.take_bom();
        self.lines = Lines::default();
        (!bytes.is_empty()).then_some(Frame { bytes, bom })
    }
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(
        &codes::PROVIDER_BAD_RESPONSE,
        format!("read an event of the provider's stream: it is larger than {bytes_max} bytes"),
    )
}

/// Where a line stands, between chunks. The rules depend on bytes alone, never on how they were cut into chunks.
#[derive(Debug)]
struct Lines {
    /// At the first byte of a line.
    at_start: bool,
    /// The present event has a line that is not blank.
    has_content: bool,
    /// The last byte was a CR that ended a line; an LF after it belongs to it.
    after_cr: bool,
    /// The last line ended with a lone CR: then so does the blank line, without waiting for an LF.
    lone_cr: bool,
    /// The blank line's CR was seen; an LF after it belongs to the event.
    closing: bool,
    /// Bytes of the byte order mark seen so far; `None` once the stream's beginning is past.
    bom_seen: Option<usize>,
    has_bom: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            at_start: true,
            has_content: false,
            after_cr: false,
            lone_cr: false,
            closing: false,
            bom_seen: Some(0),
            has_bom: false,
        }
    }
}

impl Lines {
    /// The end of the present event in `bytes`, or `None` when it ends later.
    fn event_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = self.skip_bom(bytes);
        while let Some(&byte) = bytes.get(at) {
            if self.closing {
                return Some(self.close(at + usize::from(byte == b'\n')));
            }
            if std::mem::take(&mut self.after_cr) {
                self.lone_cr = byte != b'\n';
                if byte == b'\n' {
                    at += 1;
                    continue;
                }
            }
            if !self.at_start || !matches!(byte, b'\n' | b'\r') {
                at = self.line_end(bytes, at);
                continue;
            }
            at += 1;
            match (self.has_content, byte) {
                (true, b'\n') => return Some(self.close(at)),
                (true, _) if self.lone_cr => return Some(self.close(at)),
                (true, _) => self.closing = true,
                (false, _) => self.after_cr = byte == b'\r',
            }
        }
        None
    }

    /// Passes over the rest of a line that is not blank.
    fn line_end(&mut self, bytes: &[u8], from: usize) -> usize {
        self.has_content = true;
        let Some(found) = memchr2(b'\n', b'\r', &bytes[from..]) else {
            self.at_start = false;
            return bytes.len();
        };
        self.at_start = true;
        self.lone_cr = false;
        self.after_cr = bytes[from + found] == b'\r';
        from + found + 1
    }

    fn close(&mut self, end: usize) -> usize {
        (self.has_content, self.after_cr, self.lone_cr, self.closing) = (false, false, false, false);
        end
    }

    fn skip_bom(&mut self, bytes: &[u8]) -> usize {
        let Some(seen) = self.bom_seen else { return 0 };
        let matching = BOM[seen..].iter().zip(bytes).take_while(|(a, b)| a == b).count();
        let now = seen + matching;
        if now == BOM.len() {
            (self.bom_seen, self.has_bom) = (None, true);
        } else if matching == bytes.len() {
            self.bom_seen = Some(now);
        } else {
            self.bom_seen = None;
            if now > 0 {
                (self.at_start, self.has_content) = (false, true);
            }
        }
        matching
    }

    fn take_bom(&mut self) -> bool {
        std::mem::take(&mut self.has_bom)
    }
}

impl Frame {
    /// A frame of bytes known to be one whole event.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, bom: false }
    }

    /// The bytes as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes as received, by value.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The event's name, if it has one.
    #[must_use]
    pub fn event(&self) -> Option<&[u8]> {
        self.fields().filter(|(name, _)| *name == b"event").last().map(|(_, value)| value)
    }

    /// The event's data: borrowed when it is one line, joined with LF when it is several, `None` when there is none.
    #[must_use]
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        let mut lines = self.fields().filter(|(name, _)| *name == b"data").map(|(_, value)| value);
        let first = lines.next()?;
        let Some(second) = lines.next() else { return Some(Cow::Borrowed(first)) };
        let mut joined = first.to_vec();
        for line in std::iter::once(second).chain(lines) {
            joined.push(b'\n');
            joined.extend_from_slice(line);
        }
        Some(Cow::Owned(joined))
    }

    /// Whether it has data that is not blank: comments and other events say nothing.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.fields().any(|(name, value)| name == b"data" && !value.trim_ascii().is_empty())
    }

    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = if self.bom { &self.bytes[BOM.len()..] } else { &self.bytes[..] };
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            Some(field(line))
        })
    }
}

/// Name and value of a line; a comment has an empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr::memchr(b':', line) else { return (line, b"") };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}

/// Appends an event with one line of data (JSON without line ends).
pub(crate) fn write(out: &mut Vec<u8>, event: Option<&str>, data: &[u8]) {
    if let Some(name) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
