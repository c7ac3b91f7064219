//! How many records refer to each blob. The same in every view.

use redb::{ReadableTable, Table, WriteTransaction};

use super::{BlobChanges, ViewError, table};
use crate::blob::BlobRef;

/// The table of blobs, open for one transaction.
pub(crate) struct References<'t> {
    counts: Table<'t, &'static [u8], u64>,
    changes: BlobChanges,
}

impl<'t> References<'t> {
    pub(crate) fn open(write: &'t WriteTransaction) -> Result<Self, ViewError> {
        Ok(Self { counts: write.open_table(table::BLOBS)?, changes: BlobChanges::default() })
    }

    /// A record has come that refers to the blob. A copy's blob is held by the record it copies, not by a pin.
    pub(crate) fn arrive(&mut self, blob: &BlobRef, is_copy: bool) -> Result<(), ViewError> {
        let count = self.counts.get(blob.hash.as_slice())?.map_or(0, |count| count.value());
        self.counts.insert(blob.hash.as_slice(), count + 1)?;
        if !is_copy {
            self.changes.arrived.push(blob.hash);
        }
        Ok(())
    }

    /// A record that refers to the blob lives no more.
    pub(crate) fn release(&mut self, blob: &BlobRef) -> Result<(), ViewError> {
        let count = self.counts.get(blob.hash.as_slice())?.map_or(0, |count| count.value());
        if count > 1 {
            self.counts.insert(blob.hash.as_slice(), count - 1)?;
        } else {
            self.counts.remove(blob.hash.as_slice())?;
            self.changes.released.push(blob.hash);
        }
        Ok(())
    }

    /// What is to be done after the commit.
    pub(crate) fn finish(self) -> BlobChanges {
        self.changes
    }
}
