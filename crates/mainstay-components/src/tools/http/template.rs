//! The URL of an `http` tool, with placeholders. Arguments are percent-encoded where they stand, so that none can reach
//! scheme, host or port, leave its path segment, or begin another query parameter.

use mainstay_core::{Error, Result, codes};
use serde_json::{Map, Value};

/// Bytes of a URL, at most; beyond it, common servers refuse.
const URL_BYTES_MAX: usize = 8 * 1024;

/// A URL with placeholders in its path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// Scheme, host and port, as written.
    origin: String,
    /// The path, cut at its slashes; the first is what follows the first slash.
    segments: Vec<Vec<Piece>>,
    /// The query, cut at its ampersands.
    pairs: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Argument(String),
}

/// Where an argument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

impl Template {
    /// Reads a URL. The error is a fragment that says what is wrong with it.
    pub(super) fn parse(url: &str) -> std::result::Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it does not begin with `http://` or `https://`")?;
        if !matches!(scheme, "http" | "https") {
            return Err(format!("its scheme is `{scheme}`, not `http` or `https`"));
        }
        if rest.contains('#') {
            return Err("it has a fragment (`#…`), which is never sent".to_owned());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        check_authority(authority)?;
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let template = Self {
            origin: format!("{scheme}://{authority}"),
            segments: cut(path.strip_prefix('/').unwrap_or(path), '/')?,
            pairs: query.filter(|q| !q.is_empty()).map_or(Ok(Vec::new()), |query| cut(query, '&'))?,
        };
        let sample = template.write(|_, _| Ok(Some("x".to_owned()))).map_err(|e| e.to_string())?;
        sample.url.parse::<http::Uri>().map_err(|e| e.to_string())?;
        Ok(template)
    }

    /// The host, without brackets and port.
    pub(super) fn host(&self) -> &str {
        let authority = self.origin.split_once("://").map_or("", |(_, authority)| authority);
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => authority.split(':').next().unwrap_or(authority),
        }
    }

    /// The placeholders, with where they stand.
    pub(super) fn arguments(&self) -> impl Iterator<Item = (&str, Place)> {
        let path = self.segments.iter().flatten().filter_map(Piece::argument).map(|name| (name, Place::Path));
        let query = self.pairs.iter().flatten().filter_map(Piece::argument).map(|name| (name, Place::Query));
        path.chain(query)
    }

    /// Whether a placeholder has this name.
    pub(super) fn names(&self, name: &str) -> bool {
        self.arguments().any(|(argument, _)| argument == name)
    }

    /// Puts arguments in their places. A query parameter whose argument is absent or null is left out.
    /// Errors: `TOOL_ARGUMENTS`.
    pub(super) fn fill(&self, arguments: &Map<String, Value>) -> Result<Filled> {
        self.write(|name, place| match (arguments.get(name), place) {
            (None | Some(Value::Null), Place::Query) => Ok(None),
            (None | Some(Value::Null), Place::Path) => Err(unfit(name, "is needed in the URL's path")),
            (Some(value), _) => match scalar(value) {
                Some(text) => Ok(Some(text)),
                None => Err(unfit(name, "must be text, a number or a boolean to stand in the URL")),
            },
        })
    }

    fn write(&self, value: impl Fn(&str, Place) -> Result<Option<String>>) -> Result<Filled> {
        let mut url = self.origin.clone();
        for segment in &self.segments {
            url.push('/');
            let start = url.len();
            for piece in segment {
                match piece {
                    Piece::Literal(text) => url.push_str(text),
                    Piece::Argument(name) => encode(&mut url, &value(name, Place::Path)?.unwrap_or_default()),
                }
            }
            guard_segment(segment, &url[start..])?;
        }
        let mut filled = Filled { url, has_query: false };
        for pair in &self.pairs {
            let mut text = String::new();
            let mut whole = true;
            for piece in pair {
                match piece {
                    Piece::Literal(literal) => text.push_str(literal),
                    Piece::Argument(name) => match value(name, Place::Query)? {
                        Some(argument) => encode(&mut text, &argument),
                        None => whole = false,
                    },
                }
            }
            if whole {
                filled.push_pair(&text);
            }
        }
        Ok(filled)
    }
}

