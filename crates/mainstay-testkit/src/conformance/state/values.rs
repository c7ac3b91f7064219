//! What is read is what was set, at once, by everyone.

use mainstay_core::state::Format;
use serde_json::Value;

use super::{Open, Store, ctx, delete, fresh, promises, put, set};

promises! {
    bytes_read_back_as_they_were_set,
    json_reads_back_as_it_was_set,
    what_is_not_there_reads_as_nothing,
    an_empty_value_is_there,
    a_set_replaces_whatever_was_there,
    a_delete_removes_and_a_delete_of_nothing_is_made,
    keys_of_odd_characters_are_keys_of_their_own,
    a_key_with_a_nul_is_kept_or_refused,
    a_read_sees_every_acknowledged_change,
    everyone_sees_every_acknowledged_change,
    changes_side_by_side_do_not_mix,
    what_is_acknowledged_outlives_its_store,
    a_store_that_answers_is_ready,
}

async fn bytes_read_back_as_they_were_set(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let every: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1_048_576_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let json_like = br#"{ "b": 1,  "a": "\u0000" } "#.to_vec();
    for value in [every, large, json_like, b"\"".to_vec(), vec![0], b"null".to_vec()] {
        store.apply(put("k", value.clone(), Format::Bytes)).await;
        let entry = store.entry("k").await.expect("the key is there");
        assert!(entry.value == value, "{} bytes came back as {} others", value.len(), entry.value.len());
    }
}

async fn json_reads_back_as_it_was_set(open: Open) {
    let (rig, store) = fresh(&open).await;
    let large = format!("[{}1]", "\"a longer text, with \\\"quotes\\\"\", ".repeat(30_000));
    let texts = [
        "null",
        "false",
        "0",
        "-12.50",
        "12345678901234567890",
        "\"\"",
        "\"plain\"",
        "\"\u{e5}\u{1f980} \\u00e5 \\ud83e\\udd80 \\n \\\\ \\\"\"",
        "\"\\u0000\"",
        "[]",
        "{}",
        "{ \"b\" : [1, 2,3],\n\t\"a\": {\"c\": null} }",
        "{\"$ref\": \"'; DROP TABLE state; --\", \"_id\": \"%_\"}",
        &large,
    ];
    for text in texts {
        store.apply(put("k", text, Format::Json)).await;
        let value = store.entry("k").await.expect("the key is there").value;
        if rig.keeps_json_text() {
            assert!(
                value == text.as_bytes(),
                "{text:.80} came back as {:?}",
                value.get(..80).unwrap_or(&value)
            );
            continue;
        }
        let read: Value = serde_json::from_slice(&value).expect("what comes back is JSON");
        let wanted: Value = serde_json::from_str(text).expect("the suite's texts are JSON");
        assert_eq!(read, wanted, "{text:.80}");
    }
}

async fn what_is_not_there_reads_as_nothing(open: Open) {
    let (_rig, store) = fresh(&open).await;
    assert_eq!(store.entry("never").await, None);
    store.apply(set("gone", "v")).await;
    store.apply(delete("gone")).await;
    assert_eq!(store.entry("gone").await, None);
}

async fn an_empty_value_is_there(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("k", "")).await;
    assert_eq!(store.text("k").await.as_deref(), Some(""));
}

async fn a_set_replaces_whatever_was_there(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let steps = [("[7]", Format::Json), ("\u{1}\u{2}", Format::Bytes), ("[]", Format::Json)];
    for (value, format) in steps {
        store.apply(put("k", value, format)).await;
        assert_eq!(store.text("k").await.as_deref().map(str::trim), Some(value));
    }
}

async fn a_delete_removes_and_a_delete_of_nothing_is_made(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("k", "v")).await;
    store.apply(set("kept", "v")).await;
    for _ in 0..2 {
        store.apply(delete("k")).await;
        assert_eq!(store.entry("k").await, None);
    }
    store.apply(delete("never")).await;
    assert_eq!(store.text("kept").await.as_deref(), Some("v"));
}

