//! YAML text to a tree, within bounds. Goes on after what it can step over (a key that stands twice), so that one
//! reading reports it all; stops at what it cannot (broken syntax).

mod key;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};
use mainstay_core::codes;

use self::key::{Key, Members};
use super::{Dialect, Entry, Node, Value, lenient, scalar};
use crate::BYTES_MAX;
use crate::diagnostic::{Diagnostic, Place};
use crate::faults::Faults;
use crate::place::{Lines, Span};

/// Levels of nesting, aliases included.
const DEPTH_MAX: usize = 64;
/// Values in the tree, aliases written out.
const NODES_MAX: usize = 100_000;
/// Bytes of text in the tree, aliases written out.
const TEXT_BYTES_MAX: usize = 4 * BYTES_MAX;

/// Reads one document. `None` when there is no tree to go on with; the faults say why.
pub(crate) fn parse(text: &str, faults: &mut Faults) -> Option<Node> {
    if text.len() > BYTES_MAX {
        faults.at(
            Span::default(),
            &codes::CONFIG_YAML,
            format!("the spec is larger than {BYTES_MAX} bytes"),
            None,
        );
        return None;
    }
    parse_part(text, 0..text.len(), Dialect::Spec, faults)
}

/// Reads the document that `part` of a text holds; places are those in the whole text.
pub(crate) fn parse_part(
    text: &str,
    part: Range<usize>,
    dialect: Dialect<'_>,
    faults: &mut Faults,
) -> Option<Node> {
    let options = granit_parser::options! {
        disallow_directives: matches!(dialect, Dialect::Spec),
        flow_nesting_limit: DEPTH_MAX * 2,
        block_nesting_limit: DEPTH_MAX * 2,
        emit_comments: false,
    };
    let parser = Parser::new_from_str_with_options(&text[part.clone()], options);
    let mut builder = Builder {
        parser,
        text,
        lines: OnceCell::new(),
        part,
        dialect,
        anchors: HashMap::new(),
        nodes: 0,
        bytes: 0,
        faults,
    };
    match builder.document() {
        Ok(root) => Some(root),
        Err(fault) => {
            faults.add(fault);
            None
        }
    }
}

struct Builder<'t, 'f> {
    parser: Parser<'t, StrInput<'t>>,
    /// The whole text.
    text: &'t str,
    /// Its lines, once they are needed.
    lines: OnceCell<Lines<'t>>,
    /// The part that is read.
    part: Range<usize>,
    dialect: Dialect<'t>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    bytes: usize,
    faults: &'f mut Faults,
}

