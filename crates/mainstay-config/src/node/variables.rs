//! Variables in values: `$NAME` and `${NAME}`, as Go's `os.ExpandEnv` reads them. Asks a function for what they stand
//! for.

use super::Variables;

/// Characters that are a whole name by themselves.
const SPECIAL: &str = "*#$@!?-0123456789";

/// Fills in variables; those without a value become nothing.
pub(super) fn expand(text: &str, variables: Variables<'_>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, taken) = name(after);
        if taken == 0 {
            // A lone dollar stays.
            out.push('$');
        } else if let Some(name) = name {
            out.push_str(&variables(name).unwrap_or_default());
        }
        rest = &after[taken..];
    }
    out + rest
}

/// The name that a text begins with, and the bytes it takes; no name where it takes some and is none.
fn name(text: &str) -> (Option<&str>, usize) {
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.find('}') {
            Some(0) => (None, 2),
            Some(end) => (Some(&braced[..end]), end + 2),
            // Bad syntax: the brace goes, as there.
            None => (None, 1),
        };
    }
    let first = text.chars().next().filter(|c| SPECIAL.contains(*c));
    if let Some(first) = first {
        return (Some(&text[..first.len_utf8()]), first.len_utf8());
    }
    let end = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    (Some(&text[..end]).filter(|_| end > 0), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let variables = |name: &str| match name {
            "HOST" => Some("db".to_owned()),
            "1" => Some("one".to_owned()),
            _ => None,
        };
        assert_eq!(expand(text, &variables), expect, "{text:?}");
    }

    #[test]
    fn names_become_what_they_stand_for() {
        check("${HOST}:5432", "db:5432");
        check("a $HOST b", "a db b");
        check("$HOST_x$1x", "onex");
        check("$NONE-${NONE}", "-");
    }

    #[test]
    fn what_is_no_name_is_as_in_a_shell() {
        check("5$", "5$");
        check("a $ b", "a $ b");
        check("${}x", "x");
        check("${x", "x");
        check("ä$HOSTä", "ädbä");
    }
}
