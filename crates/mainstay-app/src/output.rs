//! What an app's process writes, line by line, with the app's name. Interprets nothing and keeps nothing.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of a line that are shown.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// Stands where a line was cut.
const CUT: &str = " …";

/// Takes each line as it comes. Called from the reading task, so it must not wait: not even for whoever reads our
/// output.
pub type Sink = Arc<dyn Fn(Line<'_>) + Send + Sync>;

/// A line that an app wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The app: an agent's by the agent's name.
    pub app: &'a str,
    /// Which of its streams.
    pub source: Source,
    /// The line, without its end; bytes that are no UTF-8 are replaced, what is beyond 8 KiB is left out.
    pub text: &'a str,
}

/// A stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Reads a stream to its end.
pub(crate) async fn pump(mut from: impl AsyncRead + Unpin, app: String, source: Source, sink: Sink) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 4 * 1024];
    let mut emit = |text: &str| sink(Line { app: &app, source, text });
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        lines.push(&buffer[..read], &mut emit);
    }
    lines.finish(&mut emit);
}

/// Cuts bytes into lines of a bounded length.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    /// The present line has more bytes than are kept.
    cut: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], emit: &mut impl FnMut(&str)) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.cut |= piece.len() > room;
            if pieces.peek().is_some() {
                self.emit(emit);
            }
        }
    }

    fn finish(&mut self, emit: &mut impl FnMut(&str)) {
        if !self.line.is_empty() {
            self.emit(emit);
        }
    }

    fn emit(&mut self, emit: &mut impl FnMut(&str)) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let text = String::from_utf8_lossy(line);
        if std::mem::take(&mut self.cut) {
            emit(&format!("{text}{CUT}"))
        } else {
            emit(&text)
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut emit = |text: &str| seen.push(text.to_owned());
        chunks.iter().for_each(|chunk| lines.push(chunk, &mut emit));
        lines.finish(&mut emit);
        seen
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        assert_eq!(lines(&[b"a\nb", b"c\r\n", b"\nlast"]), ["a", "bc", "", "last"]);
        assert_eq!(lines(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_not_lost() {
        let seen = lines(&[&vec![b'x'; LINE_BYTES_MAX], &vec![b'x'; 100_000], b"y\nnext\n"]);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].len(), LINE_BYTES_MAX + CUT.len());
        assert_eq!(seen[1], "next");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(lines(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }
}
