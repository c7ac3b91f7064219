//! A strict, allocation-free pass over a JSON object that reports where its top-level members stand.
//!
//! It accepts exactly JSON (RFC 8259) nested up to [`DEPTH_MAX`] deep, so that what is forwarded after a look at one
//! member means the same to every other parser. It builds no values.

mod block;

use std::borrow::Cow;
use std::ops::Range;

use mainstay_core::{Error, Result, codes};

use crate::origin::PREFIX;
use block::{BLOCK_BYTES, Block};

/// Deepest nesting, in containers; the limit of `serde_json`, so that both readers accept the same bodies.
const DEPTH_MAX: u32 = 127;

/// What a pass saw besides members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Whether a string begins with [`PREFIX`].
    pub(crate) has_mark: bool,
}

/// Calls `visit` with the key and the span of the value of each member of the object `body`.
/// Errors: `INVALID_JSON` with line and column; `INVALID_FIELD` when the body is another kind of value; what `visit`
/// returns.
pub(crate) fn members<'a>(
    body: &'a [u8],
    visit: impl FnMut(Cow<'a, str>, Range<usize>) -> Result<()>,
) -> Result<Scanned> {
    let mut scanner = Scanner::new(body, 0);
    scanner.skip_space();
    if scanner.peek() != Some(b'{') {
        return Err(scanner.not_an_object());
    }
    scanner.object(visit)?;
    scanner.skip_space();
    if scanner.at < body.len() {
        return Err(scanner.unexpected("the end of the body"));
    }
    // Outside strings everything else is refused by now.
    match simdutf8::compat::from_utf8(body) {
        Ok(_) => Ok(Scanned { has_mark: scanner.has_mark }),
        Err(error) => Err(invalid_json(body, error.valid_up_to(), "text that is not UTF-8")),
    }
}

/// The same for an object at `span` of a body that was accepted whole.
pub(crate) fn members_at<'a>(
    body: &'a [u8],
    span: &Range<usize>,
    visit: impl FnMut(Cow<'a, str>, Range<usize>) -> Result<()>,
) -> Result<()> {
    Scanner::new(body, span.start).object(visit)
}

