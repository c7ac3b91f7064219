//! Headers of an `http` tool: text with secret references in it.
//!
//! ```text
//!   authorization: "Bearer ${env:TICKETS_TOKEN}"      x-api-key: "file:/run/secrets/tickets"
//! ```

use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use mainstay_core::secret::SecretSource;
use mainstay_core::{Error, Result, SecretRef, codes};

use crate::secrets;

/// A header's value before its secrets are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Secret(SecretRef),
}

impl Text {
    /// Reads a value. Errors: `SECRET_UNAVAILABLE` for a reference of an unknown source, `CONFIG_VALUE` for one that is
    /// no reference; the message fits "the header's value …".
    pub(super) fn parse(text: &str) -> Result<Self> {
        if let Some(whole) =
            SecretRef::parse(text).filter(|reference| secrets::find(&reference.source).is_some())
        {
            return Ok(Self(vec![Piece::Secret(whole)]));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once("${") {
            let (reference, after) =
                from.split_once('}').ok_or_else(|| invalid("`${` is not closed by `}`"))?;
            pieces.push(Piece::Plain(before.to_owned()));
            pieces.push(Piece::Secret(reference_in(reference)?));
            rest = after;
        }
        pieces.push(Piece::Plain(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// Whether any of it is a secret.
    pub(super) fn is_secret(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Secret(_)))
    }

    /// The value with its secrets. Errors: `SECRET_UNAVAILABLE`.
    fn resolve(&self, name: &HeaderName, source: &dyn SecretSource) -> Result<HeaderValue> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Plain(plain) => text.push_str(plain),
                Piece::Secret(reference) => text.push_str(source.resolve(reference)?.expose()),
            }
        }
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            let why = format!("the value of the header `{name}` has characters that a header cannot carry");
            Error::new(&codes::SECRET_UNAVAILABLE, why)
        })?;
        value.set_sensitive(self.is_secret());
        Ok(value)
    }
}

fn reference_in(text: &str) -> Result<SecretRef> {
    let reference = SecretRef::parse(text);
    let reference = reference
        .ok_or_else(|| invalid("`${…}` does not hold a reference such as `env:NAME` or `file:PATH`"))?;
    secrets::known(&reference)?;
    Ok(reference)
}

fn invalid(why: &str) -> Error {
    Error::new(&codes::CONFIG_VALUE, why)
}

/// Headers that are ours to set: framing, routing and what engines put there.
const OWN: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-connection",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The header's name, if the spec may set it. The error is a fragment.
pub(super) fn name(text: &str) -> std::result::Result<HeaderName, String> {
    let name: HeaderName = text.parse().map_err(|_| format!("`{text}` is not a header's name"))?;
    if OWN.contains(&name.as_str()) {
        return Err(format!("the header `{name}` is set by Mainstay"));
    }
    Ok(name)
}

/// Whether a header of this name carries a credential.
pub(super) fn carries_credential(name: &HeaderName) -> bool {
    const WORDS: [&str; 6] = ["authorization", "cookie", "api-key", "apikey", "token", "secret"];
    WORDS.iter().any(|word| name.as_str().contains(word))
}

/// All headers with their secrets. Errors: `SECRET_UNAVAILABLE`.
pub(in crate::tools) fn resolve(
    headers: &BTreeMap<String, String>,
    source: &dyn SecretSource,
) -> Result<HeaderMap> {
    let mut resolved = HeaderMap::with_capacity(headers.len());
    for (key, text) in headers {
        let name = name(key).map_err(|why| Error::bug(format!("a header passed the check: {why}")))?;
        resolved.insert(name.clone(), Text::parse(text)?.resolve(&name, source)?);
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::Redacted;

    struct Fixed;

    impl SecretSource for Fixed {
        fn resolve(&self, reference: &SecretRef) -> Result<Redacted<String>> {
            Ok(Redacted::new(format!("<{}>", reference.locator)))
        }
    }

    fn resolved(name: &str, text: &str) -> HeaderValue {
        resolve(&BTreeMap::from([(name.to_owned(), text.to_owned())]), &Fixed).unwrap()[name].clone()
    }

    #[test]
    fn secrets_stand_in_text_or_alone() {
        let check = |text: &str, expect: &str, secret: bool| {
            let value = resolved("x-a", text);
            assert_eq!((value.to_str().unwrap(), value.is_sensitive()), (expect, secret), "{text}");
        };
        check("plain", "plain", false);
        check("env:KEY", "<KEY>", true);
        check("Bearer ${env:KEY}", "Bearer <KEY>", true);
        check("${env:A}:${file:b/c}!", "<A>:<b/c>!", true);
        check("urn:isbn:1", "urn:isbn:1", false);
    }

    #[test]
    fn a_secret_header_does_not_print() {
        assert_eq!(format!("{:?}", resolved("authorization", "Bearer ${env:KEY}")), "Sensitive");
    }

    #[test]
    fn a_broken_reference_is_told() {
        for (text, why) in [
            ("Bearer ${env:KEY", "not closed"),
            ("Bearer ${KEY}", "does not hold a reference"),
            ("${vault:x}", "unknown source `vault`"),
        ] {
            let error = Text::parse(text).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
    }

    #[test]
    fn framing_headers_are_ours() {
        assert!(name("X-Tenant").is_ok());
        for bad in ["Host", "content-length", "Idempotency-Key", "a b", ""] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
