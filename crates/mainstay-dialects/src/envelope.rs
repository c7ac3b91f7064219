//! What must be known of a request to pass it through: its model, whether it streams, and where to cut.
//!
//! The request is read once and borrowed; its content is neither copied nor judged.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use mainstay_core::provider::WireRequest;
use mainstay_core::{Error, Result, codes};

/// The outside of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The model asked for; empty where the dialect has it in the path.
    pub model: Cow<'a, str>,
    /// Where the value of `model` stands, quotes included; empty where the dialect has it in the path.
    pub model_span: Range<usize>,
    /// Whether a stream is asked for; always false where the dialect has that in the path.
    pub stream: bool,
    /// Most tokens of output asked for.
    pub max_tokens: Option<u64>,
    /// Replacements that make the provider report usage, for [`WireRequest::edits`].
    pub meter_edits: Vec<(Range<usize>, &'static str)>,
    /// Whether usage is asked for by metering alone, so that the caller must not see it.
    pub strip_usage: bool,
    /// Whether the conversation carries another vendor's signatures (from an answer that fell back across vendors):
    /// then it must be translated, for its own vendor would refuse it as it is.
    pub is_mixed: bool,
}

/// Bodies from this size on are cut into pieces; smaller ones are cheaper to copy.
const PIECES_BYTES_MIN: usize = 16 * 1024;

/// The body with the provider's model name and all edits in place, in pieces that follow each other. One allocation for
/// a small body; a large one is not copied.
///
/// Precondition: the spans are those of [`Envelope`], of this body.
#[must_use]
pub fn splice(request: &WireRequest) -> Vec<Bytes> {
    let body = &request.body;
    let model = serde_json::to_vec(&request.model).expect("a string is always JSON");
    let span = request.model_span.clone();
    let keep_model = span.is_empty() || body.get(span.clone()).is_some_and(|old| old == model);
    if keep_model && request.edits.is_empty() {
        return vec![body.clone()];
    }
    let mut cuts: Vec<(Range<usize>, Bytes)> = request
        .edits
        .iter()
        .map(|(span, text)| (span.clone(), Bytes::from_static(text.as_bytes())))
        .collect();
    if !keep_model {
        let place = cuts.partition_point(|(cut, _)| cut.start <= span.start);
        cuts.insert(place, (span, model.into()));
    }
    if body.len() < PIECES_BYTES_MIN { vec![joined(body, &cuts)] } else { pieces(body, cuts) }
}

fn joined(body: &[u8], cuts: &[(Range<usize>, Bytes)]) -> Bytes {
    let added: usize = cuts.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut from = 0;
    for (cut, text) in cuts {
        out.extend_from_slice(&body[from..cut.start]);
        out.extend_from_slice(text);
        from = cut.end;
    }
    out.extend_from_slice(&body[from..]);
    out.into()
}

fn pieces(body: &Bytes, cuts: Vec<(Range<usize>, Bytes)>) -> Vec<Bytes> {
    let mut out = Vec::with_capacity(2 * cuts.len() + 1);
    let mut from = 0;
    for (cut, text) in cuts {
        out.push(body.slice(from..cut.start));
        out.push(text);
        from = cut.end;
    }
    out.push(body.slice(from..));
    out
}

/// Takes a member that may stand once. Errors: `INVALID_FIELD` when it stands twice: parsers differ on which one
/// holds, and metering must see the one that the provider sees.
pub(crate) fn once(slot: &mut Option<Range<usize>>, key: &str, span: Range<usize>) -> Result<()> {
    if slot.replace(span).is_some() {
        return Err(field_error(key, format!("read the body: `{key}` stands in it twice")));
    }
    Ok(())
}

/// Reads the member `model`.
pub(crate) fn model<'a>(body: &'a [u8], span: Option<Range<usize>>) -> Result<(Cow<'a, str>, Range<usize>)> {
    let span = span.ok_or_else(|| field_error("model", "read the body: `model` is missing"))?;
    let quoted = &body[span.clone()];
    let name = (quoted[0] == b'"').then(|| crate::scan::text(quoted)).flatten();
    match name {
        Some(name) if !name.is_empty() => Ok((name, span)),
        _ => Err(field_error("model", "read the body: `model` must be a string that is not empty")),
    }
}

/// Reads a boolean member; absent and null are false.
pub(crate) fn flag(body: &[u8], key: &str, span: Option<&Range<usize>>) -> Result<bool> {
    match span.map(|span| &body[span.clone()]) {
        None | Some(b"false" | b"null") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(field_error(key, format!("read the body: `{key}` must be true or false"))),
    }
}

/// Reads a token bound; what is no number is left to the provider to refuse.
pub(crate) fn tokens(body: &[u8], span: Option<&Range<usize>>) -> Option<u64> {
    std::str::from_utf8(&body[span?.clone()]).ok()?.parse().ok()
}

pub(crate) fn field_error(field: &str, message: impl Into<String>) -> Error {
    Error::new(&codes::INVALID_FIELD, message).with_field(field)
}
