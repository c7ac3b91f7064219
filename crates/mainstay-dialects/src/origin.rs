//! Marks on what a vendor must see again (signatures, encrypted reasoning): whose it is.
//!
//! A signature means something to its vendor alone; another vendor refuses the request. So the canonical form carries
//! `mainstay:<dialect>:<value>`, and each dialect sends back only its own. To a caller, a foreign value keeps its mark
//! and comes back with it; an own value goes out bare, as the vendor's clients expect.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use mainstay_core::provider::Dialect;

/// Begins every mark.
pub(crate) const PREFIX: &str = "mainstay:";

/// Stands where a caller's dialect demands a signature and there is none.
pub(crate) const UNSIGNED: &str = "mainstay:none:";

/// The canonical form of a value that a provider sent.
pub(crate) fn from_provider(dialect: Dialect, value: &str) -> String {
    format!("{PREFIX}{}:{value}", dialect.0)
}

/// The canonical form of a value that a caller sent back.
pub(crate) fn from_caller(dialect: Dialect, value: &str) -> String {
    if owner(value).is_some() { value.to_owned() } else { from_provider(dialect, value) }
}

/// The value for a provider of this dialect; `None` when it is another vendor's.
pub(crate) fn to_provider(dialect: Dialect, marked: &str) -> Option<&str> {
    marked.strip_prefix(PREFIX)?.strip_prefix(dialect.0)?.strip_prefix(':')
}

/// The value for a caller of this dialect.
pub(crate) fn to_caller(dialect: Dialect, marked: &str) -> &str {
    to_provider(dialect, marked).unwrap_or(marked)
}

/// A call's value, in a dialect whose calls have no place for one: it travels in a block before the call.
pub(crate) fn to_carrier(marked: &str) -> String {
    format!("{PREFIX}call/{marked}")
}

/// The call's value in a carrier block.
pub(crate) fn from_carrier(value: &str) -> Option<&str> {
    value.strip_prefix(PREFIX)?.strip_prefix("call/").filter(|marked| owner(marked).is_some())
}

/// The value for a caller whose clients read it as base64: an own one is, a foreign one is made so.
pub(crate) fn to_base64_caller(dialect: Dialect, marked: &str) -> String {
    match to_provider(dialect, marked) {
        Some(own) => own.to_owned(),
        None => STANDARD.encode(marked),
    }
}

/// Redacted reasoning for such a caller, whose dialect cannot tell it from a signature.
pub(crate) fn to_base64_redacted(marked: &str) -> String {
    STANDARD.encode(format!("{PREFIX}redacted/{marked}"))
}

/// The inverse of both: the canonical form, and whether it is redacted reasoning. Clients may change the alphabet on
/// the way.
pub(crate) fn from_base64_caller(dialect: Dialect, value: &str) -> (String, bool) {
    let bytes = STANDARD.decode(value).or_else(|_| URL_SAFE.decode(value)).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    let redacted = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix("redacted/"));
    match redacted {
        Some(marked) if owner(marked).is_some() => (marked.to_owned(), true),
        _ if owner(&text).is_some() => (text, false),
        _ => (from_provider(dialect, value), false),
    }
}

/// Like [`is_mixed`], for bodies whose marks are in base64. Own values go out bare, so every mark is a foreign one.
pub(crate) fn is_mixed_base64(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"\"bWFpbnN0YXk6").is_some()
}

/// Whether a request body, in which a string begins as a mark does, carries another vendor's values: then it cannot be
/// passed through as it is. May err towards yes, where text imitates a mark.
pub(crate) fn is_mixed(body: &[u8], own: Dialect) -> bool {
    memchr::memmem::find_iter(body, b"\"mainstay:").any(|at| {
        let name = &body[at + 1 + PREFIX.len()..];
        [&b"call/"[..], b"none:"].iter().any(|kind| name.starts_with(kind))
            || crate::ALL.iter().any(|c| c.dialect != own && name.starts_with(c.dialect.0.as_bytes()))
    })
}

fn owner(value: &str) -> Option<Dialect> {
    let name = value.strip_prefix(PREFIX)?.split_once(':')?.0;
    crate::ALL.iter().map(|codec| codec.dialect).find(|dialect| dialect.0 == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Dialect = crate::anthropic::DIALECT;
    const THEIRS: Dialect = crate::gemini::DIALECT;

    #[test]
    fn a_foreign_value_survives_a_caller_and_reaches_only_its_vendor() {
        let marked = from_provider(THEIRS, "sig==");
        let at_caller = to_caller(OURS, &marked);
        assert_eq!(from_caller(OURS, at_caller), marked);
        assert_eq!(to_provider(THEIRS, &marked), Some("sig=="));
        assert_eq!(to_provider(OURS, &marked), None);
    }

    #[test]
    fn a_body_with_foreign_values_is_told_apart() {
        let body = format!(r#"{{"signature":"{}"}}"#, from_provider(THEIRS, "x"));
        assert!(is_mixed(body.as_bytes(), OURS) && !is_mixed(body.as_bytes(), THEIRS));
        let carrier = to_carrier(&from_provider(THEIRS, "x"));
        assert!(is_mixed(format!(r#"["{carrier}"]"#).as_bytes(), THEIRS));
        assert_eq!(from_carrier(&carrier), Some(from_provider(THEIRS, "x").as_str()));
        assert!(!is_mixed(br#"{"content":"mainstay: the rope"}"#, OURS));
    }

    #[test]
    fn a_foreign_value_survives_clients_that_read_base64() {
        let marked = from_provider(OURS, "s+/g==");
        let sent = to_base64_caller(THEIRS, &marked);
        assert!(is_mixed_base64(format!(r#"{{"s":"{sent}"}}"#).as_bytes()));
        let other_alphabet = sent.replace('+', "-").replace('/', "_");
        assert_eq!(from_base64_caller(THEIRS, &sent), (marked.clone(), false));
        assert_eq!(from_base64_caller(THEIRS, &other_alphabet), (marked.clone(), false));
        assert_eq!(from_base64_caller(THEIRS, &to_base64_redacted(&marked)), (marked, true));
        assert_eq!(from_base64_caller(THEIRS, "AAECAw=="), (from_provider(THEIRS, "AAECAw=="), false));
        assert_eq!(to_base64_caller(THEIRS, &from_provider(THEIRS, "AAECAw==")), "AAECAw==");
    }

    #[test]
    fn an_own_value_goes_to_the_caller_bare() {
        let marked = from_provider(OURS, "sig==");
        assert_eq!(to_caller(OURS, &marked), "sig==");
        assert_eq!(from_caller(OURS, "sig=="), marked);
    }
}
