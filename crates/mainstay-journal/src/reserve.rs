//! Disk space held back in a file that means nothing: when the disk is full at a start, the file goes, so that the
//! start and a purge have room. It does not keep the log from filling the disk.

use std::fs::OpenOptions;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Holds `bytes` back in `folder`, or lets go of them when less than that is free. Never fails: without a reserve the
/// journal works, and recovers less well from a full disk.
pub(crate) fn adjust(folder: &Path, bytes: u64) {
    let path = folder.join("reserve");
    let Ok(disk) = statvfs(folder) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if path.exists() {
        if free < bytes || bytes == 0 {
            let removed = std::fs::remove_file(&path);
            tracing::warn!(
                free,
                ?removed,
                "the disk is nearly full: the journal's reserve was given back to it"
            );
        }
    } else if bytes > 0 && free >= bytes.saturating_mul(2) {
        let held = OpenOptions::new().write(true).create(true).truncate(true).open(&path).and_then(|file| {
            fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(std::io::Error::from)
        });
        if let Err(cause) = held {
            tracing::debug!(%cause, "this file system cannot hold space back for the journal");
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_held_while_there_is_plenty_and_given_back_when_not_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reserve");
        adjust(folder.path(), 1024 * 1024);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1024 * 1024);
        // More than any disk has: the reserve that exists must go.
        adjust(folder.path(), u64::MAX);
        assert!(!path.exists());
        adjust(folder.path(), u64::MAX);
        assert!(!path.exists());
    }
}
