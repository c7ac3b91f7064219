//! Usage: `promptTokenCount` includes what was cached, `candidatesTokenCount` excludes thoughts.

use mainstay_core::model::Usage;
use serde_json::{Value, json};

/// The canonical record; `None` where the value is no usage object.
pub(super) fn read(wire: &Value) -> Option<Usage> {
    let count = |key: &str| wire[key].as_u64();
    let prompt = count("promptTokenCount")?;
    let cache_read = count("cachedContentTokenCount").unwrap_or(0).min(prompt);
    // What the vendor's own tools put into the prompt is counted beside it.
    let by_tools = count("toolUsePromptTokenCount").unwrap_or(0);
    let usage = Usage {
        input_uncached: (prompt - cache_read).saturating_add(by_tools),
        cache_read,
        output: count("candidatesTokenCount").unwrap_or(0),
        reasoning: count("thoughtsTokenCount").unwrap_or(0),
        ..Usage::default()
    };
    Some(usage.clamped())
}

/// The dialect's own sums.
pub(super) fn write(usage: &Usage) -> Value {
    let mut out = json!({
        "promptTokenCount": usage.input_total(),
        "candidatesTokenCount": usage.output,
        "totalTokenCount": usage.total(),
    });
    if usage.cache_read > 0 {
        out["cachedContentTokenCount"] = usage.cache_read.into();
    }
    if usage.reasoning > 0 {
        out["thoughtsTokenCount"] = usage.reasoning.into();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_apart_and_sum_again() {
        let wire = json!({"promptTokenCount": 100, "cachedContentTokenCount": 40, "candidatesTokenCount": 7,
            "thoughtsTokenCount": 5, "totalTokenCount": 112});
        let usage = read(&wire).unwrap();
        assert_eq!((usage.input_uncached, usage.cache_read, usage.output, usage.reasoning), (60, 40, 7, 5));
        assert_eq!(read(&write(&usage)), Some(usage));
        assert_eq!(write(&usage)["totalTokenCount"], 112);
        assert_eq!(read(&json!(null)), None);
    }

    #[test]
    fn counts_beyond_belief_do_not_overflow() {
        let wire = json!({"promptTokenCount": u64::MAX, "toolUsePromptTokenCount": u64::MAX,
            "candidatesTokenCount": u64::MAX, "thoughtsTokenCount": u64::MAX});
        let usage = read(&wire).unwrap();
        assert_eq!((usage.input_uncached, usage.total()), (Usage::TOKENS_MAX, 3 * Usage::TOKENS_MAX));
        assert_eq!(write(&usage)["totalTokenCount"], usage.total());
    }
}
