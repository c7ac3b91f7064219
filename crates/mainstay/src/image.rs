//! What building an image needs of this machine: the binary, the files, a registry.

pub(crate) mod binary;
mod credentials;
pub(crate) mod layout;
pub(crate) mod registry;
