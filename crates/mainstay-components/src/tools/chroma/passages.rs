//! What is asked of a collection and what comes back. Pure.

use mainstay_core::{Error, Result, codes};
use serde_json::{Map, Value, json};

/// The body of a query with one vector.
pub(super) fn query(vector: &[f32], passages_max: u32, filter: Option<&Map<String, Value>>) -> Value {
    let mut body = json!({
        "query_embeddings": [vector],
        "n_results": passages_max,
        "include": ["documents", "metadatas", "distances"],
    });
    if let Some(filter) = filter {
        body["where"] = Value::Object(filter.clone());
    }
    body
}

/// The id in a collection's description. Errors: `TOOL_UNAVAILABLE` where there is none, so that whatever answered is
/// no Chroma.
pub(super) fn collection_id(body: &[u8]) -> Result<String> {
    let wire: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = wire["id"].as_str().filter(|id| !id.is_empty() && id.bytes().all(is_of_an_id));
    id.map(str::to_owned).ok_or_else(|| strange("a collection without an id"))
}

fn is_of_an_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// The passages of an answer, nearest first, as the model reads them: JSON with the text, its id, its metadata and its
/// distance. Errors: `TOOL_UNAVAILABLE` where the answer has another form.
pub(super) fn told(body: &[u8], distance_max: Option<f64>) -> Result<String> {
    let wire: Value = serde_json::from_slice(body).map_err(|error| strange("no JSON").with_source(error))?;
    let ids = wire["ids"][0].as_array().ok_or_else(|| strange("no list of passages"))?;
    let mut passages = Vec::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        let distance = wire["distances"][0][at].as_f64();
        if let (Some(distance), Some(most)) = (distance, distance_max)
            && distance > most
        {
            continue;
        }
        let mut passage = json!({ "id": id, "text": wire["documents"][0][at] });
        if let Some(distance) = distance {
            passage["distance"] = json!((distance * 1e4).round() / 1e4);
        }
        let metadata = &wire["metadatas"][0][at];
        if metadata.is_object() {
            passage["metadata"] = metadata.clone();
        }
        passages.push(passage);
    }
    if passages.is_empty() {
        return Ok(r#"{"passages":[],"note":"nothing in the collection is near this question"}"#.to_owned());
    }
    Ok(json!({ "passages": passages }).to_string())
}

fn strange(what: &str) -> Error {
    Error::new(&codes::TOOL_UNAVAILABLE, format!("the tool's server answered with {what}; is it a Chroma?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = br#"{"ids":[["a","b"]],"documents":[["near",null]],"metadatas":[[{"page":3},null]],
        "distances":[[0.123456,0.9]],"embeddings":null,"uris":null,"include":["distances"]}"#;

    #[test]
    fn passages_are_told_with_where_they_stand_and_how_far_they_are() {
        let all: Value = serde_json::from_str(&told(ANSWER, None).unwrap()).unwrap();
        let first = json!({"id": "a", "text": "near", "distance": 0.1235, "metadata": {"page": 3}});
        assert_eq!((&all["passages"][0], all["passages"].as_array().unwrap().len()), (&first, 2));
    }

    #[test]
    fn what_is_too_far_is_left_out_and_nothing_is_said_to_be_nothing() {
        assert!(!told(ANSWER, Some(0.5)).unwrap().contains(r#""id":"b""#));
        assert!(told(ANSWER, Some(0.1)).unwrap().contains("nothing in the collection"));
        assert!(told(br#"{"ids":[[]]}"#, None).unwrap().contains("nothing in the collection"));
    }

    #[test]
    fn an_answer_of_another_form_is_an_error() {
        for body in [&b"<html>"[..], b"{}", br#"{"ids":[]}"#] {
            assert_eq!(told(body, None).unwrap_err().code().id, "TOOL_UNAVAILABLE");
        }
        for body in [&b"{}"[..], br#"{"id":"../x"}"#, br#"{"id":7}"#] {
            assert!(collection_id(body).is_err());
        }
    }

    #[test]
    fn a_filter_travels_as_it_was_written() {
        let filter = json!({"product": "kettle"});
        let body = query(&[0.5], 2, filter.as_object());
        assert_eq!((&body["where"], &body["n_results"]), (&filter, &json!(2)));
        assert!(query(&[0.5], 2, None).get("where").is_none());
    }
}
