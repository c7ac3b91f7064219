//! Numbers as the targets write them, from one model: thousandths of a core and bytes.

/// Processor time as Kubernetes writes it: `250m`, `2`.
pub(crate) fn cpu(milli: u32) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// Cores with a point: `0.25`, `2.0`.
pub(crate) fn cores(milli: u32) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

/// Bytes in the largest binary unit that divides them: `256Mi`, `1Gi`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    let unit = UNITS.iter().find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(|| bytes.to_string(), |(name, size)| format!("{}{name}", bytes / size))
}

/// A word that a POSIX shell takes as one.
pub(crate) fn shell(word: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@' | ':' | ',' | '=')
    };
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_in_their_platforms_units() {
        assert_eq!([cpu(250), cpu(1000), cpu(1500)], ["250m", "1", "1500m"]);
        assert_eq!([cores(250), cores(1000), cores(1500), cores(5)], ["0.25", "1.0", "1.5", "0.005"]);
        assert_eq!(
            [bytes(256 << 20), bytes(1 << 30), bytes(1000), bytes(1536 << 20)],
            ["256Mi", "1Gi", "1000", "1536Mi"]
        );
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(
            [shell("a/b"), shell("a b"), shell("it's"), shell("")],
            ["a/b", "'a b'", r"'it'\''s'", "''"]
        );
    }
}
