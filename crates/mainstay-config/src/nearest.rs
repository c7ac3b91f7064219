//! "Did you mean": the known word nearest to an unknown one. Suggests nothing rather than something far off.

/// Candidates looked at; a spec beyond its bounds must not cost seconds.
const CANDIDATES_MAX: usize = 2_000;
/// Bytes of a word that is still compared.
const WORD_BYTES_MAX: usize = 64;

/// The nearest of `known` to `word`, if one is near: case and separators aside, at most a third of it edited.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let folded = fold(word);
    let allowed = |other: &str| (folded.len().max(other.len()) / 3).max(1);
    known
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .map(|candidate| (candidate, fold(candidate)))
        .map(|(candidate, other)| (candidate, strsim::damerau_levenshtein(&folded, &other), allowed(&other)))
        .filter(|(_, edits, allowed)| edits <= allowed)
        .min_by_key(|(_, edits, _)| *edits)
        .map(|(candidate, ..)| candidate)
}

/// The help for an unknown word: the nearest known one, else what there is to choose from.
pub fn help<'k>(word: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> Option<String> {
    match nearest(word, known.clone()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None => among("there is", "there are", known),
    }
}

/// The choices after a verb in the right number; `None` when there are none.
pub(crate) fn among<'k>(one: &str, many: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let lead = if known.len() == 1 { one } else { many };
    choices(known).map(|list| format!("{lead} {list}"))
}

/// A bounded list of names in backticks; `None` when there are none.
pub(crate) fn choices<'k>(known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    const SHOWN_MAX: usize = 16;
    let names: Vec<&str> = known.into_iter().collect();
    let shown: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN_MAX);
    match shown.len() {
        0 => None,
        _ if more > 0 => Some(format!("{} and {more} more", shown.join(", "))),
        _ => Some(shown.join(", ")),
    }
}

fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expect: Option<&str>) {
        assert_eq!(nearest(word, ["listen", "drain", "request_timeout", "body_bytes_max"]), expect, "{word}");
    }

    #[test]
    fn typing_errors_find_their_word() {
        check("lisen", Some("listen"));
        check("drian", Some("drain"));
        check("requestTimeout", Some("request_timeout"));
        check("body-bytes-max", Some("body_bytes_max"));
    }

    #[test]
    fn a_word_far_from_all_finds_none() {
        check("port", None);
        check("", None);
        check(&"x".repeat(500), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..40).map(|n| format!("n{n}")).collect();
        let list = choices(names.iter().map(String::as_str)).unwrap();
        assert!(list.ends_with("`n15` and 24 more"), "{list}");
    }
}
