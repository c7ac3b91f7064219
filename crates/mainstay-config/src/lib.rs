//! mainstay.yaml to Plan: spans, diagnostics, JSON Schema, reference.
