//! Questions that name addresses, in the shape that a schema asks for and in every place where a service may look for one.

use serde_json::{Map, Value, json};

/// How many forms of a question there are, from the fullest to the plainest.
pub(super) const VARIANTS: usize = 3;
/// Tokens of an answer, where they can be bounded.
const TOKENS_MAX: u32 = 16;
/// Where a question's text stands.
const TEXTS: [&str; 6] = ["query", "question", "prompt", "input", "text", "message"];
/// Names of fields that are often fetched.
const ADDRESSES: [&str; 10] = [
    "callback_url",
    "webhook",
    "webhook_url",
    "url",
    "uri",
    "image_url",
    "file_url",
    "document_url",
    "source_url",
    "avatar_url",
];

/// The schema behind a reference of the same document.
pub(super) fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let named = schema["$ref"].as_str().and_then(|name| document.pointer(name.strip_prefix('#')?));
    named.unwrap_or(schema)
}

/// A question to an operation.
pub(super) struct Question<'q> {
    /// The path, which tells dialects apart.
    pub(super) path: &'q str,
    /// What the operation says of its body.
    pub(super) schema: &'q Value,
    /// The name of a model, for operations that want one.
    pub(super) model: Option<&'q str>,
    /// The addresses.
    pub(super) urls: &'q [String],
}

impl Question<'_> {
    /// The body, as text.
    pub(super) fn body(&self, variant: usize) -> String {
        self.shape(variant).to_string()
    }

    /// The body: 0 has fields that the schema does not name, 1 only those that it does, 2 nothing but text.
    pub(super) fn shape(&self, variant: usize) -> Value {
        let has = |name: &str| self.schema["properties"].get(name).is_some();
        let mut body = if has("messages") && self.path.ends_with("/messages") {
            self.conversation(variant, anthropic)
        } else if has("messages") {
            self.conversation(variant, openai)
        } else if has("input") && self.path.ends_with("/responses") {
            let mut body = self.fields(variant);
            body.insert(
                "input".into(),
                json!([{ "role": "user", "content": self.parts(variant, responses) }]),
            );
            body
        } else {
            self.fields(variant)
        };
        if variant == 0 {
            let first = self.first();
            for name in ADDRESSES {
                body.entry(name).or_insert_with(|| first.into());
            }
            body.entry("metadata").or_insert_with(|| json!({ "callback_url": first, "url": first }));
        }
        Value::Object(body)
    }

    fn first(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }

    fn text(&self) -> String {
        format!("Read these pages and answer with one word: {}", self.urls.join(" "))
    }

    /// A body of named fields.
    fn fields(&self, variant: usize) -> Map<String, Value> {
        let mut body = Map::new();
        let named = self.schema["properties"].as_object().into_iter().flatten();
        for (name, property) in named {
            let given = match name.as_str() {
                "model" => self.model.map(Value::from),
                "max_tokens" | "max_output_tokens" => Some(TOKENS_MAX.into()),
                name if TEXTS.contains(&name) => Some(self.text().into()),
                "context" if variant < 2 => Some(self.context(property)),
                name if variant < 2 && is_address(name, property) => Some(self.first().into()),
                _ => None,
            };
            body.extend(given.map(|given| (name.clone(), given)));
        }
        if !TEXTS.iter().any(|name| body.contains_key(*name)) {
            body.insert(TEXTS[0].to_owned(), self.text().into());
        }
        body
    }

    /// What stands beside a question: text where the schema wants that.
    fn context(&self, property: &Value) -> Value {
        let kinds = property["type"].as_array().into_iter().flatten().chain([&property["type"]]);
        if kinds.into_iter().any(|kind| kind == "string") {
            return self.urls.join(" ").into();
        }
        json!({ "url": self.first(), "callback_url": self.first(), "sources": self.urls })
    }

    /// A body with one message.
    fn conversation(&self, variant: usize, part: fn(&str, bool) -> Vec<Value>) -> Map<String, Value> {
        let content = self.parts(variant, part);
        let mut body = Map::new();
        body.insert("model".into(), self.model.unwrap_or("default").into());
        body.insert("max_tokens".into(), TOKENS_MAX.into());
        body.insert("messages".into(), json!([{ "role": "user", "content": content }]));
        body
    }

    /// The parts of a message: the text, then what names an address in the dialect's own way.
    fn parts(&self, variant: usize, part: fn(&str, bool) -> Vec<Value>) -> Vec<Value> {
        let kind = if self.path.ends_with("/responses") { "input_text" } else { "text" };
        let mut parts = vec![json!({ "type": kind, "text": self.text() })];
        if variant < 2 {
            parts.extend(self.urls.iter().flat_map(|url| part(url, variant == 0)));
        }
        parts
    }
}

