//! Reads JSON objects field by field: each field is taken once, a wrong type names its dotted path, and what is left
//! over at the end is what the dialect does not know.

use mainstay_core::{Error, Result, codes};
use serde_json::{Map, Value};

/// An object being read. Null counts as absent.
#[derive(Debug)]
pub(crate) struct Object {
    path: String,
    fields: Map<String, Value>,
}

impl Object {
    /// A whole body. Errors: `INVALID_JSON` with line and column, `INVALID_FIELD` when it is no object.
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self { path: String::new(), fields }),
            Ok(_) => Err(Error::new(&codes::INVALID_FIELD, "read the body: it must be a JSON object")),
            Err(error) => {
                // serde_json counts columns from 1 but gives 0 at the start of a line.
                let (line, column) = (error.line(), error.column().max(1));
                let what = error.to_string();
                let what = what.split(" at line ").next().unwrap_or_default();
                let message = format!("parse the body as JSON: {what} at line {line}, column {column}");
                Err(Error::new(&codes::INVALID_JSON, message))
            }
        }
    }

    /// A value inside a body, at its dotted path.
    pub(crate) fn of(value: Value, path: String) -> Result<Self> {
        match value {
            Value::Object(fields) => Ok(Self { path, fields }),
            _ => Err(wrong(&path, "an object")),
        }
    }

    /// The dotted path of a member.
    pub(crate) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.fields.shift_remove(key).filter(|value| !value.is_null())
    }

    pub(crate) fn peek(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn require(&mut self, key: &str) -> Result<Value> {
        self.take(key).ok_or_else(|| missing(&self.at(key)))
    }

    pub(crate) fn string(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(&self.at(key), "a string")),
        }
    }

    pub(crate) fn require_string(&mut self, key: &str) -> Result<String> {
        self.string(key)?.ok_or_else(|| missing(&self.at(key)))
    }

    pub(crate) fn boolean(&mut self, key: &str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(&self.at(key), "true or false")),
        }
    }

    /// A number within `low..=high`.
    pub(crate) fn number(&mut self, key: &str, low: f64, high: f64) -> Result<Option<f64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
            _ => Err(wrong(&self.at(key), &format!("a number from {low} to {high}"))),
        }
    }

    pub(crate) fn integer(&mut self, key: &str) -> Result<Option<i64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| wrong(&self.at(key), "an integer"))
    }

    /// A count of at least one.
    pub(crate) fn count(&mut self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let count = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        count.map(Some).ok_or_else(|| wrong(&self.at(key), "a whole number of at least 1"))
    }

    pub(crate) fn array(&mut self, key: &str) -> Result<Option<Vec<Value>>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(wrong(&self.at(key), "an array")),
        }
    }

    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Object>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        Self::of(value, self.at(key)).map(Some)
    }

    /// The objects of an array; absent is empty.
    pub(crate) fn objects(&mut self, key: &str) -> Result<Vec<Object>> {
        let path = self.at(key);
        let items = self.array(key)?.unwrap_or_default();
        items.into_iter().enumerate().map(|(i, item)| Self::of(item, format!("{path}.{i}"))).collect()
    }

    /// The strings of an array; absent is empty.
    pub(crate) fn strings(&mut self, key: &str) -> Result<Vec<String>> {
        let path = self.at(key);
        let items = self.array(key)?.unwrap_or_default();
        let text = |(i, item)| match item {
            Value::String(text) => Ok(text),
            _ => Err(wrong(&format!("{path}.{i}"), "a string")),
        };
        items.into_iter().enumerate().map(text).collect()
    }

    /// Moves the fields that nobody took to `rest`: by their names at the top, by their dotted paths below.
    pub(crate) fn leave(self, rest: &mut Map<String, Value>) {
        for (key, value) in self.fields {
            if !value.is_null() {
                let path = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
                rest.insert(path, value);
            }
        }
    }

    /// A copy of the fields that nobody took so far.
    pub(crate) fn clone_fields(&self) -> Map<String, Value> {
        self.fields.clone()
    }

    /// The fields that nobody took.
    pub(crate) fn into_fields(self) -> Map<String, Value> {
        self.fields
    }
}

pub(crate) fn wrong(path: &str, wanted: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, format!("read `{path}`: it must be {wanted}")).with_field(path)
}

pub(crate) fn missing(path: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, format!("read `{path}`: it is missing")).with_field(path)
}
