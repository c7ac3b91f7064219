//! A conversation as two parties taking turns, for dialects that know only those: instructions apart, every tool
//! result in the turn after its call.

use std::borrow::Cow;
use std::collections::HashMap;

use mainstay_core::message::{Message, Part, Role, ToolResult};

/// What stands for the answer to a call that nobody answered.
pub(crate) const NO_ANSWER: &str = "this call was not answered";

/// A conversation in turns.
#[derive(Debug, Default)]
pub(crate) struct Turns<'a> {
    /// The texts of the instructions, wherever they stood.
    pub(crate) system: Vec<&'a str>,
    /// The turns, of alternating parties.
    pub(crate) turns: Vec<Turn<'a>>,
}

/// What one party says before the other does.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) by_model: bool,
    pub(crate) parts: Vec<Cow<'a, Part>>,
}

/// Groups messages into turns.
///
/// ```text
///   system user assistant(call a, call b) tool(b) system tool(a) user
///   └─ system ─┐  ┌ model: a b ┐  ┌ user: result a, result b, text ┐
/// ```
/// Each call of a turn gets exactly one result at the head of the next, in the order of the calls: vendors refuse
/// anything else. A call that nobody answered (a run that was cut) gets a result that says so; a result without its
/// call becomes text.
pub(crate) fn turns(messages: &[Message]) -> Turns<'_> {
    let mut out = Turns::default();
    for message in messages {
        if message.role == Role::System {
            out.system.extend(message.parts.iter().filter_map(text));
            continue;
        }
        let by_model = message.role == Role::Assistant;
        let parts = message.parts.iter().map(Cow::Borrowed);
        match out.turns.last_mut() {
            Some(last) if last.by_model == by_model => last.parts.extend(parts),
            _ => out.turns.push(Turn { by_model, parts: parts.collect() }),
        }
    }
    for later in 0..out.turns.len() {
        if !out.turns[later].by_model {
            let calls = if later == 0 { Vec::new() } else { call_ids(&out.turns[later - 1]) };
            let parts = std::mem::take(&mut out.turns[later].parts);
            out.turns[later].parts = answers_first(&calls, parts);
        }
    }
    out
}

fn text(part: &Part) -> Option<&str> {
    if let Part::Text(text) = part { Some(text) } else { None }
}

fn call_ids(turn: &Turn<'_>) -> Vec<(String, String)> {
    turn.parts
        .iter()
        .filter_map(|part| if let Part::ToolCall(call) = part.as_ref() { Some(call) } else { None })
        .map(|call| (call.id.clone(), call.name.clone()))
        .collect()
}

fn answers_first<'a>(calls: &[(String, String)], parts: Vec<Cow<'a, Part>>) -> Vec<Cow<'a, Part>> {
    let mut results: Vec<Option<Cow<'a, Part>>> = calls.iter().map(|_| None).collect();
    // The calls of an id that are still open, the first one last.
    let mut open: HashMap<&str, Vec<usize>> = HashMap::with_capacity(calls.len());
    for (place, (id, _)) in calls.iter().enumerate().rev() {
        open.entry(id).or_default().push(place);
    }
    let mut others = Vec::new();
    for part in parts {
        let Part::ToolResult(result) = part.as_ref() else {
            others.push(part);
            continue;
        };
        match open.get_mut(result.call_id.as_str()).and_then(Vec::pop) {
            Some(place) => results[place] = Some(part),
            None => others.push(Cow::Owned(Part::Text(result.content.clone()))),
        }
    }
    let answered =
        results.into_iter().zip(calls).map(|(slot, call)| slot.unwrap_or_else(|| unanswered(call)));
    answered.chain(others).collect()
}

fn unanswered<'a>((id, name): &(String, String)) -> Cow<'a, Part> {
    Cow::Owned(Part::ToolResult(ToolResult {
        call_id: id.clone(),
        name: Some(name.clone()),
        content: NO_ANSWER.to_owned(),
        is_error: true,
    }))
}
