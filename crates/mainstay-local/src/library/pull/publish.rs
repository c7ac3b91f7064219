//! Files on their way into the library: one pull of a model at a time, unfinished files under names of their own, and
//! a rename as the last step.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use mainstay_core::Result;

use super::failed;

/// The right to pull a model, until it is dropped.
pub(super) struct Claim {
    folder: PathBuf,
    model: String,
    lock: PathBuf,
    _locked: File,
}

impl Claim {
    /// Takes the right, making the folder where there is none.
    pub(super) fn take(folder: &Path, model: &str) -> Result<Self> {
        let unwritable = |e: io::Error| {
            failed(format!("write to the models' folder `{}`", folder.display()))
                .with_help("choose a folder that can be written")
                .with_source(e)
        };
        fs::create_dir_all(folder).map_err(unwritable)?;
        let lock = folder.join(format!(".{model}.lock"));
        match locked(&lock) {
            Ok(file) => Ok(Self { folder: folder.to_owned(), model: model.to_owned(), lock, _locked: file }),
            Err(TryLockError::WouldBlock) => {
                Err(failed(format!("pull the model `{model}`: another pull of it is at work")))
            }
            Err(TryLockError::Error(e)) => Err(unwritable(e)),
        }
    }

    /// Where an unfinished file stands.
    pub(super) fn part(&self, what: &str) -> PathBuf {
        self.folder.join(format!(".{}.{what}.part", self.model))
    }

    /// Refuses to begin what would not fit on the disk.
    pub(super) fn require_space(&self, bytes: u64) -> Result<()> {
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= bytes {
            return Ok(());
        }
        let (needed_mb, free_mb) = (bytes / 1_000_000, free / 1_000_000);
        let message = format!(
            "keep the model in `{}`: {needed_mb} MB needed, {free_mb} MB free",
            self.folder.display()
        );
        Err(failed(message).with_help("free some space, or choose another folder for models"))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Still locked: whoever opened it meanwhile finds it gone and makes another.
        let _ = fs::remove_file(&self.lock);
    }
}

/// Opens and locks a file that its holder removes at the end, so that what is locked is what others find at `path`.
fn locked(path: &Path) -> Result<File, TryLockError> {
    loop {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(TryLockError::Error)?;
        file.try_lock()?;
        let ours = file.metadata().map_err(TryLockError::Error)?;
        if fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}

/// Makes a finished file durable and gives it its name.
pub(super) fn publish(part: &Path, file: &Path) -> Result<()> {
    let publish = || -> io::Result<()> {
        File::open(part)?.sync_all()?;
        fs::rename(part, file)?;
        file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    publish().map_err(|e| failed(format!("put the model at `{}`", file.display())).with_source(e))
}

/// Removes an unfinished file and what is known of it.
pub(super) fn discard(part: &Path) {
    let _ = fs::remove_file(part);
    let _ = fs::remove_file(validator(part));
}

/// Where the server's mark of an unfinished file's version stands.
pub(super) fn validator(part: &Path) -> PathBuf {
    part.with_extension("part.version")
}
