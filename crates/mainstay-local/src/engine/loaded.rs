//! A model in memory with all that an answer needs, and the one conversation it remembers.

use std::path::Path;
use std::time::Instant;

use mainstay_core::Result;

use crate::gguf::{Gguf, requantised, unusable};
use crate::llama::{KvCache, Llama, Scratch};
use crate::prompt::Dialogue;
use crate::template::Template;
use crate::vocabulary::Vocabulary;

/// The parts of a loaded model.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) llama: Llama,
    pub(super) vocabulary: Vocabulary,
    template: Template,
    pub(super) cache: KvCache,
    pub(super) scratch: Scratch,
}

impl Loaded {
    /// Loads a file, by its `Q8_0` copy where it needs one.
    pub(super) fn load(file: &Path, context_max: usize) -> Result<Self> {
        let started = Instant::now();
        let mut gguf = Gguf::open(&requantised(file)?)?;
        let llama = Llama::load(&mut gguf, context_max)?;
        let vocabulary = Vocabulary::read(&gguf)?;
        let source = gguf.text("tokenizer.chat_template");
        let source = source.ok_or_else(|| unusable(gguf.name(), "it has no chat template"))?;
        let template = Template::new(gguf.name(), source)?;
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(model = gguf.name(), elapsed_ms, "loaded the local model");
        let cache = KvCache::new(llama.hyper());
        Ok(Self { llama, vocabulary, template, cache, scratch: Scratch::default() })
    }

    /// How this model is spoken to.
    pub(super) fn dialogue(&self) -> Dialogue<'_> {
        Dialogue {
            template: &self.template,
            controls: self.vocabulary.controls(),
            begin_and_end: self.vocabulary.begin_and_end(),
        }
    }
}
