//! An app's answer to an event of a binding, as JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_core::callback::{BindingAnswer, Follow, FollowState};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default, deserialize_with = "or_default")]
    store_name: String,
    #[serde(default, deserialize_with = "or_default")]
    state: Vec<Item>,
    #[serde(default, deserialize_with = "or_default")]
    to: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    concurrency: String,
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Item {
    key: String,
    value: Option<Box<RawValue>>,
    etag: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    metadata: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    options: Options,
}

#[derive(Default, Deserialize)]
struct Options {
    #[serde(default, deserialize_with = "or_default")]
    concurrency: String,
}

/// `null` is as good as nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(reader: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

/// Reads the answer. One that asks for nothing, in these words or at all, is no fault: the app may answer what it
/// likes.
pub(super) fn read(body: Bytes) -> BindingAnswer {
    let follow = serde_json::from_slice::<Wire>(&body).map(follow).unwrap_or_default();
    BindingAnswer { data: body, follow }
}

fn follow(wire: Wire) -> Follow {
    Follow {
        store: wire.store_name,
        state: wire.state.into_iter().map(item).collect(),
        to: wire.to,
        parallel: wire.concurrency == "parallel",
        data: text(wire.data.as_deref()),
    }
}

fn item(wire: Item) -> FollowState {
    FollowState {
        key: wire.key,
        value: text(wire.value.as_deref()),
        is_json: true,
        etag: wire.etag,
        concurrency: wire.options.concurrency,
        metadata: wire.metadata,
    }
}

fn text(raw: Option<&RawValue>) -> Bytes {
    Bytes::copy_from_slice(raw.map_or("null", RawValue::get).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_asks_for_is_read() {
        let body = br#"{"storeName":"kept","state":[{"key":"k","value":{"n":1},"options":{"concurrency":"first-write"}}],
            "to":["a","b"],"concurrency":"parallel","data":{"x": 2}}"#;
        let answer = read(Bytes::from_static(body));
        let follow = answer.follow;
        assert_eq!((follow.store.as_str(), follow.to.len(), follow.parallel), ("kept", 2, true));
        assert_eq!((&follow.data[..], &follow.state[0].value[..]), (&br#"{"x": 2}"#[..], &br#"{"n":1}"#[..]));
        assert_eq!(follow.state[0].concurrency, "first-write");
        assert_eq!(answer.data, body[..]);
    }

    #[test]
    fn any_other_answer_asks_for_nothing() {
        for body in ["", "ok", "[]", "1", "{}", r#"{"to":5}"#, r#"{"state":null,"to":null}"#] {
            let follow = read(Bytes::from_static(body.as_bytes())).follow;
            assert!(follow.state.is_empty() && follow.to.is_empty(), "{body}");
        }
    }
}
