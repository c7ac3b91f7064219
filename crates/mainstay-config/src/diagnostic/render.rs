//! Faults as a compiler shows them: code, place, the quoted line, an underline, help. The bytes depend on nothing but
//! the faults and the text.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

use super::{Diagnostic, Diagnostics, Place};
use crate::place::{Lines, Span};
use crate::secret;

/// Columns of a quoted line; a longer one is cut around its fault.
const COLUMNS_MAX: usize = 120;
/// Bytes of a line looked at on either side of its fault.
const NEAR_BYTES_MAX: usize = 2_048;
/// What stands for a masked character.
const MASK: char = '•';

/// Colours, or their absence.
struct Paint {
    red: &'static str,
    yellow: &'static str,
    blue: &'static str,
    bold: &'static str,
    off: &'static str,
}

const PLAIN: Paint = Paint { red: "", yellow: "", blue: "", bold: "", off: "" };
const COLOURED: Paint =
    Paint { red: "\x1b[1;31m", yellow: "\x1b[1;33m", blue: "\x1b[1;34m", bold: "\x1b[1m", off: "\x1b[0m" };

pub(super) fn render(all: &Diagnostics, coloured: bool) -> String {
    let paint = if coloured { COLOURED } else { PLAIN };
    let lines = Lines::of(&all.text);
    let mut out = String::new();
    for fault in &all.faults {
        one(&mut out, all, fault, &lines, &paint);
        out.push('\n');
    }
    let (count, file) = (all.own_count(), &all.file);
    let noun = if all.harmless { "warning" } else { "fault" };
    let noun = if count == 1 { noun.to_owned() } else { format!("{noun}s") };
    let cut =
        if all.beyond > 0 { format!("; the first {} are shown", all.faults.len()) } else { String::new() };
    let example = all.faults.first().map_or("CODE", |fault| fault.code.id);
    writes(&mut out, format_args!("{}{count} {noun} in {file}{cut}{}\n", paint.bold, paint.off));
    writes(&mut out, format_args!("`mainstay explain {example}` says more of a code\n"));
    out
}

fn one(out: &mut String, all: &Diagnostics, fault: &Diagnostic, lines: &Lines<'_>, paint: &Paint) {
    let Paint { blue, bold, off, .. } = paint;
    let (red, word) = if all.harmless { (paint.yellow, "warning") } else { (paint.red, "error") };
    let (code, message) = (fault.code.id, &fault.message);
    writes(out, format_args!("{red}{word}[{code}]{off}{bold}: {message}{off}\n"));
    match fault.place {
        Place::Override(origin) => writes(out, format_args!("  {blue}-->{off} {origin}\n")),
        Place::Text(span) => {
            let position = lines.position(span.start);
            let (file, line, column) = (&all.file, position.line, position.column);
            let pad = " ".repeat(line.to_string().len());
            let (quoted, indent, width) = quote(all, span, lines);
            writes(out, format_args!("{pad} {blue}-->{off} {file}:{line}:{column}\n"));
            writes(out, format_args!("{pad} {blue}|{off}\n"));
            writes(out, format_args!("{blue}{line} |{off} {quoted}\n"));
            let marks = "^".repeat(width.max(1));
            writes(out, format_args!("{pad} {blue}|{off} {}{red}{marks}{off}\n", " ".repeat(indent)));
        }
    }
    if let Some(help) = &fault.help {
        writes(out, format_args!("  {blue}={off} help: {help}\n"));
    }
}

fn writes(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string cannot fail");
}

/// The line a span begins in, masked, made visible and cut; the columns before the span; the columns of the span.
fn quote(all: &Diagnostics, span: Span, lines: &Lines<'_>) -> (String, usize, usize) {
    let (line, start) = lines.line(lines.position(span.start).line);
    let (line, start) = near(line, start, span.start);
    let hidden = hidden(all, line, start);
    let shown: Vec<(usize, char)> = line
        .char_indices()
        .map(|(at, c)| {
            let masked = hidden.iter().any(|s| s.start <= at && at < s.end);
            (start + at, if masked { MASK } else { visible(c) })
        })
        .collect();
    let first = shown.iter().take_while(|(at, _)| *at < span.start).count();
    let count = shown.iter().skip(first).take_while(|(at, _)| *at < span.end).count();
    cut(&shown.iter().map(|(_, c)| *c).collect::<Vec<char>>(), first, count)
}

/// The part of a line that can be shown, and some before it, so that a huge line costs no more than a long one.
fn near(line: &str, start: usize, at: usize) -> (&str, usize) {
    let at = at.saturating_sub(start);
    let from = line.floor_char_boundary(at.saturating_sub(NEAR_BYTES_MAX));
    let to = line.ceil_char_boundary((at + NEAR_BYTES_MAX).min(line.len()));
    (&line[from..to], start + from)
}

/// Where, in this line, secrets are or may be.
fn hidden(all: &Diagnostics, line: &str, start: usize) -> Vec<Span> {
    let end = start + line.len();
    let known = all.secrets.iter().filter(|s| s.start < end && start < s.end);
    let known = known.map(|s| Span::new(s.start.max(start) - start, s.end.min(end) - start));
    known.chain(secret::suspects(line)).collect()
}

fn cut(line: &[char], first: usize, count: usize) -> (String, usize, usize) {
    let from = if columns(line) <= COLUMNS_MAX { 0 } else { first.saturating_sub(COLUMNS_MAX / 3) };
    let mut to = from;
    let mut taken = 0;
    while to < line.len() && taken + width(line[to]) <= COLUMNS_MAX {
        taken += width(line[to]);
        to += 1;
    }
    let lead = if from > 0 { "…" } else { "" };
    let tail = if to < line.len() { "…" } else { "" };
    let text: String = line[from..to].iter().collect();
    let indent = columns(&line[from..first.clamp(from, to)]) + usize::from(from > 0);
    let marked = columns(&line[first.clamp(from, to)..(first + count).clamp(from, to)]);
    (format!("{lead}{text}{tail}").trim_end().to_owned(), indent, marked)
}

fn columns(text: &[char]) -> usize {
    text.iter().copied().map(width).sum()
}

fn width(c: char) -> usize {
    c.width().unwrap_or(1)
}

/// A character that a terminal shows as itself: a tab becomes a space; control, direction and invisible characters
/// become the replacement character, so that a spec cannot steer the terminal or hide its content.
pub(super) fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_its_fault() {
        let line: Vec<char> = format!("{}X{}", "a".repeat(300), "b".repeat(300)).chars().collect();
        let (text, indent, marked) = cut(&line, 300, 1);
        assert_eq!(text.chars().nth(indent), Some('X'));
        assert_eq!(marked, 1);
        assert!(text.starts_with('…') && text.ends_with('…') && text.chars().count() <= COLUMNS_MAX + 2);
    }

    #[test]
    fn wide_characters_move_the_underline() {
        let line: Vec<char> = "漢字: x".chars().collect();
        assert_eq!(cut(&line, 4, 1), ("漢字: x".to_owned(), 6, 1));
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let shown: String = "a\x1b[2J\u{202e}b\tc".chars().map(visible).collect();
        assert_eq!(shown, "a\u{fffd}[2J\u{fffd}b c");
    }
}