/// A finished node with an anchor, and what writing it out again costs.
struct Anchored {
    node: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

type Step<T> = Result<T, Diagnostic>;

impl<'t> Builder<'t, '_> {
    fn document(&mut self) -> Step<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => {
                    let empty = Node { value: Value::Null, span: Span::default() };
                    return Ok(root.unwrap_or(empty));
                }
                // A file of resources is cut into its documents before; what comes after one is not read there either.
                Event::DocumentEnd if matches!(self.dialect, Dialect::Resource { .. }) => {
                    let span = Span::new(self.part.start, self.part.start);
                    return Ok(root.unwrap_or(Node { value: Value::Null, span }));
                }
                Event::DocumentStart(..) if root.is_some() => {
                    let help = Some("keep one document, without a `---` line after it".to_owned());
                    return Err(fault(span, "a spec is one document, and here a second one begins", help));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                node => root = Some(self.node(node, span, 1)?),
            }
        }
    }

    fn next(&mut self) -> Step<(Event<'t>, Span)> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                let start = self.offset(&span.start);
                Ok((event, Span::new(start, self.offset(&span.end))))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::new(self.part.end, self.part.end))),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Step<Node> {
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(fault(span, too_deep(), None));
        }
        let before = (self.nodes, self.bytes);
        let (anchor, tagged, node) = match event {
            Event::Alias(id) => return self.alias(id, span, depth),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, tag.is_some(), self.scalar(&text, style, tag.as_deref(), span))
            }
            Event::SequenceStart(_, anchor, tag) => (anchor, tag.is_some(), self.list(span, depth)?),
            Event::MappingStart(_, anchor, tag) => (anchor, tag.is_some(), self.map(span, depth)?),
            _ => return Err(fault(span, "a value is missing", None)),
        };
        if tagged && matches!(self.dialect, Dialect::Spec) {
            let help = Some("remove it; to have a number or a word as text, put quotes around it".to_owned());
            self.faults.add(fault(node.span, "tags such as `!name` are not used here", help));
        }
        if anchor != 0 {
            self.keep(anchor, &node, before, span)?;
        }
        self.within_bounds(span)?;
        Ok(node)
    }

    fn within_bounds(&self, span: Span) -> Step<()> {
        if self.nodes > NODES_MAX || self.bytes > TEXT_BYTES_MAX {
            let message =
                format!("the spec has more than {NODES_MAX} values or {TEXT_BYTES_MAX} bytes of text");
            return Err(fault(span, message, Some("aliases count as what they stand for".to_owned())));
        }
        Ok(())
    }

    /// A copy of what the alias stands for, placed where the alias is.
    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Step<Node> {
        let Some(target) = self.anchors.get(&id) else {
            return Err(fault(span, "the alias stands inside of what it refers to", None));
        };
        self.nodes += target.nodes;
        self.bytes += target.bytes;
        if depth + target.depth > DEPTH_MAX {
            return Err(fault(span, too_deep(), None));
        }
        self.within_bounds(span)?;
        let mut node = self.anchors[&id].node.clone();
        place(&mut node, span);
        Ok(node)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let plain = matches!(style, ScalarStyle::Plain);
        let text = self.expanded(text);
        self.bytes += text.len();
        let resolved = match (self.dialect, tag.and_then(Tag::core_suffix).or(tag.map(Tag::suffix))) {
            (Dialect::Resource { .. }, Some(suffix)) if !suffix.is_empty() => lenient::tagged(suffix, &text),
            (Dialect::Resource { .. }, None) if plain => lenient::resolve(&text),
            (Dialect::Spec, _) if plain => scalar::resolve(&text),
            _ => Ok(Value::Text(text.into_owned())),
        };
        let value = resolved.unwrap_or_else(|message| {
            self.faults.add(fault(span, message, None));
            Value::Null
        });
        Node { value, span: self.trimmed(span) }
    }

    /// A text with its variables filled in, where the dialect has any.
    fn expanded<'s>(&self, text: &'s str) -> Cow<'s, str> {
        match self.dialect {
            Dialect::Resource { variables: Some(variables) } if text.contains('$') => {
                super::variables::expand(text, variables).into()
            }
            _ => text.into(),
        }
    }

    fn list(&mut self, start: Span, depth: usize) -> Step<Node> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                let end = self.collection_end(span, items.last().map(|item| item.span));
                return Ok(Node { value: Value::List(items), span: Span::new(start.start, end) });
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Step<Node> {
        let mut members = Members::default();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                let entries = members.into_entries();
                let last = entries.iter().map(Entry::span).max_by_key(|span| span.end);
                let end = self.collection_end(span, last);
                return Ok(Node { value: Value::Map(entries), span: Span::new(start.start, end) });
            }
            let key = self.key(event, span, depth)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            match key {
                Key::None => {}
                Key::Merge => self.merge(node, &mut members),
                Key::Text(key, key_span) => self.insert(Entry { key, key_span, node }, &mut members),
            }
        }
    }

    /// A block collection's end event comes only at the next token: its last member is where it really ends.
    fn collection_end(&self, end: Span, last: Option<Span>) -> usize {
        if end.end > end.start { end.end } else { last.map_or(end.start, |last| last.end) }
    }

    /// The span without the white space and line ends that a scanner may have read past.
    fn trimmed(&self, span: Span) -> Span {
        let text = self.text.get(span.start..span.end).unwrap_or_default();
        Span::new(span.start, span.start + text.trim_end().len())
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let start = self.offset(error.marker());
        let end = self.text[start..]
            .chars()
            .next()
            .filter(|c| !c.is_control())
            .map_or(start, |c| start + c.len_utf8());
        let message = match error.kind() {
            ErrorKind::UnexpectedCharacter { character } => {
                format!(
                    "the character `{}` cannot stand here",
                    crate::diagnostic::short(&character.to_string())
                )
            }
            ErrorKind::UnknownAnchor => "there is no anchor of this name before the alias".to_owned(),
            ErrorKind::RecursionLimitExceeded => too_deep(),
            kind => kind.to_string(),
        };
        fault(Span::new(start, end), message, help(error.kind()).map(str::to_owned))
    }

    fn offset(&self, marker: &Marker) -> usize {
        let part = &self.text[self.part.clone()];
        let counted = || part.char_indices().nth(marker.index()).map_or(part.len(), |(at, _)| at);
        let within = marker.byte_offset().filter(|at| part.is_char_boundary(*at)).unwrap_or_else(counted);
        self.part.start + within
    }
}

fn too_deep() -> String {
    format!("the nesting is deeper than {DEPTH_MAX} levels")
}

fn fault(span: Span, message: impl Into<String>, help: Option<String>) -> Diagnostic {
    Diagnostic { code: &codes::CONFIG_YAML, message: message.into(), help, place: Place::Text(span) }
}

fn height(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|entry| height(&entry.node)).max().unwrap_or(0),
        _ => 1,
    }
}

fn place(node: &mut Node, span: Span) {
    node.span = span;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| place(item, span)),
        Value::Map(entries) => {
            for entry in entries {
                entry.key_span = span;
                place(&mut entry.node, span);
            }
        }
        _ => {}
    }
}

fn help(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            "indent with spaces; YAML does not take tabs"
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "a key needs a colon and a space after it: `key: value`"
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            "the keys of one section stand under each other, with the same indentation"
        }
        ErrorKind::UnclosedQuotedScalar => "close the quote",
        ErrorKind::UnclosedFlowCollection { .. } | ErrorKind::UnexpectedEofFlowMapping => "close the bracket",
        ErrorKind::UnexpectedCharacter { .. } => "put quotes around the value",
        ErrorKind::UnknownAnchor => "define it before with `&name`",
        ErrorKind::DirectiveDisallowed => "remove the line that begins with `%`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
