//! Conformance suites, fakes and the process harness (dev-dependency only).
