//! HCL, Terraform's language: values and blocks, and how they are written. What a user wrote is a [`Expr::Text`], in
//! which nothing is ever evaluated; expressions are ours. The form is that of `terraform fmt`.

use std::fmt::Write as _;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expr {
    /// A text, as it is.
    Text(String),
    /// An expression on one line, in the language itself. Nothing that a user wrote may be in it but through
    /// [`quoted`].
    Raw(String),
    /// A truth.
    Bool(bool),
    /// A number.
    Number(u64),
    /// A list.
    List(Vec<Expr>),
    /// An object or a map.
    Map(Vec<(String, Expr)>),
    /// A function of one argument.
    Call(&'static str, Box<Expr>),
}

impl From<&str> for Expr {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Expr {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Expr {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<u64> for Expr {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Expr {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Expr {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// An expression in the language itself.
pub(crate) fn raw(text: impl Into<String>) -> Expr {
    Expr::Raw(text.into())
}

/// A list.
pub(crate) fn list<E: Into<Expr>>(items: impl IntoIterator<Item = E>) -> Expr {
    Expr::List(items.into_iter().map(Into::into).collect())
}

/// An object.
pub(crate) fn object<E: Into<Expr>>(entries: impl IntoIterator<Item = (&'static str, E)>) -> Expr {
    Expr::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect())
}

/// What stands between braces, or makes up a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body(Vec<Item>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Attribute(String, Expr),
    Block { kind: &'static str, labels: Vec<String>, body: Body },
    Comment(String),
}

impl Body {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With an attribute.
    #[must_use]
    pub(crate) fn set(mut self, key: &str, value: impl Into<Expr>) -> Self {
        self.0.push(Item::Attribute(key.to_owned(), value.into()));
        self
    }

    /// With a block.
    #[must_use]
    pub(crate) fn block(self, kind: &'static str, body: Body) -> Self {
        self.labelled(kind, &[], body)
    }

    /// With a block that has labels.
    #[must_use]
    pub(crate) fn labelled(mut self, kind: &'static str, labels: &[&str], body: Body) -> Self {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        self.0.push(Item::Block { kind, labels, body });
        self
    }

    /// With a resource.
    #[must_use]
    pub(crate) fn resource(self, kind: &str, name: &str, body: Body) -> Self {
        self.labelled("resource", &[kind, name], body)
    }

    /// With a block for each entry of a map or set.
    #[must_use]
    pub(crate) fn dynamic(self, kind: &str, each: &str, content: Body) -> Self {
        let body = Body::new().set("for_each", raw(each)).block("content", content);
        self.labelled("dynamic", &[kind], body)
    }

    /// With everything that another one has.
    #[must_use]
    pub(crate) fn and(mut self, other: Body) -> Self {
        self.0.extend(other.0);
        self
    }

    /// With a comment; each of its lines becomes one.
    #[must_use]
    pub(crate) fn note(mut self, text: &str) -> Self {
        self.0.push(Item::Comment(text.to_owned()));
        self
    }

    /// With what `more` adds, where `condition` holds.
    #[must_use]
    pub(crate) fn when(self, condition: bool, more: impl FnOnce(Self) -> Self) -> Self {
        if condition { more(self) } else { self }
    }

    /// The text of a file that holds this.
    pub(crate) fn written(&self) -> String {
        let mut lines = Vec::new();
        self.lines(0, &mut lines);
        aligned(&lines)
    }

    fn lines(&self, depth: usize, out: &mut Vec<Line>) {
        let mut before: Option<&Item> = None;
        for item in &self.0 {
            // A block stands on its own; what is said of it stands above it.
            let apart = matches!(before, Some(Item::Block { .. }))
                || (matches!(item, Item::Block { .. }) && !matches!(before, None | Some(Item::Comment(_))))
                || (matches!(item, Item::Comment(_)) && matches!(before, Some(Item::Attribute(..))));
            if apart {
                out.push(Line::Blank);
            }
            match item {
                Item::Attribute(key, value) => assignment(key, value, depth, out),
                Item::Comment(text) => {
                    out.extend(text.lines().map(|line| Line::Plain(depth, format!("# {line}"))));
                }
                Item::Block { kind, labels, body } => {
                    let labels: String = labels.iter().map(|label| format!(" {}", quoted(label))).collect();
                    if body.0.is_empty() {
                        out.push(Line::Plain(depth, format!("{kind}{labels} {{}}")));
                    } else {
                        out.push(Line::Plain(depth, format!("{kind}{labels} {{")));
                        body.lines(depth + 1, out);
                        out.push(Line::Plain(depth, "}".to_owned()));
                    }
                }
            }
            before = Some(item);
        }
    }
}

/// A line, and how deep it stands.
enum Line {
    Blank,
    Plain(usize, String),
    /// A key and the whole of its value: those that follow each other have their signs below each other.
    Assigned(usize, String, String),
}

/// Whether a value stands on one line.
fn single(value: &Expr) -> bool {
    match value {
        Expr::Map(entries) => entries.is_empty(),
        Expr::List(items) => items.is_empty() || brief(items),
        Expr::Call(_, argument) => single(argument),
        Expr::Text(_) | Expr::Raw(_) | Expr::Bool(_) | Expr::Number(_) => true,
    }
}

/// A value on as many lines as it takes, with what stands before its first and after its last.
fn laid(before: &str, value: &Expr, depth: usize, after: &str, out: &mut Vec<Line>) {
    match value {
        _ if single(value) => out.push(Line::Plain(depth, format!("{before}{}{after}", short(value)))),
        Expr::Call(name, argument) => {
            laid(&format!("{before}{name}("), argument, depth, &format!("){after}"), out);
        }
        Expr::List(items) => {
            out.push(Line::Plain(depth, format!("{before}[")));
            for item in items {
                laid("", item, depth + 1, ",", out);
            }
            out.push(Line::Plain(depth, format!("]{after}")));
        }
        Expr::Map(entries) => {
            out.push(Line::Plain(depth, format!("{before}{{")));
            for (key, value) in entries {
                assignment(key, value, depth + 1, out);
            }
            out.push(Line::Plain(depth, format!("}}{after}")));
        }
        Expr::Text(_) | Expr::Raw(_) | Expr::Bool(_) | Expr::Number(_) => {}
    }
}

/// Whether a list fits on a line.
fn brief(items: &[Expr]) -> bool {
    let plain = |item: &Expr| !matches!(item, Expr::Map(_) | Expr::List(_) | Expr::Call(..));
    items.iter().all(plain) && items.iter().map(|item| short(item).len() + 2).sum::<usize>() <= LIST_MAX
}

/// Characters of a list that stands on one line.
const LIST_MAX: usize = 80;

fn short(value: &Expr) -> String {
    match value {
        Expr::Text(text) => quoted(text),
        Expr::Raw(text) => text.clone(),
        Expr::Bool(truth) => truth.to_string(),
        Expr::Number(number) => number.to_string(),
        Expr::List(items) => format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(", ")),
        Expr::Call(name, argument) => format!("{name}({})", short(argument)),
        Expr::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Expr::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{} = {}", named(key), short(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A key and its value.
fn assignment(key: &str, value: &Expr, depth: usize, out: &mut Vec<Line>) {
    let key = named(key);
    if single(value) {
        out.push(Line::Assigned(depth, key, short(value)));
    } else {
        laid(&format!("{key} = "), value, depth, "", out);
    }
}

/// The lines as a text.
fn aligned(lines: &[Line]) -> String {
    let mut out = String::new();
    let mut n = 0;
    while n < lines.len() {
        match &lines[n] {
            Line::Blank => out.push('\n'),
            Line::Plain(depth, text) => {
                let _ = writeln!(out, "{}{text}", INDENT.repeat(*depth));
            }
            Line::Assigned(depth, ..) => {
                let run = lines[n..]
                    .iter()
                    .take_while(|line| matches!(line, Line::Assigned(own, ..) if own == depth))
                    .count();
                let run = &lines[n..n + run];
                let width = run.iter().map(key_width).max().unwrap_or_default();
                for line in run {
                    if let Line::Assigned(depth, key, value) = line {
                        let gap = " ".repeat(width - key_width(line));
                        let _ = writeln!(out, "{}{key}{gap} = {value}", INDENT.repeat(*depth));
                    }
                }
                n += run.len();
                continue;
            }
        }
        n += 1;
    }
    out
}

const INDENT: &str = "  ";

fn key_width(line: &Line) -> usize {
    if let Line::Assigned(_, key, _) = line { key.chars().count() } else { 0 }
}

/// A key: as it is where it is a name, else quoted.
fn named(key: &str) -> String {
    let first = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = first && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    // A bare `null` or `for` would be read as something else.
    if plain && !matches!(key, "null" | "true" | "false" | "for" | "if") {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A text between quotes, in which nothing is evaluated.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut before = '\0';
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // `${` and `%{` begin an expression. A brace by its number begins none, whatever stands before the sign.
            '{' if matches!(before, '$' | '%') => out.push_str("\\u007b"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
        before = c;
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
