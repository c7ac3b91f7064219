//! Plumbing: listeners, drain, HTTP clients with one TLS stack, address guards.
