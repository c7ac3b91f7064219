//! Conformance suites, fakes and the process harness (dev-dependency only).

pub mod components;
pub mod conformance;
pub mod embedder;
pub mod fake_upstream;
pub mod keys;
pub mod loopback;
pub mod memory_journal;
pub mod process;
pub mod servers;
pub mod telemetry;
pub mod tiny_model;
