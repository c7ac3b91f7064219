//! Several messages in one call, as JSON, and what an app says of each.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use mainstay_core::callback::{BulkEntry, BulkEvent, Verdict};
use mainstay_core::{Error, Result, codes};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The type of the envelope around messages.
const TYPE: &str = "com.dapr.event.sent.bulk";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    entry_id: &'a str,
    event: Box<RawValue>,
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    content_type: &'a str,
}

#[derive(Serialize)]
struct Envelope<'a> {
    id: &'a str,
    r#type: &'a str,
    topic: &'a str,
    pubsubname: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
    entries: Vec<Entry<'a>>,
}

/// The body of the call. Errors: `INTERNAL` for an envelope that is no JSON.
pub(super) fn body(event: &BulkEvent) -> Result<Bytes> {
    let entries = event.entries.iter().map(entry).collect::<serde_json::Result<Vec<_>>>();
    let made = entries.and_then(|entries| {
        serde_json::to_vec(&Envelope {
            id: &event.id,
            r#type: TYPE,
            topic: &event.topic,
            pubsubname: &event.pubsub,
            metadata: BTreeMap::from([("pubsubName", event.pubsub.as_str())]),
            entries,
        })
    });
    made.map(Bytes::from).map_err(|error| Error::bug(format!("write the messages of a call: {error}")))
}

fn entry(entry: &BulkEntry) -> serde_json::Result<Entry<'_>> {
    let event = if entry.is_envelope {
        serde_json::from_slice(&entry.content)?
    } else {
        RawValue::from_string(serde_json::to_string(&STANDARD.encode(&entry.content))?)?
    };
    Ok(Entry { entry_id: &entry.id, event, metadata: &entry.metadata, content_type: &entry.content_type })
}

#[derive(Deserialize)]
struct Answer {
    statuses: Option<Vec<Status>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    entry_id: Option<String>,
    status: Option<String>,
}

/// What an answer says of each message, in their order. What it says nothing of comes again. Errors: `APP_FAILED` with
/// the status.
pub(super) fn verdicts(status: StatusCode, body: &[u8], event: &BulkEvent) -> Result<Vec<Verdict>> {
    let all = |verdict| vec![verdict; event.entries.len()];
    if status == StatusCode::NOT_FOUND {
        tracing::error!(path = %event.path, topic = %event.topic, "the app has no such path: the messages are dropped");
        return Ok(all(Verdict::Drop));
    }
    if !status.is_success() {
        tracing::warn!(path = %event.path, status = status.as_u16(), "the app failed on several messages");
        let message = format!("the app answered with the status {}", status.as_u16());
        return Err(Error::new(&codes::APP_FAILED, message).with_answer(status.as_u16()));
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        tracing::warn!(path = %event.path, "the app's answer to several messages names no statuses");
        return Ok(all(Verdict::Again));
    };
    let said: BTreeMap<String, String> = answer
        .statuses
        .unwrap_or_default()
        .into_iter()
        .map(|one| (one.entry_id.unwrap_or_default(), one.status.unwrap_or_default()))
        .collect();
    let verdict = |entry: &BulkEntry| match said.get(&entry.id).map(String::as_str) {
        Some("SUCCESS") => Verdict::Done,
        Some("DROP") => Verdict::Drop,
        _ => Verdict::Again,
    };
    Ok(event.entries.iter().map(verdict).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> BulkEvent {
        let entry = |id: &str, content: &'static str, is_envelope| BulkEntry {
            id: id.to_owned(),
            content: content.into(),
            is_envelope,
            content_type: String::new(),
            metadata: BTreeMap::new(),
        };
        BulkEvent {
            id: "call".to_owned(),
            path: "/orders".to_owned(),
            pubsub: "bus".to_owned(),
            topic: "orders".to_owned(),
            entries: vec![entry("1", r#"{"id":"a"}"#, true), entry("2", "raw", false)],
        }
    }

    #[test]
    fn an_envelope_stands_as_it_is_and_bytes_in_base64() {
        let body: serde_json::Value = serde_json::from_slice(&body(&event()).unwrap()).unwrap();
        let expect = serde_json::json!({
            "id": "call", "type": "com.dapr.event.sent.bulk", "topic": "orders", "pubsubname": "bus",
            "metadata": {"pubsubName": "bus"},
            "entries": [
                {"entryId": "1", "event": {"id": "a"}, "metadata": {}},
                {"entryId": "2", "event": "cmF3", "metadata": {}},
            ],
        });
        assert_eq!(body, expect);
    }

    #[test]
    fn each_message_has_its_verdict_and_one_that_is_not_named_comes_again() {
        let check = |status: u16, body: &str, expect: [Verdict; 2]| {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(verdicts(status, body.as_bytes(), &event()).unwrap(), expect, "{status} {body}");
        };
        let (done, again, drop) = (Verdict::Done, Verdict::Again, Verdict::Drop);
        let one = |status: &str| format!(r#"{{"statuses":[{{"entryId":"2","status":"{status}"}}]}}"#);
        check(200, &one("SUCCESS"), [again, done]);
        check(200, &one("DROP"), [again, drop]);
        check(200, &one("LATER"), [again, again]);
        check(200, &one(""), [again, again]);
        check(200, "", [again, again]);
        check(200, "{}", [again, again]);
        check(404, "", [drop, drop]);
        let error = verdicts(StatusCode::BAD_GATEWAY, one("SUCCESS").as_bytes(), &event()).unwrap_err();
        assert_eq!(
            (error.code(), error.answer()),
            (&codes::APP_FAILED, Some(502)),
            "policies see the status"
        );
    }
}
