//! Conformance suites, fakes and the process harness (dev-dependency only).

pub mod conformance;
pub mod memory_journal;
