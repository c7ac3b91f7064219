//! Gemini's embeddings: `POST {base}/models/{model}:batchEmbedContents`. It reports no model and may report no tokens.
//! Wire format: <https://ai.google.dev/api/embeddings>.

use bytes::Bytes;
use mainstay_core::Result;
use mainstay_core::embedding::{EmbedRequest, Embeddings};
use serde_json::{Value, json};

use super::{complete, vector};
use crate::failure::{bad_json, bad_response};

/// Writes a request. The model stands in the path and in each text's own request.
#[must_use]
pub fn encode_request(request: &EmbedRequest) -> Bytes {
    let model = request.model.strip_prefix("models/").unwrap_or(&request.model);
    let one = |text: &String| {
        let mut one =
            json!({ "model": format!("models/{model}"), "content": { "parts": [{ "text": text }] } });
        if let Some(dimensions) = request.dimensions {
            one["outputDimensionality"] = dimensions.into();
        }
        one
    };
    json!({ "requests": request.inputs.iter().map(one).collect::<Vec<_>>() }).to_string().into()
}

/// Reads an answer to `request`. Errors: `PROVIDER_BAD_RESPONSE`.
pub fn decode_response(body: &[u8], request: &EmbedRequest) -> Result<Embeddings> {
    let wire: Value = serde_json::from_slice(body).map_err(|error| bad_json(&error))?;
    let list = wire["embeddings"].as_array().ok_or_else(|| bad_response("its list of vectors is missing"))?;
    let vectors = list.iter().map(|one| one["values"].as_array().map_or_else(Vec::new, |list| vector(list)));
    let answer = Embeddings {
        model: request.model.clone(),
        vectors: vectors.collect(),
        input_tokens: wire["usageMetadata"]["promptTokenCount"].as_u64().unwrap_or(0),
    };
    complete(answer, request.inputs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_a_request_of_its_own() {
        let inputs = vec!["a".to_owned(), "b".to_owned()];
        let request = EmbedRequest { model: "models/embed-1".into(), inputs, dimensions: Some(2) };
        let wire: Value = serde_json::from_slice(&encode_request(&request)).unwrap();
        let second = json!({"model": "models/embed-1", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 2});
        assert_eq!((wire["requests"].as_array().unwrap().len(), &wire["requests"][1]), (2, &second));
        let body =
            br#"{"embeddings":[{"values":[1,2]},{"values":[3,4]}],"usageMetadata":{"promptTokenCount":5}}"#;
        let answer = decode_response(body, &request).unwrap();
        assert_eq!((answer.vectors[1].as_slice(), answer.input_tokens), (&[3.0, 4.0][..], 5));
        let short = decode_response(br#"{"embeddings":[{"values":[1,2]}]}"#, &request).unwrap_err();
        assert_eq!(short.code().id, "PROVIDER_BAD_RESPONSE");
    }
}
