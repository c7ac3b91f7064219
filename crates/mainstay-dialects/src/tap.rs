//! Finds out cheaply whether a frame is worth reading: most frames of a stream carry neither usage nor an end.

use memchr::memmem;

/// Whether `bytes` have a member `key` (with its quotes) whose value begins with `first`. May err towards yes, never
/// towards no.
pub(crate) fn has_member(bytes: &[u8], key: &[u8], first: u8) -> bool {
    memmem::find_iter(bytes, key).any(|at| {
        let after = &bytes[at + key.len()..];
        let mut after = after.iter().filter(|b| !b.is_ascii_whitespace());
        after.next() == Some(&b':') && after.next() == Some(&first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_counts_by_how_its_value_begins() {
        let usage = |text: &str| has_member(text.as_bytes(), b"\"usage\"", b'{');
        assert!(usage(r#"{"usage" : {"a":1}}"#) && usage(r#"{"usage":null,"x":{"usage":{}}}"#));
        assert!(
            !usage(r#"{"usage":null}"#) && !usage(r#"{"content":"\"usage\":{"}"#) && !usage(r#"{"usage""#)
        );
    }
}
