//! SHA-256 of files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use mainstay_core::Result;
use sha2::{Digest, Sha256};

use super::{failed, publish};

/// The digest in lowercase hexadecimal.
pub(super) fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Refuses and removes a file with another digest: keeping it would fail every further pull the same way.
pub(super) fn require(path: &Path, expected: &str) -> Result<()> {
    let found = sha256(path).map_err(|e| failed("read back what was received").with_source(e))?;
    if found == expected {
        return Ok(());
    }
    publish::discard(path);
    Err(failed(format!("verify the model: its sha-256 is `{found}` instead of `{expected}`"))
        .with_help("what was received has been removed; pull again, or from another index"))
}
