//! The outside of a messages request. Its answers always report usage, so there is nothing to edit.

use mainstay_core::Result;

use super::DIALECT;
use crate::envelope::{flag, model, once, tokens};
use crate::scan::members;
use crate::{Envelope, origin};

/// Reads a request for passing it through; see [`crate::Codec::envelope`].
pub fn envelope(body: &[u8]) -> Result<Envelope<'_>> {
    let [mut name, mut stream, mut bound] = [const { None }; 3];
    let scanned = members(body, |key, span| match key.as_ref() {
        "model" => once(&mut name, "model", span),
        "stream" => once(&mut stream, "stream", span),
        "max_tokens" => once(&mut bound, "max_tokens", span),
        _ => Ok(()),
    })?;
    let (model, model_span) = model(body, name)?;
    let stream = flag(body, "stream", stream.as_ref())?;
    let max_tokens = tokens(body, bound.as_ref());
    let is_mixed = scanned.has_mark && origin::is_mixed(body, DIALECT);
    Ok(Envelope { model, model_span, stream, max_tokens, is_mixed, ..Envelope::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outside_is_read_and_nothing_is_edited() {
        let body =
            br#"{"max_tokens":64,"messages":[{"role":"user","content":"model"}],"model":"m","stream":true}"#;
        let found = envelope(body).unwrap();
        assert_eq!(&body[found.model_span.clone()], br#""m""#);
        assert_eq!((found.max_tokens, found.stream, found.strip_usage), (Some(64), true, false));
        assert!(found.meter_edits.is_empty() && !found.is_mixed);
    }

    #[test]
    fn a_conversation_with_a_foreign_signature_is_marked() {
        let block = r#"{"type":"thinking","thinking":"","signature":"mainstay:gemini:x"}"#;
        let body = format!(r#"{{"model":"m","messages":[{{"role":"assistant","content":[{block}]}}]}}"#);
        assert!(envelope(body.as_bytes()).unwrap().is_mixed);
    }
}
