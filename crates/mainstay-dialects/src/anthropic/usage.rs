//! Usage: `input_tokens` excludes what was read from or written to a cache; a stream reports in pieces.

use mainstay_core::model::Usage;
use serde_json::{Value, json};

/// Takes what `wire` reports over what is known. Counts are cumulative; a zero or a missing count says nothing new.
pub(super) fn merge(usage: &mut Usage, wire: &Value) {
    let count = |value: &Value| value.as_u64().filter(|n| *n > 0);
    let set = |slot: &mut u64, value: Option<u64>| *slot = value.unwrap_or(*slot);
    set(&mut usage.input_uncached, count(&wire["input_tokens"]));
    set(&mut usage.cache_read, count(&wire["cache_read_input_tokens"]));
    let (short, long) = (
        count(&wire["cache_creation"]["ephemeral_5m_input_tokens"]),
        count(&wire["cache_creation"]["ephemeral_1h_input_tokens"]),
    );
    set(&mut usage.cache_write_5m, short);
    set(&mut usage.cache_write_1h, long);
    let written = count(&wire["cache_creation_input_tokens"]);
    if short.is_none() && long.is_none() && written != Some(usage.cache_write_total()) {
        set(&mut usage.cache_write_5m, written);
    }
    if let Some(output) = count(&wire["output_tokens"]) {
        let thinking = count(&wire["output_tokens_details"]["thinking_tokens"]).unwrap_or(0).min(output);
        (usage.output, usage.reasoning) = (output - thinking, thinking);
    }
    *usage = usage.clamped();
}

/// The dialect's own counts.
pub(super) fn write(usage: &Usage) -> Value {
    let written = usage.cache_write_total();
    let mut out = json!({
        "input_tokens": usage.input_uncached,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output_total(),
    });
    if written > 0 {
        out["cache_creation"] = json!({
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        });
    }
    if usage.reasoning > 0 {
        out["output_tokens_details"] = json!({"thinking_tokens": usage.reasoning});
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_stream_add_to_what_is_known() {
        let mut usage = Usage::default();
        merge(
            &mut usage,
            &json!({"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}}),
        );
        merge(
            &mut usage,
            &json!({"input_tokens": 0, "cache_creation_input_tokens": 7, "output_tokens": 40,
            "output_tokens_details": {"thinking_tokens": 30}}),
        );
        let wanted = Usage {
            input_uncached: 10,
            cache_read: 5,
            cache_write_5m: 3,
            cache_write_1h: 4,
            output: 10,
            reasoning: 30,
        };
        assert_eq!(usage, wanted);
        let mut again = Usage::default();
        merge(&mut again, &write(&wanted));
        assert_eq!(again, wanted);
    }

    #[test]
    fn counts_beyond_belief_do_not_overflow() {
        let wire = json!({"input_tokens": u64::MAX, "cache_read_input_tokens": u64::MAX,
            "cache_creation_input_tokens": u64::MAX, "output_tokens": u64::MAX, "cache_creation":
            {"ephemeral_5m_input_tokens": u64::MAX, "ephemeral_1h_input_tokens": u64::MAX}});
        let mut usage = Usage::default();
        merge(&mut usage, &wire);
        merge(&mut usage, &wire);
        assert_eq!((usage.input_total(), usage.output), (4 * Usage::TOKENS_MAX, Usage::TOKENS_MAX));
        assert_eq!(write(&usage)["cache_creation_input_tokens"], 2 * Usage::TOKENS_MAX);
    }

    #[test]
    fn an_unsplit_write_counts_as_the_short_lived_kind() {
        let mut usage = Usage::default();
        merge(&mut usage, &json!({"input_tokens": 1, "cache_creation_input_tokens": 9}));
        assert_eq!((usage.cache_write_5m, usage.cache_write_1h), (9, 0));
    }
}
