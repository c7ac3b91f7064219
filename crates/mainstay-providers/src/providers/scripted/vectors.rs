//! Embeddings without a model: a text's words, counted into as many places as the vector has. Texts that share words
//! are near each other, and the same text gives the same vector on every machine. Synonyms are strangers to it.

use mainstay_core::embedding::{EmbedRequest, Embeddings};

/// Numbers in a vector that nobody asked to be shorter or longer.
const DIMENSIONS: u32 = 512;

/// Words that say nothing of what a text is about, and are not counted.
const SILENT: [&str; 24] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "do", "does", "for", "how", "in", "is", "it", "of",
    "on", "or", "the", "to", "what", "when", "with", "you",
];

pub(super) fn embed(request: &EmbedRequest) -> Embeddings {
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS) as usize;
    let words = request.inputs.iter().map(|text| text.split_whitespace().count() as u64);
    Embeddings {
        model: request.model.clone(),
        vectors: request.inputs.iter().map(|text| vector(text, dimensions)).collect(),
        input_tokens: words.sum(),
    }
}

fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words.filter(|word| !SILENT.contains(word)) {
        vector[place(stem(word), dimensions)] += 1.0;
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length == 0.0 {
        // A text without a word has a direction too, since there is no distance from nothing.
        vector[0] = 1.0;
        return vector;
    }
    vector.iter_mut().for_each(|number| *number /= length);
    vector
}

/// A word without the ending of a plural.
fn stem(word: &str) -> &str {
    word.strip_suffix('s').filter(|stem| stem.len() > 2 && !stem.ends_with('s')).unwrap_or(word)
}

/// FNV-1a, so that the place is the same in every build.
fn place(word: &str, dimensions: usize) -> usize {
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % dimensions as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearness(left: &str, right: &str) -> f32 {
        let (left, right) = (vector(left, 256), vector(right, 256));
        left.iter().zip(&right).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn texts_that_share_words_are_nearer_than_those_that_do_not() {
        let asked = "How do I return an order?";
        assert!(
            nearness(asked, "Orders can be returned; a return is free.")
                > nearness(asked, "We open at nine.")
        );
        assert!((nearness(asked, asked) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_text_without_words_has_a_vector_of_the_length_asked_for() {
        let request = EmbedRequest {
            inputs: vec!["?!".into(), "the".into()],
            dimensions: Some(8),
            ..EmbedRequest::default()
        };
        let answer = embed(&request);
        assert!(answer.vectors.iter().all(|vector| vector.len() == 8 && vector[0] == 1.0));
    }
}
