//! The HTTP surface: agents, model fronts, health, docs.
