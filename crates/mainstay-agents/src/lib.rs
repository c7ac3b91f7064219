//! Runs, sessions, the agent loop.
