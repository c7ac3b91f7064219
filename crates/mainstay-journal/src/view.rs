//! The view: an index over the log in one redb file. It holds places, not content; it can be thrown away.
//!
//! The machinery is the same for every log; what a view keeps is its [`Tables`]:
//! - `file` opens, checks and recreates it;  - `table` says what is in it;
//! - `apply` turns records into rows;        - `follow` is the thread that does so, with the applied end in the same
//!   commit as the rows;                     - `query` reads.
//!
//! A reader waits until the view shows what was acknowledged before it began; the thread is poked, appends never wait.

pub(crate) mod apply;
pub(crate) mod bell;
pub(crate) mod file;
pub(crate) mod follow;
pub(crate) mod query;
pub(crate) mod references;
pub(crate) mod table;

use mainstay_core::{Error, codes};
use redb::{Database, WriteTransaction};

use crate::blob::Hash;
use crate::damage::{Fault, UNREADABLE, unavailable};
use crate::log::End;
use crate::log::walk::Record;

/// What a view keeps: its tables, and how records become rows. The tables `META` and `BLOBS` are in every view.
pub(crate) trait Tables: Send + std::fmt::Debug + 'static {
    /// The layout. A change of any table needs a new one; old files are then rebuilt.
    const FORMAT: u64;
    /// The tables, open for one transaction.
    type Apply<'t>: Apply;

    /// Makes the tables.
    fn create(write: &WriteTransaction) -> Result<(), ViewError>;

    /// Opens the tables.
    fn begin<'t>(&'t self, write: &'t WriteTransaction) -> Result<Self::Apply<'t>, ViewError>;

    /// Is told of each commit, before anyone who waits for it. Nothing by default.
    fn committed(&self, _database: &Database) -> Result<(), ViewError> {
        Ok(())
    }

    /// Lets go of the file, which is to be closed. Nothing by default.
    fn close(&self) {}
}

/// Turns records into rows, inside one transaction. The same records always give the same rows.
pub(crate) trait Apply {
    /// Applies one record.
    fn record(&mut self, record: &Record<'_>) -> Result<(), ViewError>;

    /// Writes back what was touched, and the end that is applied now.
    fn finish(self, end: End) -> Result<BlobChanges, ViewError>;
}

/// What a transaction did to blobs, to be acted on after its commit.
#[derive(Debug, Default)]
pub(crate) struct BlobChanges {
    /// Perhaps without a reference now.
    pub(crate) released: Vec<Hash>,
    /// Referred to by records of appends that hold a pin.
    pub(crate) arrived: Vec<Hash>,
}

/// Why the view cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    #[error("the view's file: {0}")]
    Store(Box<redb::Error>),
    #[error("the view is closed")]
    Closed,
    #[error(transparent)]
    Log(#[from] Fault),
    #[error("record {lsn} cannot be read: {cause}")]
    Record { lsn: crate::log::Lsn, cause: serde_json::Error },
    #[error("record {lsn} is of kind {kind}, which this version does not know")]
    Kind { lsn: crate::log::Lsn, kind: u8 },
}

/// Every error of redb's, from whichever of its calls.
impl<E: Into<redb::Error>> From<E> for ViewError {
    fn from(error: E) -> Self {
        Self::Store(Box::new(error.into()))
    }
}

impl ViewError {
    /// The error for a refused start.
    pub(crate) fn refuse_start(self) -> Error {
        match self {
            Self::Log(fault) => fault.refuse_start(),
            Self::Kind { .. } => Error::new(&codes::UNSUPPORTED, self.to_string())
                .with_help("start the version that wrote this data folder, or a newer one"),
            Self::Store(_) | Self::Closed | Self::Record { .. } => {
                unavailable("the index of the record of runs cannot be built").with_internal(self.to_string())
            }
        }
    }

    /// Whether this is about one record and the others can be read.
    pub(crate) fn is_of_one_record(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::Log(Fault::Damage(_)))
    }

    /// The error for a refused read.
    pub(crate) fn refuse_read(self) -> Error {
        match self {
            Self::Log(fault) => fault.refuse_read(),
            Self::Record { .. } => {
                Error::new(&codes::JOURNAL_CORRUPT, UNREADABLE).with_internal(self.to_string())
            }
            other => unavailable("the record of runs cannot be read").with_internal(other.to_string()),
        }
    }
}
