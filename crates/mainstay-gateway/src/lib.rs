//! Models: routes, targets, fallback, byte-preserving forward path.
