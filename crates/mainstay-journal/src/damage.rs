//! What is told when the data folder cannot be opened or read: written for whoever is woken by it.
//!
//! It repairs nothing: records that were acknowledged come back from a backup or not at all.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use mainstay_core::{Error, codes};

use crate::log::Lsn;
use crate::patience;

/// What a caller is told who asks for a record that cannot be read.
pub(crate) const UNREADABLE: &str = "a part of the record of runs is damaged and cannot be read";

/// Damage to what was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file, in bytes from its start.
    pub offset: u64,
    /// The record that should be there.
    pub lsn: Lsn,
    /// What is wrong, a lowercase fragment.
    pub fault: String,
    /// Why this is damage and not the torn end that a crash leaves, a lowercase fragment.
    pub evidence: String,
    /// Whether only the end of the log is lost, as a witness says: then the operator may decide to accept that.
    pub end_only: bool,
}

impl Damage {
    pub(crate) fn new(file: &Path, offset: u64, lsn: Lsn, fault: &str, evidence: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            offset,
            lsn,
            fault: fault.to_owned(),
            evidence: evidence.into(),
            end_only: false,
        }
    }

    /// Says that what is lost is the end of the log.
    pub(crate) fn of_the_end(self) -> Self {
        Self { end_only: true, ..self }
    }

    /// The whole story, for an operator: what, where, why we stop, what is intact, what to do next.
    #[must_use]
    pub fn report(&self) -> String {
        let intact = match self.lsn {
            0 | 1 => "nothing before it".to_owned(),
            lsn => format!("records 1 to {} as far as they are still kept", lsn - 1),
        };
        let accept = if self.end_only {
            "\n          5. or accept the loss of this record and those after it: remove `mark` and `view.redb`"
        } else {
            ""
        };
        format!(
            "the data folder is damaged\n  \
             where:  {file}, byte {offset}, record (LSN) {lsn}\n  \
             what:   {fault}\n  \
             why it is not the torn end of a crash: {evidence}\n  \
             intact: {intact}\n  \
             next:   1. copy the whole data folder before touching it\n          \
             2. look for disk errors (dmesg, SMART) and for programs that edit or sync this folder\n          \
             3. restore the data folder from a backup, as a whole\n          \
             4. or move the folder away and start empty{accept}",
            file = self.file.display(),
            offset = self.offset,
            lsn = self.lsn,
            fault = self.fault,
            evidence = self.evidence,
        )
    }

    /// The error for a refused start: it names file, offset and record.
    pub(crate) fn refuse_start(&self) -> Error {
        // Enough to tell the stores of a data folder apart.
        let parts: Vec<_> = self.file.iter().rev().take(3).collect();
        let file: PathBuf = parts.into_iter().rev().collect();
        let file = file.display();
        let message = format!(
            "the data folder is damaged: `{file}` at byte {}, record {}: {}; {}",
            self.offset, self.lsn, self.fault, self.evidence
        );
        Error::new(&codes::JOURNAL_CORRUPT, message)
            .with_help(
                "copy the data folder, check the disk, then restore the folder from a backup or move it away",
            )
            .with_internal(self.report())
    }

    /// The error for a refused read: callers learn no file names.
    pub(crate) fn refuse_read(&self) -> Error {
        Error::new(&codes::JOURNAL_CORRUPT, UNREADABLE).with_internal(self.report())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report())
    }
}

/// Why a file of the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Damage(Box<Damage>),
    #[error("`{}` cannot be used: {cause}", path.display())]
    Io { path: PathBuf, cause: io::Error },
    #[error("`{}` has format {version}, which is newer than this program", path.display())]
    Newer { path: PathBuf, version: u32 },
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Damage(Box::new(damage))
    }
}

impl Fault {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { path: path.clone(), cause }
    }

    /// Whether the same attempt succeeds a little later without anyone's doing.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if patience::passes(cause))
    }

    /// The error for a refused start.
    pub(crate) fn refuse_start(self) -> Error {
        match self {
            Self::Damage(damage) => damage.refuse_start(),
            Self::Newer { .. } => Error::new(&codes::UNSUPPORTED, self.to_string())
                .with_help("start the version that wrote this data folder, or a newer one"),
            Self::Io { .. } => Error::new(&codes::JOURNAL_UNAVAILABLE, self.to_string())
                .with_help("check the disk and the folder's rights"),
        }
    }

    /// The error for a refused read.
    pub(crate) fn refuse_read(self) -> Error {
        match self {
            Self::Damage(damage) => damage.refuse_read(),
            other => unavailable("the record of runs cannot be read").with_internal(other.to_string()),
        }
    }
}

pub(crate) fn unavailable(message: &str) -> Error {
    Error::new(&codes::JOURNAL_UNAVAILABLE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage() -> Damage {
        let file = Path::new("/data/log/0000000003.seg");
        Damage::new(file, 81_920, 20_481, "the checksum does not match", "record 20482 follows it")
    }

    #[test]
    fn a_refused_start_names_file_offset_and_record() {
        let error = damage().refuse_start();
        assert_eq!(error.code(), &codes::JOURNAL_CORRUPT);
        for part in ["0000000003.seg", "81920", "20481", "checksum", "20482"] {
            assert!(error.message().contains(part), "{part} is not in {error}");
        }
        let report = error.internal().expect("the report is for the log");
        assert!(report.contains("/data/log") && report.contains("backup") && report.contains("1 to 20480"));
    }

    #[test]
    fn a_refused_read_tells_callers_no_file() {
        assert!(!damage().refuse_read().to_string().contains("seg"));
    }
}
