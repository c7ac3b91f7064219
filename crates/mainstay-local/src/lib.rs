//! Plumbing: GGUF models run in-process, and the library of model files on disk with its pull. It serves nobody by
//! itself: the provider over it is an adapter, and where the library lives is the binary's to say.

mod answer;
mod engine;
mod gguf;
pub mod library;
mod llama;
mod matrix;
mod prompt;
mod sampler;
mod template;
mod vocabulary;

pub use engine::{Engine, EngineOptions};
#[cfg(test)]
use mainstay_testkit::tiny_model as tiny;
