//! Names of things outside, made from the service's: one function, so that every target calls a thing the same.

use sha2::{Digest as _, Sha256};

/// Characters of a name on Kubernetes.
pub(crate) const KUBERNETES_MAX: usize = 63;

/// A name of lower-case letters, digits and `-`, a letter first, at most `max` characters: what every platform takes.
/// A name that had to be cut or changed beyond case ends in a piece of its hash, so that two services never share one.
pub(crate) fn slug(name: &str, max: usize) -> String {
    let clean: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let clean = clean.trim_matches('-');
    let lettered = clean.starts_with(|c: char| c.is_ascii_alphabetic());
    let faithful = lettered && clean.len() <= max && clean == name.to_ascii_lowercase();
    if faithful {
        return clean.to_owned();
    }
    let hash = sha256_hex(name.as_bytes());
    let hash = &hash[..HASH_PIECE];
    let stem = if lettered { clean.to_owned() } else { format!("s-{clean}") };
    let room = max.saturating_sub(HASH_PIECE + 1);
    let stem: String = stem.chars().take(room).collect();
    format!("{}-{hash}", stem.trim_end_matches('-'))
}

const HASH_PIECE: usize = 6;

/// The SHA-256 of bytes, in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_stays_as_it_is() {
        for name in ["support-desk", "a", "Desk2"] {
            assert_eq!(slug(name, 40), name.to_ascii_lowercase());
        }
    }

    #[test]
    fn names_that_differ_get_slugs_that_differ() {
        let names = [
            "a.b",
            "a_b",
            "a-b",
            "-a-b",
            "9a",
            "s-9a",
            "a.b.",
            "A.b",
            "long-long-long-name",
            "long-long-long-nam",
        ];
        let mut slugs: Vec<String> = names.iter().map(|name| slug(name, 16)).collect();
        for slug in &slugs {
            let fits = slug.len() <= 16
                && slug.starts_with(|c: char| c.is_ascii_lowercase())
                && !slug.ends_with('-');
            assert!(
                fits && slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{slug}"
            );
        }
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), names.len());
    }
}
