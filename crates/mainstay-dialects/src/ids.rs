//! Call ids where a dialect has none, or will not take another's. Deterministic: the same wire gives the same ids, so
//! a replay finds its journal entries and a conversation keeps its meaning over many requests.

use std::borrow::Cow;

/// An id made from what identifies a call.
pub(crate) fn made_up(prefix: &str, parts: &[&str]) -> String {
    format!("{prefix}{:016x}", hash(parts))
}

/// An id of letters, digits, `_` and `-` alone. Others get their odd bytes replaced and a hash of the whole, so that
/// two ids stay two.
pub(crate) fn plain(id: &str) -> Cow<'_, str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !id.is_empty() && id.bytes().all(fits) {
        return Cow::Borrowed(id);
    }
    let kept: String = id.chars().map(|c| if c.is_ascii() && fits(c as u8) { c } else { '_' }).collect();
    Cow::Owned(format!("{kept}_{:08x}", hash(&[id]) >> 32))
}

/// FNV-1a, 64 bits, with a separator between parts. Written out because ids must never change with a library.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain(std::iter::once(0)));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_ids_become_plain_and_stay_distinct() {
        assert_eq!(plain("toolu_01-x"), "toolu_01-x");
        assert_ne!(plain("a.b"), plain("a:b"));
        assert_ne!(plain(""), "");
        assert_eq!(plain("a.b"), plain("a.b"));
    }

    #[test]
    fn made_up_ids_are_fixed_for_ever() {
        assert_eq!(made_up("gmc_", &["r", "0"]), "gmc_8be4b020741eb5b7");
        assert_ne!(made_up("", &["ab", ""]), made_up("", &["a", "b"]));
    }
}