/// The text of a JSON string, quotes included; borrowed unless it has escapes. `None` when it has a lone surrogate.
pub(crate) fn text(quoted: &[u8]) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if memchr::memchr(b'\\', inner).is_some() {
        return serde_json::from_slice::<String>(quoted).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

/// An `INVALID_JSON` error at a byte of the body.
pub(crate) fn invalid_json(body: &[u8], at: usize, what: &str) -> Error {
    let before = &body[..at.min(body.len())];
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let column = 1 + before.len() - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    Error::new(
        &codes::INVALID_JSON,
        format!("parse the body as JSON: {what} at line {line}, column {column}"),
    )
}

/// Characters that make an escape of two (RFC 8259, section 7).
const SIMPLE_ESCAPES: [bool; 256] = {
    let (mut table, signs, mut i) = ([false; 256], br#""\/bfnrt"#, 0);
    while i < signs.len() {
        table[signs[i] as usize] = true;
        i += 1;
    }
    table
};

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether a string began with [`PREFIX`].
    has_mark: bool,
    /// The block looked at last, and where it ends; 0 before the first.
    block: Block,
    block_end: usize,
}

impl<'a> Scanner<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, has_mark: false, block: Block::default(), block_end: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    /// Walks an object from its `{` to past its `}`.
    fn object(&mut self, mut visit: impl FnMut(Cow<'a, str>, Range<usize>) -> Result<()>) -> Result<()> {
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            self.skip_space();
            let start = self.at;
            self.value()?;
            visit(key, start..self.at)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("`,` or `}`")),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(())
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<Cow<'a, str>> {
        let start = self.at;
        self.key_span()?;
        let bytes = self.bytes;
        let end = memchr::memrchr(b'"', &bytes[start..self.at]).map_or(self.at, |quote| start + quote + 1);
        text(&bytes[start..end]).ok_or_else(|| invalid_json(bytes, start, "a key that is not text"))
    }

    fn key_span(&mut self) -> Result<()> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over one value. Iterative: the kinds of the open containers are the bits of `open`.
    fn value(&mut self) -> Result<()> {
        let (mut open, mut depth) = (0_u128, 0_u32);
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(kind @ (b'{' | b'[')) => {
                    depth += 1;
                    if depth >= DEPTH_MAX {
                        return Err(invalid_json(self.bytes, self.at, "containers nested too deep"));
                    }
                    open = (open << 1) | u128::from(kind == b'{');
                    self.at += 1;
                    if self.enter(kind)? {
                        continue;
                    }
                }
                _ => self.literal()?,
            }
            if self.leave(&mut open, &mut depth)? {
                return Ok(());
            }
        }
    }

    /// After an opening bracket: whether a value follows (past its key). An empty container stands at its end.
    fn enter(&mut self, kind: u8) -> Result<bool> {
        self.skip_space();
        let empty = self.peek() == Some(if kind == b'{' { b'}' } else { b']' });
        if !empty && kind == b'{' {
            self.key_span()?;
        }
        Ok(!empty)
    }

    /// After a value, or at the end of an empty container: closes containers up to the next value. True when none is
    /// open any more.
    fn leave(&mut self, open: &mut u128, depth: &mut u32) -> Result<bool> {
        while *depth > 0 {
            self.skip_space();
            let in_object = *open & 1 == 1;
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                    if in_object {
                        self.key_span()?;
                    }
                    return Ok(false);
                }
                Some(b'}') if in_object => {}
                Some(b']') if !in_object => {}
                _ => return Err(self.unexpected(if in_object { "`,` or `}`" } else { "`,` or `]`" })),
            }
            self.at += 1;
            *open >>= 1;
            *depth -= 1;
        }
        Ok(true)
    }

    /// Passes over a string from its opening quote to past its closing one.
    fn string(&mut self) -> Result<()> {
        let begin = self.at + 1;
        self.has_mark |= self.bytes[begin..].starts_with(PREFIX.as_bytes());
        let mut start = begin & !(BLOCK_BYTES - 1);
        let mut inside = u64::MAX << (begin - start);
        let (mut carried, mut has_control) = (false, false);
        loop {
            let block = self.block(start);
            has_control |= block.has_control;
            let backslashes = block.backslashes & inside;
            let mut ends = block.quotes & inside;
            if carried || backslashes != 0 {
                let escaped = block::escaped(backslashes, &mut carried);
                ends &= !escaped;
                // A quote or a backslash may be escaped; they are most of what is.
                self.check_escapes(start, escaped & before_first(ends) & !block.quotes & !block.backslashes)?;
            }
            if ends != 0 {
                let end = start + ends.trailing_zeros() as usize;
                self.at = end + 1;
                return self.check_controls(has_control, begin, end);
            }
            start += BLOCK_BYTES;
            inside = u64::MAX;
            if start >= self.bytes.len() {
                let end = self.bytes.len();
                self.check_controls(has_control, begin, end)?;
                return Err(invalid_json(self.bytes, end, "a string without its closing quote"));
            }
        }
    }

    fn block(&mut self, start: usize) -> Block {
        if self.block_end != start + BLOCK_BYTES {
            (self.block, self.block_end) = (Block::read(self.bytes, start), start + BLOCK_BYTES);
        }
        self.block
    }

    /// Looks for a control character in a string of whose blocks one has it. It may stand beside the string.
    fn check_controls(&self, has_control: bool, begin: usize, end: usize) -> Result<()> {
        if !has_control {
            return Ok(());
        }
        match self.bytes[begin..end].iter().position(|byte| *byte < 0x20) {
            Some(at) => Err(invalid_json(self.bytes, begin + at, "a control character in a string")),
            None => Ok(()),
        }
    }

    /// Looks at the escaped characters of the block at `start`.
    fn check_escapes(&self, start: usize, mut escaped: u64) -> Result<()> {
        if escaped != 0 {
            // Line feeds come next in number: so most text takes no turn of the loop, which would be a branch to guess.
            escaped &= !block::places(self.bytes, start, b'n');
        }
        while escaped != 0 {
            let at = start + escaped.trailing_zeros() as usize;
            escaped &= escaped - 1;
            let byte = self.bytes.get(at).copied().unwrap_or_default();
            if SIMPLE_ESCAPES[usize::from(byte)] {
                continue;
            }
            let digits = self.bytes.get(at + 1..at + 5);
            if !(byte == b'u' && digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))) {
                return Err(invalid_json(self.bytes, at - 1, "an unknown escape in a string"));
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self) -> Result<()> {
        let rest = &self.bytes[self.at..];
        let found = [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word));
        let Some(word) = found else { return Err(self.unexpected("a value")) };
        self.at += word.len();
        Ok(())
    }

    fn not_an_object(&self) -> Error {
        match serde_json::from_slice::<serde::de::IgnoredAny>(self.bytes) {
            Ok(_) => Error::new(&codes::INVALID_FIELD, "read the body: it must be a JSON object"),
            Err(_) => self.unexpected("a JSON object"),
        }
    }

    fn unexpected(&self, wanted: &str) -> Error {
        let end = self.at >= self.bytes.len();
        let what = if end { format!("the end instead of {wanted}") } else { format!("not {wanted}") };
        invalid_json(self.bytes, self.at, &what)
    }
}

/// The bits below the lowest one; all of them when there is none.
fn before_first(bits: u64) -> u64 {
    bits.wrapping_sub(1) & !bits
}

#[cfg(test)]
mod tests;
