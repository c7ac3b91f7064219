//! Where something stands in the text: byte spans, and lines and columns for people. Knows nothing of YAML.

/// A range of bytes of the spec's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The span from `start` to `end`; never negative.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Whether `other` lies within this span.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The smallest span around both.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A place as people count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// The lines of a text. A line ends at `\n`, `\r\n` or `\r`, as in YAML.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![if text.starts_with(BOM) { BOM.len_utf8() } else { 0 }];
        for (at, byte) in bytes.iter().enumerate() {
            let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
            if ends {
                starts.push(at + 1);
            }
        }
        Self { text, starts }
    }

    /// The position of a byte; one inside a character counts as that character.
    pub(crate) fn position(&self, byte: usize) -> Position {
        let byte = byte.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= byte).max(1);
        let start = self.starts[line - 1];
        let line_text = self.line(line).0;
        let column = line_text.char_indices().take_while(|(at, _)| start + at < byte).count();
        Position { line, column: column + 1 }
    }

    /// A line's text without its end, and the byte it starts at. Lines count from 1.
    pub(crate) fn line(&self, line: usize) -> (&'t str, usize) {
        let start = self.starts[line - 1];
        let end = self.starts.get(line).copied().unwrap_or(self.text.len());
        (self.text[start..end].trim_end_matches(['\n', '\r']), start)
    }
}

const BOM: char = '\u{feff}';

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, byte: usize, expect: (usize, usize)) {
        let position = Lines::of(text).position(byte);
        assert_eq!((position.line, position.column), expect, "{text:?} at {byte}");
    }

    #[test]
    fn positions_count_characters_and_every_kind_of_line_end() {
        check("ab\ncd", 4, (2, 2));
        check("ab\r\ncd", 5, (2, 2));
        check("ab\rcd", 4, (2, 2));
        check("äö: x", 4, (1, 3));
        check("\u{feff}ab", 3, (1, 1));
        check("", 0, (1, 1));
        check("ab\n", 99, (2, 1));
    }

    #[test]
    fn a_line_comes_without_its_end() {
        assert_eq!(Lines::of("ab\r\ncd\n").line(1), ("ab", 0));
        assert_eq!(Lines::of("ab\r\ncd\n").line(3), ("", 7));
    }
}
