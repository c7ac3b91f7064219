//! One file out of a zip archive (a Python wheel is one).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use mainstay_core::{Error, Result};

use super::failed;

/// Unpacks `member`, which must have exactly `bytes` bytes, to `to`.
pub(super) fn unpack(archive: &Path, member: &str, to: &Path, bytes: u64) -> Result<()> {
    let broken = |what: &str, e: &dyn std::fmt::Display| -> Error {
        failed(format!("unpack the model: {what}")).with_internal(e.to_string())
    };
    let file = File::open(archive).map_err(|e| broken("the archive cannot be read", &e))?;
    let mut archive = zip::ZipArchive::new(BufReader::with_capacity(1 << 18, file))
        .map_err(|e| broken("what was received is no archive", &e))?;
    let member = archive.by_name(member).map_err(|e| broken("the archive does not have it", &e))?;
    let mut out = File::create(to).map_err(|e| broken("the folder cannot be written", &e))?;
    // One byte more than allowed is enough to know, and no archive can fill the disk.
    let copied = std::io::copy(&mut member.take(bytes + 1), &mut out)
        .map_err(|e| broken("the archive is damaged, or the disk is full", &e))?;
    if copied == bytes { Ok(()) } else { Err(broken("it has another size than it should", &copied)) }
}
