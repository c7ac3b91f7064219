//! A Rust file as the rules see it: its code with comments and the insides of strings blanked out (line by line the
//! same length), and which lines are its inline tests. A small lexer, not a parser.

/// A Rust file.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// The code; what is in comments and strings is blank.
    pub(super) code: String,
    /// First and last line of the inline test module, from 1.
    pub(super) inline_tests: Option<(usize, usize)>,
    /// Lines in all.
    pub(super) lines: usize,
}

impl Source {
    /// Reads a file.
    pub(super) fn read(text: &str) -> Self {
        let code = blank(text);
        let inline_tests = find_inline_tests(&code);
        Self { inline_tests, lines: text.lines().count(), code }
    }

    /// Lines that are not inline tests.
    pub(super) fn production_lines(&self) -> usize {
        self.lines - self.inline_tests.map_or(0, |(first, last)| last - first + 1)
    }
}

/// The number of the line that byte `at` is on, from 1.
pub(super) fn line_of(code: &str, at: usize) -> usize {
    code[..at].bytes().filter(|&byte| byte == b'\n').count() + 1
}

/// The place of the bracket that closes the one at `open`.
pub(super) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

fn find_inline_tests(code: &str) -> Option<(usize, usize)> {
    let attribute = code.find("#[cfg(test)]\nmod tests {")?;
    let open = attribute + code[attribute..].find('{')?;
    Some((line_of(code, attribute), line_of(code, closing(code, open)?)))
}

/// What the lexer is inside of.
enum Inside {
    Code,
    Line,
    Block(usize),
    Text,
    Raw(usize),
}

fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < bytes.len() {
        let (length, next, keep) = step(&inside, &bytes[at..], out.last().copied());
        let token = &bytes[at..(at + length).min(bytes.len())];
        out.extend(token.iter().map(|&byte| if keep || byte == b'\n' { byte } else { b' ' }));
        at += token.len();
        inside = next;
    }
    // Only whole ASCII bytes were replaced in code; in comments and strings every byte is blank.
    String::from_utf8(out).expect("blanking keeps or removes whole tokens")
}

/// The next token: its length, what comes after it, and whether it stays.
fn step(inside: &Inside, rest: &[u8], before: Option<u8>) -> (usize, Inside, bool) {
    match *inside {
        Inside::Code => code_token(rest, before),
        Inside::Line if rest[0] == b'\n' => (1, Inside::Code, true),
        Inside::Line => (1, Inside::Line, false),
        Inside::Block(depth) if rest.starts_with(b"*/") => {
            (2, if depth == 1 { Inside::Code } else { Inside::Block(depth - 1) }, false)
        }
        Inside::Block(depth) if rest.starts_with(b"/*") => (2, Inside::Block(depth + 1), false),
        Inside::Block(depth) => (1, Inside::Block(depth), false),
        Inside::Text if rest[0] == b'\\' => (2, Inside::Text, false),
        Inside::Text if rest[0] == b'"' => (1, Inside::Code, true),
        Inside::Text => (1, Inside::Text, false),
        Inside::Raw(hashes) if closes_raw(rest, hashes) => (1 + hashes, Inside::Code, true),
        Inside::Raw(hashes) => (1, Inside::Raw(hashes), false),
    }
}

fn code_token(rest: &[u8], before: Option<u8>) -> (usize, Inside, bool) {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if rest.starts_with(b"//") {
        return (2, Inside::Line, false);
    }
    if rest.starts_with(b"/*") {
        return (2, Inside::Block(1), false);
    }
    if rest[0] == b'"' {
        return (1, Inside::Text, true);
    }
    if let Some(opening) = raw_opening(rest).filter(|_| !in_word || before == Some(b'b')) {
        return (opening, Inside::Raw(opening - 2), true);
    }
    if rest[0] == b'\'' {
        return (character(rest), Inside::Code, false);
    }
    // A whole character at a time, so that none is cut.
    let length = rest.iter().skip(1).take_while(|&&byte| byte & 0xC0 == 0x80).count() + 1;
    (length, Inside::Code, true)
}

/// The length of `r"`, `r#"`, `r##"` ….
fn raw_opening(rest: &[u8]) -> Option<usize> {
    let hashes = rest.strip_prefix(b"r")?.iter().take_while(|&&byte| byte == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes + 2)
}

fn closes_raw(rest: &[u8], hashes: usize) -> bool {
    rest[0] == b'"' && rest[1..].iter().take(hashes).filter(|&&byte| byte == b'#').count() == hashes
}

/// The length of a character literal; of the mark alone when it is a lifetime.
fn character(rest: &[u8]) -> usize {
    let body = match rest.get(1) {
        Some(b'\\') => rest.iter().skip(3).position(|&byte| byte == b'\'').map(|at| at + 4),
        Some(_) => rest.iter().skip(2).take(4).position(|&byte| byte == b'\'').map(|at| at + 3),
        None => None,
    };
    // `'a, 'b` has a second mark too, but one character literal holds one character.
    body.filter(|&length| {
        rest[1] == b'\\' || std::str::from_utf8(&rest[1..length - 1]).is_ok_and(|s| s.chars().count() == 1)
    })
    .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str) {
        assert_eq!(blank(text), code);
    }

    #[test]
    fn comments_and_strings_are_blank_and_lines_stay() {
        check("a // { b\nc", "a       \nc");
        check("a /* { /* } */ \n */ b", "a              \n    b");
        check(r#"f("{\"}", '{', '\'')"#, r#"f("    ",    ,     )"#);
        check("r#\"{\"}\"# + br\"{\"", "r#\"   \"# + br\" \"");
        check("fn f<'a>(x: &'a str) { 'é' }", "fn f< a>(x: & a str) {      }");
    }

    #[test]
    fn the_inline_test_module_is_found() {
        let source = Source::read("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n");
        assert_eq!(source.inline_tests, Some((3, 6)));
        assert_eq!((source.lines, source.production_lines()), (6, 2));
    }
}
