//! The outside of a chat request, and the edits that make its stream report usage.

use std::ops::Range;

use mainstay_core::Result;

use super::DIALECT;
use crate::envelope::{field_error, flag, model, once, tokens};
use crate::scan::{members, members_at};
use crate::{Envelope, origin};

/// Reads a request for passing it through; see [`crate::Codec::envelope`].
pub fn envelope(body: &[u8]) -> Result<Envelope<'_>> {
    let [mut name, mut stream, mut options, mut bound, mut older_bound] = [const { None }; 5];
    let scanned = members(body, |key, span| match key.as_ref() {
        "model" => once(&mut name, "model", span),
        "stream" => once(&mut stream, "stream", span),
        "stream_options" => once(&mut options, "stream_options", span),
        "max_completion_tokens" => once(&mut bound, "max_completion_tokens", span),
        "max_tokens" => once(&mut older_bound, "max_tokens", span),
        _ => Ok(()),
    })?;
    let (model, model_span) = model(body, name)?;
    let stream = flag(body, "stream", stream.as_ref())?;
    let max_tokens = tokens(body, bound.or(older_bound).as_ref());
    let edit = if stream { usage_edit(body, options)? } else { None };
    let strip_usage = edit.is_some();
    let is_mixed = scanned.has_mark && origin::is_mixed(body, DIALECT);
    Ok(Envelope {
        model,
        model_span,
        stream,
        max_tokens,
        meter_edits: Vec::from_iter(edit),
        strip_usage,
        is_mixed,
    })
}

/// The edit that asks for usage, unless the caller asks already.
fn usage_edit(body: &[u8], options: Option<Range<usize>>) -> Result<Option<(Range<usize>, &'static str)>> {
    let Some(options) = options else {
        // Right after the opening brace; the object is not empty, for it has a model.
        let start = body.iter().position(|b| *b == b'{').map_or(0, |brace| brace + 1);
        return Ok(Some((start..start, r#""stream_options":{"include_usage":true},"#)));
    };
    match body[options.start] {
        b'{' => {}
        b'n' => return Ok(Some((options, r#"{"include_usage":true}"#))),
        _ => return Err(field_error("stream_options", "read the body: `stream_options` must be an object")),
    }
    let (mut asked, mut empty) = (None, true);
    members_at(body, &options, |key, span| {
        empty = false;
        if key == "include_usage" { once(&mut asked, "stream_options.include_usage", span) } else { Ok(()) }
    })?;
    if flag(body, "stream_options.include_usage", asked.as_ref())? {
        return Ok(None);
    }
    let inside = options.start + 1;
    Ok(Some(match asked {
        Some(span) => (span, "true"),
        None if empty => (inside..inside, r#""include_usage":true"#),
        None => (inside..inside, r#""include_usage":true,"#),
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mainstay_core::provider::WireRequest;

    use super::*;
    use crate::envelope::splice;

    /// What a provider gets for `body` when the model becomes `up`; the same for a body that is cut into pieces.
    fn check(body: &str, wanted: &str) {
        check_spliced(body, wanted);
        let large = |text: &str| {
            format!("{{\"filler\":\"{}\",{}", "x".repeat(40_000), text.trim_start().trim_start_matches('{'))
        };
        if body.trim_start().starts_with("{\"model\"") && wanted.trim_start().starts_with("{\"model\"") {
            check_spliced(&large(body), &large(wanted));
        }
    }

    fn check_spliced(body: &str, wanted: &str) {
        let found = envelope(body.as_bytes()).unwrap();
        assert_eq!(found.strip_usage, !found.meter_edits.is_empty());
        let request = WireRequest {
            dialect: super::super::DIALECT,
            model: "up".to_owned(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            model_span: found.model_span.clone(),
            edits: found.meter_edits.clone(),
            stream: found.stream,
            strip_usage: found.strip_usage,
            headers: Vec::new(),
        };
        assert_eq!(std::str::from_utf8(&splice(&request).concat()).unwrap(), wanted);
    }

    fn check_refused(body: &str, field: &str) {
        let error = envelope(body.as_bytes()).unwrap_err();
        assert_eq!((error.code().id, error.field()), ("INVALID_FIELD", Some(field)), "{body}");
    }

    #[test]
    fn a_request_without_a_stream_changes_in_its_model_alone() {
        check(r#"{"x": 1, "model" : "gpt" ,"y":[ ]}"#, r#"{"x": 1, "model" : "up" ,"y":[ ]}"#);
        check(r#"{"model":"gpt","stream":null}"#, r#"{"model":"up","stream":null}"#);
    }

    #[test]
    fn a_stream_asks_for_usage_wherever_that_stands() {
        check(
            r#" {"model":"m","stream":true}"#,
            r#" {"stream_options":{"include_usage":true},"model":"up","stream":true}"#,
        );
        check(
            r#"{"stream_options":{},"stream":true,"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"model":"up"}"#,
        );
        check(
            r#"{"model":"m","stream":true,"stream_options":{"a":1}}"#,
            r#"{"model":"up","stream":true,"stream_options":{"include_usage":true,"a":1}}"#,
        );
        check(
            r#"{"model":"m","stream":true,"stream_options":{"include_usage": false}}"#,
            r#"{"model":"up","stream":true,"stream_options":{"include_usage": true}}"#,
        );
        check(
            r#"{"model":"m","stream":true,"stream_options":null}"#,
            r#"{"model":"up","stream":true,"stream_options":{"include_usage":true}}"#,
        );
    }

    #[test]
    fn a_caller_who_asks_for_usage_keeps_it() {
        let body = br#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":7}"#;
        let found = envelope(body).unwrap();
        assert!(!found.strip_usage && found.meter_edits.is_empty());
        assert_eq!(found.max_tokens, Some(7));
    }

    #[test]
    fn the_same_model_leaves_the_very_bytes() {
        let body = Bytes::from_static(br#"{"model":"up"}"#);
        let found = envelope(&body).unwrap();
        let request = WireRequest {
            dialect: super::super::DIALECT,
            model: "up".to_owned(),
            model_span: found.model_span.clone(),
            edits: Vec::new(),
            stream: false,
            strip_usage: false,
            headers: Vec::new(),
            body: body.clone(),
        };
        assert_eq!(splice(&request)[0].as_ptr(), body.as_ptr());
    }

    #[test]
    fn escapes_hide_neither_the_key_nor_the_name() {
        let body = br#"{"mod\u0065l":"g\u0070t","messages":[{"model":"no"}]}"#;
        assert_eq!(envelope(body).unwrap().model, "gpt");
    }

    #[test]
    fn what_parsers_read_differently_is_refused() {
        check_refused(r#"{"model":"a","model":"b"}"#, "model");
        check_refused(r#"{"model":"a","\u006dodel":"b"}"#, "model");
        check_refused(r#"{"model":"a","stream":false,"stream":true}"#, "stream");
        check_refused(r#"{"model":3}"#, "model");
        check_refused(r#"{"model":""}"#, "model");
        check_refused(r#"{"messages":[]}"#, "model");
        check_refused(r#"{"model":"a","stream":"yes"}"#, "stream");
        check_refused(r#"{"model":"a","stream":true,"stream_options":[]}"#, "stream_options");
        check_refused(
            r#"{"model":"a","stream":true,"stream_options":{"include_usage":1}}"#,
            "stream_options.include_usage",
        );
    }

    #[test]
    fn the_present_bound_holds_over_the_older_one() {
        let body = br#"{"model":"m","max_tokens":1,"max_completion_tokens":2}"#;
        assert_eq!(envelope(body).unwrap().max_tokens, Some(2));
    }
}