/// Whether a field is for an address.
fn is_address(name: &str, property: &Value) -> bool {
    let format = property["format"].as_str().unwrap_or_default();
    matches!(format, "uri" | "url" | "iri" | "uri-reference") || ADDRESSES.contains(&name)
}

/// Pictures and, beside them, sounds and files in the fields of `/v1/chat/completions`.
fn openai(url: &str, all: bool) -> Vec<Value> {
    let mut parts = vec![json!({ "type": "image_url", "image_url": { "url": url } })];
    if all {
        parts.push(json!({ "type": "input_audio", "input_audio": { "data": url, "format": "wav" } }));
        parts.push(json!({ "type": "file", "file": { "file_data": url, "filename": "a.pdf" } }));
    }
    parts
}

/// The same of `/v1/responses`.
fn responses(url: &str, all: bool) -> Vec<Value> {
    let mut parts = vec![json!({ "type": "input_image", "image_url": url })];
    if all {
        parts.push(json!({ "type": "input_file", "file_url": url }));
    }
    parts
}

/// The same of `/v1/messages`.
fn anthropic(url: &str, all: bool) -> Vec<Value> {
    let part = |kind: &str| json!({ "type": kind, "source": { "type": "url", "url": url } });
    if all { vec![part("image"), part("document")] } else { vec![part("image")] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(path: &str, schema: &Value) -> Vec<Value> {
        let urls = ["http://127.0.0.1:1/t/0".to_owned(), "http://localhost:1/t/0".to_owned()];
        let question = Question { path, schema, model: Some("chat"), urls: &urls };
        (0..VARIANTS).map(|variant| question.shape(variant)).collect()
    }

    #[test]
    fn a_question_names_addresses_wherever_its_schema_lets_it() {
        let schema = json!({ "properties": {
            "query": { "type": "string" }, "context": { "type": ["object", "null"] }, "max_tokens": {},
            "notify": { "type": "string", "format": "uri" }, "session_id": { "type": "string" },
        } });
        let [full, typed, plain] = shapes("/v1/invoke", &schema).try_into().unwrap();
        assert_eq!(full["callback_url"], "http://127.0.0.1:1/t/0");
        assert_eq!(typed["notify"], "http://127.0.0.1:1/t/0");
        assert_eq!(typed["context"]["sources"].as_array().unwrap().len(), 2);
        assert!(typed.get("callback_url").is_none() && typed.get("session_id").is_none(), "{typed}");
        assert!(plain.as_object().unwrap().len() == 2 && plain["max_tokens"] == 16, "{plain}");
        assert!(plain["query"].as_str().unwrap().contains("http://localhost:1/t/0"));
    }

    #[test]
    fn messages_name_addresses_as_their_dialect_does() {
        let schema = json!({ "properties": { "model": {}, "messages": {} } });
        let parts = |path: &str, variant: usize| {
            let shape = shapes(path, &schema).remove(variant);
            let parts = shape["messages"][0]["content"].as_array().unwrap().clone();
            parts.iter().map(|part| part["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let all = ["text", "image_url", "input_audio", "file", "image_url", "input_audio", "file"];
        assert_eq!(parts("/v1/chat/completions", 0), all);
        assert_eq!(parts("/v1/chat/completions", 1), ["text", "image_url", "image_url"]);
        assert_eq!(parts("/v1/chat/completions", 2), ["text"]);
        assert_eq!(parts("/v1/messages", 0), ["text", "image", "document", "image", "document"]);
        let schema = json!({ "properties": { "model": {}, "input": {} } });
        let shape = shapes("/v1/responses", &schema).remove(1);
        assert_eq!(shape["input"][0]["content"][1]["image_url"], "http://127.0.0.1:1/t/0");
        assert!(shapes("/v1/embeddings", &schema)[1]["input"].is_string());
    }

    #[test]
    fn a_schema_that_says_nothing_is_asked_as_most_are() {
        let shapes = shapes("/ask", &Value::Null);
        assert_eq!(shapes[1], shapes[2]);
        assert!(shapes[2]["query"].is_string());
    }
}