async fn keys_of_odd_characters_are_keys_of_their_own(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let long = "l".repeat(1_000);
    let keys = [
        "a",
        "A",
        "a ",
        " a",
        "a%",
        "a_",
        "%",
        "_",
        "*",
        "a*",
        "a?",
        "[a]",
        "{a}",
        "{a}b",
        "app||a",
        "app|a",
        "||",
        "'",
        "''",
        "\"",
        "\\",
        "\\\\",
        "a\nb",
        "a\tb",
        "a/b",
        "/",
        ".",
        "..",
        "a:b",
        "a;b",
        "--",
        "$1",
        "?",
        "\u{e9}",
        "e\u{301}",
        "\u{1f980}",
        "\u{202e}",
        "0",
        "00",
        "NULL",
        "null",
        long.as_str(),
    ];
    for key in keys {
        store.apply(set(key, &format!("of {key}"))).await;
    }
    for key in keys {
        assert_eq!(store.text(key).await, Some(format!("of {key}")), "{key:?}");
    }
    let (gone, kept): (Vec<_>, Vec<_>) = keys.iter().enumerate().partition(|(at, _)| at % 2 == 0);
    for (_, key) in &gone {
        store.apply(delete(key)).await;
    }
    for (_, key) in gone {
        assert_eq!(store.entry(key).await, None, "{key:?}");
    }
    for (_, key) in kept {
        assert!(store.entry(key).await.is_some(), "{key:?} went with another");
    }
}

async fn a_key_with_a_nul_is_kept_or_refused(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(set("a", "without")).await;
    match store.try_apply(set("a\0b", "with")).await {
        Ok(()) => assert_eq!(store.text("a\0b").await.as_deref(), Some("with")),
        Err(error) => super::is_code(&error, "INVALID_FIELD"),
    }
    assert_eq!(store.text("a").await.as_deref(), Some("without"));
}

async fn a_read_sees_every_acknowledged_change(open: Open) {
    let (_rig, store) = fresh(&open).await;
    read_after_write(&store, &store, "k").await;
}

async fn everyone_sees_every_acknowledged_change(open: Open) {
    let (rig, store) = fresh(&open).await;
    let Some(other) = rig.again().await.map(Store) else { return };
    tokio::join!(read_after_write(&store, &other, "a"), read_after_write(&other, &store, "b"));
}

async fn read_after_write(writer: &Store, reader: &Store, key: &str) {
    for step in 0..40 {
        let value = step.to_string();
        if step % 7 == 6 {
            writer.apply(delete(key)).await;
            assert_eq!(reader.entry(key).await, None, "step {step}");
            continue;
        }
        writer.apply(set(key, &value)).await;
        assert_eq!(reader.text(key).await, Some(value), "a stale read");
    }
}

async fn changes_side_by_side_do_not_mix(open: Open) {
    let (_rig, store) = fresh(&open).await;
    let one = |key: String| {
        let store = store.clone();
        async move {
            for step in 0..10 {
                let value = format!("{key} {step}");
                store.apply(set(&key, &value)).await;
                assert_eq!(store.text(&key).await, Some(value));
            }
        }
    };
    futures_util::future::join_all((0..16).map(|at| one(format!("key-{at}")))).await;
}

async fn what_is_acknowledged_outlives_its_store(open: Open) {
    let (rig, store) = fresh(&open).await;
    store.apply(set("k", "v")).await;
    let before = store.entry("k").await;
    let again = rig.again().await;
    if !store.0.capabilities().durable {
        return;
    }
    drop(store);
    let again = Store(again.expect("a durable store can be opened again"));
    assert_eq!(again.entry("k").await, before);
}

async fn a_store_that_answers_is_ready(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.0.ready(&ctx()).await.expect("it is ready");
    assert_eq!(store.0.capabilities(), store.0.capabilities(), "what it can do is constant");
}
