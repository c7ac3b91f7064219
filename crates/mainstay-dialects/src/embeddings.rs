//! Embeddings in the dialects that have them: requests written and answers read for providers, the reverse for fronts.
//! The failures of these calls are those of the dialect's other calls.

pub mod gemini;
pub mod openai;

use mainstay_core::Result;
use mainstay_core::embedding::Embeddings;

use crate::failure::bad_response;

/// Holds an answer to its request. Errors: `PROVIDER_BAD_RESPONSE` where vectors are missing, empty or of several
/// lengths, or a number is none.
pub(crate) fn complete(answer: Embeddings, inputs: usize) -> Result<Embeddings> {
    let length = answer.vectors.first().map_or(0, Vec::len);
    if answer.vectors.len() != inputs || length == 0 {
        return Err(bad_response("it does not have a vector for each text"));
    }
    let sound = |vector: &Vec<f32>| vector.len() == length && vector.iter().all(|number| number.is_finite());
    if !answer.vectors.iter().all(sound) {
        return Err(bad_response("its vectors differ in length, or hold what is no number"));
    }
    Ok(answer)
}

/// A list of numbers as a vector. What is no number becomes one that [`complete`] refuses.
#[expect(clippy::cast_possible_truncation, reason = "vectors are kept in single precision")]
fn vector(list: &[serde_json::Value]) -> Vec<f32> {
    list.iter().map(|number| number.as_f64().map_or(f32::NAN, |number| number as f32)).collect()
}
