//! Usage: `prompt_tokens` includes what was cached, `completion_tokens` includes reasoning.

use mainstay_core::model::Usage;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::counts;

/// What an object of usage counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    /// DeepSeek's name for what was cached.
    cache_hit: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
}

impl<'de> Deserialize<'de> for Wire {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let mut wire = Self::default();
        counts::visit(reader, &mut |parent, name, count| {
            let slot = match (parent, name) {
                ("", "prompt_tokens") => &mut wire.prompt,
                ("", "completion_tokens") => &mut wire.completion,
                ("", "total_tokens") => &mut wire.total,
                ("", "prompt_cache_hit_tokens") => &mut wire.cache_hit,
                ("prompt_tokens_details", "cached_tokens") => &mut wire.cached,
                ("prompt_tokens_details", "cache_write_tokens") => &mut wire.cache_write,
                ("completion_tokens_details", "reasoning_tokens") => &mut wire.reasoning,
                _ => return,
            };
            *slot = Some(count);
        })?;
        Ok(wire)
    }
}

/// The canonical record; `None` where nothing was counted.
pub(super) fn read(wire: &Wire) -> Option<Usage> {
    if wire.prompt.is_none() && wire.completion.is_none() {
        return None;
    }
    let (prompt, completion) = (wire.prompt.unwrap_or(0), wire.completion.unwrap_or(0));
    let cache_read = wire.cached.or(wire.cache_hit).unwrap_or(0).min(prompt);
    let cache_write = wire.cache_write.unwrap_or(0).min(prompt - cache_read);
    let reasoning = wire.reasoning.unwrap_or(0);
    let usage = Usage {
        input_uncached: prompt - cache_read - cache_write,
        cache_read,
        cache_write_5m: cache_write,
        cache_write_1h: 0,
        output: if counts_apart(wire.total, prompt, completion, reasoning) {
            completion
        } else {
            completion - reasoning
        },
        reasoning,
    };
    Some(usage.clamped())
}

/// Some compatible servers count reasoning beside the completion; their own total tells.
fn counts_apart(total: Option<u64>, prompt: u64, completion: u64, reasoning: u64) -> bool {
    let apart = prompt.saturating_add(completion).saturating_add(reasoning);
    reasoning > completion || (reasoning > 0 && total == Some(apart))
}

/// The dialect's own sums.
pub(super) fn write(usage: &Usage) -> Value {
    let mut prompt = Map::new();
    prompt.insert("cached_tokens".to_owned(), usage.cache_read.into());
    let written = usage.cache_write_total();
    if written > 0 {
        prompt.insert("cache_write_tokens".to_owned(), written.into());
    }
    json!({
        "prompt_tokens": usage.input_total(),
        "completion_tokens": usage.output_total(),
        "total_tokens": usage.total(),
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &Value) -> Option<Usage> {
        super::read(&Wire::deserialize(wire).unwrap())
    }

    #[test]
    fn classes_come_apart_and_sum_again() {
        let wire = json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 20}});
        let usage = read(&wire).unwrap();
        assert_eq!((usage.input_uncached, usage.cache_read, usage.cache_write_5m), (10, 60, 30));
        assert_eq!((usage.output, usage.reasoning), (30, 20));
        assert_eq!(write(&usage), wire);
    }

    #[test]
    fn reasoning_counted_beside_the_completion_is_recognised_by_the_total() {
        let wire = json!({"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 80,
            "completion_tokens_details": {"reasoning_tokens": 20}});
        assert_eq!(read(&wire).unwrap().output, 50);
    }

    #[test]
    fn nonsense_sums_do_not_underflow() {
        let wire = json!({"prompt_tokens": 1, "completion_tokens": null,
            "prompt_tokens_details": {"cached_tokens": 9}, "completion_tokens_details": {"reasoning_tokens": 9}});
        let usage = read(&wire).unwrap();
        assert_eq!((usage.input_total(), usage.output_total()), (1, 9));
        assert_eq!(read(&json!({})), None);
    }

    #[test]
    fn counts_beyond_belief_do_not_overflow() {
        let wire = json!({"prompt_tokens": u64::MAX, "completion_tokens": u64::MAX, "total_tokens": u64::MAX,
            "prompt_tokens_details": {"cached_tokens": u64::MAX - 1},
            "completion_tokens_details": {"reasoning_tokens": u64::MAX}});
        let usage = read(&wire).unwrap();
        assert_eq!((usage.input_uncached, usage.cache_read), (1, Usage::TOKENS_MAX));
        assert_eq!(write(&usage)["total_tokens"], usage.total());
    }
}
