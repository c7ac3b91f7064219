//! The user's process: supervision, health, app channel.
