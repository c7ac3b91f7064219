//! OpenAI's embeddings: `POST {base}/embeddings`. Texts alone: token numbers belong to one vendor's tokenizer.
//! Wire format: <https://platform.openai.com/docs/api-reference/embeddings>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_core::Result;
use mainstay_core::embedding::{EmbedRequest, Embeddings};
use serde_json::{Value, json};

use super::{complete, vector};
use crate::failure::{bad_json, bad_response};
use crate::object::{Object, wrong};

/// How vectors are written in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As lists of numbers.
    Floats,
    /// As base64 of their little-endian bytes, which the official clients ask for.
    Base64,
}

/// Reads a request. Errors: `INVALID_JSON`, `INVALID_FIELD` naming the field.
pub fn decode_request(body: &[u8]) -> Result<(EmbedRequest, Format)> {
    let mut wire = Object::parse(body)?;
    let model = wire.require_string("model")?;
    let inputs = texts(wire.require("input")?)?;
    let most = f64::from(EmbedRequest::DIMENSIONS_MAX);
    let dimensions = wire.number("dimensions", 1.0, most)?.map(whole).transpose()?;
    if u64::from(dimensions.unwrap_or(1)) * inputs.len() as u64 > EmbedRequest::NUMBERS_MAX {
        let most = format!("fewer: {} numbers at most for all texts together", EmbedRequest::NUMBERS_MAX);
        return Err(wrong("dimensions", &most));
    }
    let format = match wire.string("encoding_format")?.as_deref() {
        None | Some("float") => Format::Floats,
        Some("base64") => Format::Base64,
        Some(_) => return Err(wrong("encoding_format", "`float` or `base64`")),
    };
    Ok((EmbedRequest { model, inputs, dimensions }, format))
}

fn texts(input: Value) -> Result<Vec<String>> {
    let list = match input {
        Value::String(text) => vec![Value::String(text)],
        Value::Array(list) => list,
        _ => return Err(wrong("input", "a text or a list of texts")),
    };
    if list.is_empty() || list.len() > EmbedRequest::INPUTS_MAX {
        return Err(wrong("input", &format!("1 to {} texts", EmbedRequest::INPUTS_MAX)));
    }
    let text = |value: Value| match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        Value::String(_) => Err(wrong("input", "texts that are not empty")),
        _ => Err(wrong("input", "a text or a list of texts; token numbers are not read")),
    };
    list.into_iter().map(text).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number is within bounds")]
fn whole(number: f64) -> Result<u32> {
    if number.fract() == 0.0 { Ok(number as u32) } else { Err(wrong("dimensions", "a whole number")) }
}

/// Writes a request for a provider.
#[must_use]
pub fn encode_request(request: &EmbedRequest) -> Bytes {
    let mut body = json!({ "model": request.model, "input": request.inputs, "encoding_format": "float" });
    if let Some(dimensions) = request.dimensions {
        body["dimensions"] = dimensions.into();
    }
    body.to_string().into()
}

/// Reads an answer to so many texts. Errors: `PROVIDER_BAD_RESPONSE`.
pub fn decode_response(body: &[u8], inputs: usize) -> Result<Embeddings> {
    let wire: Value = serde_json::from_slice(body).map_err(|error| bad_json(&error))?;
    let list = wire["data"].as_array().ok_or_else(|| bad_response("its list of vectors is missing"))?;
    let mut vectors = vec![Vec::new(); inputs];
    for (place, item) in list.iter().enumerate() {
        // Compatible servers leave the index out, and then the order is meant.
        let at = item["index"].as_u64().map_or(place, |index| usize::try_from(index).unwrap_or(usize::MAX));
        let slot = vectors.get_mut(at).ok_or_else(|| bad_response("it has a vector too many"))?;
        *slot = match &item["embedding"] {
            Value::Array(numbers) => vector(numbers),
            Value::String(text) => from_base64(text)?,
            _ => return Err(bad_response("a vector is missing")),
        };
    }
    let model = wire["model"].as_str().unwrap_or_default().to_owned();
    let input_tokens = wire["usage"]["prompt_tokens"].as_u64().unwrap_or(0);
    complete(Embeddings { model, vectors, input_tokens }, inputs)
}

fn from_base64(text: &str) -> Result<Vec<f32>> {
    let bytes = STANDARD.decode(text).map_err(|_| bad_response("a vector is not base64"))?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(bad_response("a vector is cut"));
    }
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

/// Writes an answer for the model `model`, the name that was asked for.
#[must_use]
pub fn encode_response(answer: &Embeddings, model: &str, format: Format) -> Bytes {
    let written = |vector: &Vec<f32>| match format {
        Format::Floats => json!(vector),
        Format::Base64 => {
            STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()).into()
        }
    };
    let item =
        |(index, vector)| json!({ "object": "embedding", "index": index, "embedding": written(vector) });
    let data: Vec<Value> = answer.vectors.iter().enumerate().map(item).collect();
    let tokens = answer.input_tokens;
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    json!({ "object": "list", "data": data, "model": model, "usage": usage }).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(body: &str, part: &str) {
        let error = decode_request(body.as_bytes()).unwrap_err();
        assert!(error.message().contains(part), "{body}: {error}");
    }

    #[test]
    fn a_text_and_a_list_of_texts_are_read() {
        let (one, format) = decode_request(br#"{"model":"m","input":"a","user":"u"}"#).unwrap();
        assert_eq!(
            (one.inputs.as_slice(), one.dimensions, format),
            (&["a".to_owned()][..], None, Format::Floats)
        );
        let body = br#"{"model":"m","input":["a","b"],"dimensions":64,"encoding_format":"base64"}"#;
        let (two, format) = decode_request(body).unwrap();
        assert_eq!((two.inputs.len(), two.dimensions, format), (2, Some(64), Format::Base64));
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        refused(r#"{"input":"a"}"#, "model");
        refused(r#"{"model":"m","input":[]}"#, "1 to 2048 texts");
        refused(r#"{"model":"m","input":""}"#, "not empty");
        refused(r#"{"model":"m","input":[[1,2]]}"#, "token numbers are not read");
        refused(r#"{"model":"m","input":"a","dimensions":1.5}"#, "whole number");
        refused(r#"{"model":"m","input":"a","encoding_format":"hex"}"#, "`float` or `base64`");
        let many = serde_json::json!({"model": "m", "input": vec!["a"; 2048], "dimensions": 65_536});
        refused(&many.to_string(), "8388608 numbers at most");
    }

    #[test]
    fn what_is_written_is_read_again_in_both_formats() {
        let answer = Embeddings {
            model: "m".into(),
            vectors: vec![vec![0.5, -1.25], vec![0.0, 3.0]],
            input_tokens: 7,
        };
        for format in [Format::Floats, Format::Base64] {
            let body = encode_response(&answer, "m", format);
            assert_eq!(decode_response(&body, 2).unwrap(), answer, "{format:?}");
        }
    }

    #[test]
    fn an_answer_that_is_not_whole_is_a_bad_one() {
        for body in [
            r#"{"data":[]}"#,
            r#"{"data":[{"index":0,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":["x"]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1]},{"index":9,"embedding":[1]}]}"#,
            "[]",
        ] {
            let error = decode_response(body.as_bytes(), 2).unwrap_err();
            assert_eq!(error.code().id, "PROVIDER_BAD_RESPONSE", "{body}");
        }
    }
}
