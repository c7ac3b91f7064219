//! The body of a request: its type, its size, the time it takes, and its JSON. It copies a body only when it came in
//! pieces.

mod request;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use mainstay_core::{Error, Result, codes};
use serde::de::DeserializeOwned;

use crate::call::Call;
pub use request::{BoxError, RequestBody};

/// How much of a refused body is read and forgotten, so that the refusal reaches a caller who is still sending.
const DISCARD_BYTES_MAX: usize = 16 << 20;
/// How long that may take.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(1);

impl Call {
    /// The whole body, which must be declared as JSON. Errors: `UNSUPPORTED_MEDIA_TYPE`, `BODY_TOO_LARGE`,
    /// `BODY_TIMEOUT`.
    pub(crate) async fn json_bytes(&mut self) -> Result<Bytes> {
        let body = std::mem::replace(self.body.get_mut(), RequestBody::Empty);
        let server = &self.live.settings.server;
        match check_head(self.headers(), server.body_bytes_max) {
            Ok(()) => collect(body, server.body_bytes_max, server.body_timeout, self.headers()).await,
            Err(error) => {
                discard(body, self.headers()).await;
                Err(error)
            }
        }
    }

    /// The body as `T`. Errors: as [`Call::json_bytes`]; `INVALID_JSON` with line and column; `INVALID_FIELD` naming
    /// the field.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T> {
        parse(&self.json_bytes().await?)
    }
}

/// Reads what is left of a body that nobody wants. A connection closed on a caller who is still sending is reset, and
/// the reset can overtake the answer. A caller who waits for a sign to send gets none.
pub(crate) async fn discard(mut body: RequestBody, headers: &HeaderMap) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    let read = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // Out of time or not, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIME_MAX, read).await;
}

/// What the headers already tell.
fn check_head(headers: &HeaderMap, bytes_max: u64) -> Result<()> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(is_json) {
        let message = match content_type {
            Some(_) => "read the body: its content type is not JSON",
            None => "read the body: it has no content type",
        };
        let help = "send the header `content-type: application/json`";
        return Err(Error::new(&codes::UNSUPPORTED_MEDIA_TYPE, message).with_help(help));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        let message = "read the body: it is compressed";
        let help = "send it without a `content-encoding`";
        return Err(Error::new(&codes::UNSUPPORTED_MEDIA_TYPE, message).with_help(help));
    }
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    Ok(())
}

/// `application/json` and every `…+json` (RFC 6839), with any parameters.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    kind == "application" && (subtype == "json" || subtype.ends_with("+json"))
}

async fn collect(
    mut body: RequestBody,
    bytes_max: u64,
    time_max: Duration,
    headers: &HeaderMap,
) -> Result<Bytes> {
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    match tokio::time::timeout(time_max, read(&mut body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Cut::TooLarge)) => {
            discard(body, headers).await;
            Err(too_large(bytes_max as u64))
        }
        Ok(Err(Cut::Broken)) => {
            Err(Error::new(&codes::INVALID_JSON, "read the body: it ended before its declared length"))
        }
        Err(_) => Err(late(time_max)),
    }
}

pub(crate) fn late(time_max: Duration) -> Error {
    let message = format!("read the body: it did not arrive within {} s", time_max.as_secs_f32());
    Error::new(&codes::BODY_TIMEOUT, message)
}

enum Cut {
    TooLarge,
    Broken,
}

/// The body, as received when it came in one piece.
async fn read(body: &mut RequestBody, bytes_max: usize) -> Result<Bytes, Cut> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(bytes_max).min(bytes_max);
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| Cut::Broken)?.into_data() else { continue };
        let so_far = first.len() + joined.len();
        if so_far + piece.len() > bytes_max {
            return Err(Cut::TooLarge);
        }
        if so_far == 0 {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(expected.max(so_far + piece.len()));
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

pub(crate) fn too_large(bytes_max: u64) -> Error {
    Error::new(&codes::BODY_TOO_LARGE, format!("read the body: it is larger than {bytes_max} bytes"))
        .with_help("send less, or raise `server.body_bytes_max`")
}

/// Reads JSON. What the caller wrote is never repeated in the error, but for the names of fields.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader);
    let fault = match value {
        Ok(value) if is_object => match reader.end() {
            Ok(()) => return Ok(value),
            Err(error) => return Err(not_json(&error)),
        },
        Ok(_) => None,
        Err(error) => Some(error),
    };
    // A body that is no JSON at all is told so, even if a field was wrong before the place.
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        return Err(not_json(&error));
    }
    match fault {
        Some(fault) if is_object => Err(wrong_field(&fault)),
        _ => Err(Error::new(&codes::INVALID_FIELD, "read the body: it must be a JSON object")),
    }
}

fn not_json(error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column().max(1));
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    Error::new(
        &codes::INVALID_JSON,
        format!("parse the body as JSON: {what} at line {line}, column {column}"),
    )
}

fn wrong_field(fault: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let text = fault.inner().to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let mut path: Vec<String> = fault.path().iter().map(segment).collect();
    let quoted =
        || text.split('`').nth(1).unwrap_or_default().chars().take(NAME_SHOWN_MAX).collect::<String>();
    let mut name_last = || match path.last() {
        Some(last) if *last == quoted() => {}
        _ => path.push(quoted()),
    };
    let what = if text.starts_with("missing field") {
        name_last();
        "it is missing".to_owned()
    } else if text.starts_with("duplicate field") {
        name_last();
        "it stands in the body twice".to_owned()
    } else if text.starts_with("unknown field") {
        name_last();
        let known = text.rsplit_once("expected ").map_or("no field", |(_, known)| known);
        format!("no such field; there are {}", known.trim_start_matches("one of "))
    } else {
        let wanted = text.rsplit_once("expected ").map_or("of another kind", |(_, wanted)| wanted);
        format!("it must be {}", in_words(wanted))
    };
    let path = path.join(".");
    Error::new(&codes::INVALID_FIELD, format!("read `{path}`: {what}")).with_field(path)
}

/// A step of a dotted path.
fn segment(segment: &serde_path_to_error::Segment) -> String {
    match segment {
        serde_path_to_error::Segment::Seq { index } => index.to_string(),
        other => other.to_string(),
    }
}

/// Characters of an unknown field's name repeated in an error.
const NAME_SHOWN_MAX: usize = 64;

/// Rust's names of types in the caller's words.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "u32" | "u64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a map" => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests;