/// A URL whose placeholders are filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filled {
    url: String,
    has_query: bool,
}

impl Filled {
    /// Adds arguments as query parameters: a list repeats its name, null is left out, an object travels as JSON.
    pub(super) fn append_query<'a>(&mut self, arguments: impl Iterator<Item = (&'a String, &'a Value)>) {
        for (name, value) in arguments {
            match value {
                Value::Null => {}
                Value::Array(items) => items.iter().for_each(|item| self.push_argument(name, item)),
                value => self.push_argument(name, value),
            }
        }
    }

    fn push_argument(&mut self, name: &str, value: &Value) {
        let mut pair = String::new();
        encode(&mut pair, name);
        pair.push('=');
        encode(&mut pair, &scalar(value).unwrap_or_else(|| value.to_string()));
        self.push_pair(&pair);
    }

    fn push_pair(&mut self, pair: &str) {
        self.url.push(if self.has_query { '&' } else { '?' });
        self.url.push_str(pair);
        self.has_query = true;
    }

    /// The address to call. Errors: `TOOL_ARGUMENTS` when it is too long.
    pub(super) fn finish(self) -> Result<http::Uri> {
        if self.url.len() > URL_BYTES_MAX {
            let why = format!("the arguments make a URL of more than {URL_BYTES_MAX} bytes");
            return Err(Error::new(&codes::TOOL_ARGUMENTS, why));
        }
        self.url.parse().map_err(|e| Error::bug("an encoded URL does not parse").with_source(e))
    }
}

impl Piece {
    fn argument(&self) -> Option<&str> {
        if let Self::Argument(name) = self { Some(name) } else { None }
    }
}

fn check_authority(authority: &str) -> std::result::Result<(), String> {
    if authority.contains(['{', '}']) {
        return Err("a placeholder may stand in the path or the query alone, not in host or port".to_owned());
    }
    if authority.contains('@') {
        return Err("it carries credentials; put them into `headers` as a secret reference".to_owned());
    }
    let parsed: http::uri::Authority = authority.parse().map_err(|_| "its host or port is not valid")?;
    if parsed.host().is_empty() || (authority.ends_with(':') || parsed.as_str().contains(char::is_whitespace))
    {
        return Err("its host or port is not valid".to_owned());
    }
    Ok(())
}

fn cut(text: &str, separator: char) -> std::result::Result<Vec<Vec<Piece>>, String> {
    text.split(separator).map(pieces).collect()
}

fn pieces(mut text: &str) -> std::result::Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    while let Some(open) = text.find(['{', '}']) {
        let (before, from) = text.split_at(open);
        let name = from.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (name, after) = name.ok_or("it has a brace without its partner")?;
        if !is_name(name) {
            return Err(format!(
                "`{{{name}}}` is not a placeholder: a name has letters, digits, `_` and `-`"
            ));
        }
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.to_owned()));
        }
        pieces.push(Piece::Argument(name.to_owned()));
        text = after;
    }
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.to_owned()));
    }
    Ok(pieces)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// An empty segment or one of dots would make the path another one, and no encoding prevents that.
fn guard_segment(segment: &[Piece], text: &str) -> Result<()> {
    let argument = segment.iter().find_map(Piece::argument);
    match argument {
        Some(name) if matches!(text, "" | "." | "..") => Err(unfit(name, "cannot be empty, `.` or `..`")),
        _ => Ok(()),
    }
}

fn unfit(name: &str, why: &str) -> Error {
    Error::new(&codes::TOOL_ARGUMENTS, format!("the argument `{name}` {why}")).with_field(name)
}

/// Text, numbers and booleans as they read; nothing else has one obvious form.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// RFC 3986, section 2.3: everything but unreserved characters is encoded, in every place.
fn encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests;
