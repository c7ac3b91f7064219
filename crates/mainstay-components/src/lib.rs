//! Backends of building blocks: secrets, tools.
