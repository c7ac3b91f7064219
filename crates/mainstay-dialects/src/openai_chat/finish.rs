//! Finish reasons.

use mainstay_core::model::FinishReason;

/// The canonical reason. Some compatible servers say `stop` when the model calls tools.
pub(super) fn read(word: &str, has_calls: bool, refused: bool) -> FinishReason {
    match word {
        "stop" | "function_call" if has_calls => FinishReason::ToolCalls,
        "stop" if refused => FinishReason::ContentFilter,
        "stop" | "end_turn" | "eos" => FinishReason::Stop,
        "length" | "max_tokens" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}

/// The dialect's word; clients check it against a closed list. A pause has no twin here: `length` tells a caller, as
/// a pause does, that the answer goes on when asked again.
pub(super) fn write(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Other(_) => "stop",
        FinishReason::Length | FinishReason::Pause => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}
