//! One answer, from request to last event.

use std::time::Instant;

use mainstay_core::model::{FinishReason, ModelEvent, ModelRequest, Usage};
use mainstay_core::{Error, RequestId, Result, codes};
use tokio::sync::mpsc;

use super::EngineOptions;
use super::loaded::Loaded;
use crate::answer::Answer;
use crate::llama::BATCH_MAX;
use crate::prompt::Prompt;
use crate::sampler::Sampler;

/// Bytes of prompt per token of context above which a prompt is refused unread: the longest tokens of such
/// vocabularies are runs of white space, and no text of any language comes near it.
const PROMPT_BYTES_PER_TOKEN_MAX: usize = 32;

/// Who waits for the answer.
pub(super) struct Caller<'a> {
    /// What it calls the model.
    pub(super) name: &'a str,
    pub(super) events: &'a mpsc::Sender<Result<ModelEvent>>,
    pub(super) deadline: Option<Instant>,
}

impl Caller<'_> {
    /// Passes an event on; false when nobody reads any more.
    fn send(&self, event: ModelEvent) -> bool {
        self.events.try_send(Ok(event)).is_ok()
    }

    /// Whether to go on: `Ok(false)` when the caller has left.
    fn waits(&self) -> Result<bool> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::new(
                &codes::PROVIDER_TIMEOUT,
                "the local model did not finish within the deadline",
            ));
        }
        Ok(!self.events.is_closed())
    }
}

/// Answers a request. An error is the caller's last event; `Ok` says nothing about whether the caller stayed.
pub(super) fn run(
    request: &ModelRequest,
    options: &EngineOptions,
    loaded: &mut Loaded,
    caller: &Caller<'_>,
) -> Result<()> {
    if !caller.waits()? {
        return Ok(());
    }
    let prompt = loaded.dialogue().prompt(request)?;
    let tokens = tokens_of(&prompt, loaded)?;
    let start = ModelEvent::Start { id: answer_id(), model: caller.name.to_owned() };
    if !caller.send(start) {
        return Ok(());
    }
    let reused = loaded.cache.keep_prefix(&tokens);
    if !read(&tokens[reused..], loaded, caller)? {
        return Ok(());
    }
    let calls = prompt.calls_tools.then(|| call_id_prefix(request));
    let answer = Answer::new(&request.stop, calls, request.parallel_tool_calls == Some(false));
    let wanted = request.max_tokens.unwrap_or(options.answer_tokens_default) as usize;
    let speaking = Speaking { answer, sampler: Sampler::new(request), spoken: 0, wanted };
    let Some((finish, output)) = speaking.run(&prompt.forced, loaded, caller)? else { return Ok(()) };
    let usage = Usage {
        input_uncached: (tokens.len() - reused) as u64,
        cache_read: reused as u64,
        output: output as u64,
        ..Usage::default()
    };
    let _ = caller.send(ModelEvent::Usage(usage)) && caller.send(ModelEvent::Finish(finish));
    Ok(())
}

/// An answer under way.
struct Speaking {
    answer: Answer,
    sampler: Sampler,
    spoken: usize,
    wanted: usize,
}

impl Speaking {
    /// Speaks until something ends it. Returns the reason and the tokens spoken; `None` when the caller left.
    fn run(
        mut self,
        forced: &str,
        loaded: &mut Loaded,
        caller: &Caller<'_>,
    ) -> Result<Option<(FinishReason, usize)>> {
        let begun = self.answer.push(forced.as_bytes());
        let mut gone = !begun.events.into_iter().all(|event| caller.send(event));
        let mut reason = None;
        while reason.is_none() && !gone {
            if !caller.waits()? {
                return Ok(None);
            }
            reason = self.step(loaded, caller, &mut gone);
        }
        gone |= !self.answer.finish().into_iter().all(|event| caller.send(event));
        let reason = match reason {
            _ if gone => return Ok(None),
            Some(FinishReason::Stop) | None if self.answer.has_calls() => FinishReason::ToolCalls,
            other => other.unwrap_or(FinishReason::Stop),
        };
        Ok(Some((reason, self.spoken)))
    }

    /// One token. Returns why the answer is over, if it is.
    fn step(&mut self, loaded: &mut Loaded, caller: &Caller<'_>, gone: &mut bool) -> Option<FinishReason> {
        if self.spoken >= self.wanted {
            return Some(FinishReason::Length);
        }
        let token = self.sampler.choose(loaded.scratch.logits());
        if loaded.vocabulary.is_stop(token) {
            return Some(FinishReason::Stop);
        }
        self.spoken += 1;
        let progress = self.answer.push(loaded.vocabulary.bytes(token));
        if progress.events.is_empty() {
            // A call is held back until it is whole, which takes long on a small machine.
            *gone |= !caller.send(ModelEvent::Alive);
        }
        *gone |= !progress.events.into_iter().all(|event| caller.send(event));
        if progress.done {
            return Some(FinishReason::Stop);
        }
        if loaded.cache.len() >= loaded.llama.hyper().context {
            return Some(FinishReason::Length);
        }
        if self.spoken < self.wanted {
            loaded.llama.forward(&[token], &mut loaded.cache, &mut loaded.scratch);
        }
        None
    }
}

fn tokens_of(prompt: &Prompt, loaded: &Loaded) -> Result<Vec<u32>> {
    let context = loaded.llama.hyper().context;
    let too_long = |length: String| {
        let message =
            format!("the conversation has {length} and the local model reads {context} tokens at most");
        Error::new(&codes::PROVIDER_INVALID_REQUEST, message).with_field("messages")
    };
    if prompt.text.len() > context * PROMPT_BYTES_PER_TOKEN_MAX {
        return Err(too_long(format!("{} bytes", prompt.text.len())));
    }
    let tokens = loaded.vocabulary.encode(&format!("{}{}", prompt.text, prompt.forced))?;
    // One position must be left to answer in.
    match tokens.len() {
        0 => {
            Err(Error::new(&codes::PROVIDER_INVALID_REQUEST, "the conversation is empty")
                .with_field("messages"))
        }
        length if length >= context => Err(too_long(format!("{length} tokens"))),
        _ => Ok(tokens),
    }
}

/// Reads the prompt. `Ok(false)` when the caller left meanwhile.
fn read(tokens: &[u32], loaded: &mut Loaded, caller: &Caller<'_>) -> Result<bool> {
    for batch in tokens.chunks(BATCH_MAX) {
        if !caller.waits()? {
            return Ok(false);
        }
        loaded.llama.forward(batch, &mut loaded.cache, &mut loaded.scratch);
    }
    Ok(true)
}

fn answer_id() -> String {
    RequestId::generate().as_str().replacen("req_", "local_", 1)
}

/// The same for the same conversation, and new with each message of it.
fn call_id_prefix(request: &ModelRequest) -> String {
    format!("call_{}_", request.messages.len())
}
