//! Plumbing: GGUF inference in-process and the model library on disk.
