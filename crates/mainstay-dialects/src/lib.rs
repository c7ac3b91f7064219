//! Plumbing: pure translation between model wire dialects and the canonical request and events.
