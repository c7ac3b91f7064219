//! The lock on the data folder: one process at a time. The kernel lets go of it when the process ends, however.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use mainstay_core::{Error, Result, codes};
use rustix::fs::{FlockOperation, flock};

use crate::damage::Fault;

/// Held while the journal is open.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock of `folder`. Errors: `JOURNAL_LOCKED`, naming the process that has it.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|cause| Fault::io(&path)(cause).refuse_start())?;
        if let Err(cause) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if cause != rustix::io::Errno::WOULDBLOCK {
                return Err(Fault::io(&path)(cause.into()).refuse_start());
            }
            return Err(locked(folder, &mut file));
        }
        // Only for people; nothing reads it but the message above.
        let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        noted.map_err(|cause| Fault::io(&path)(cause).refuse_start())?;
        Ok(Self(file))
    }

    /// Lets go.
    pub(crate) fn release(&self) {
        if let Err(cause) = flock(&self.0, FlockOperation::Unlock) {
            tracing::warn!(%cause, "the data folder's lock could not be released before the process ends");
        }
    }
}

fn locked(folder: &Path, file: &mut File) -> Error {
    let mut pid = String::new();
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut pid));
    let holder = match read {
        Ok(_) if pid.bytes().all(|b| b.is_ascii_digit()) && !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    Error::new(
        &codes::JOURNAL_LOCKED,
        format!("the data folder `{}` is in use by {holder}", folder.display()),
    )
    .with_help("stop that process, or set `data.folder` to another place")
}
