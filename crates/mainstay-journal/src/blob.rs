//! Large values: content-addressed files beside the log, named by their sha-256.
//!
//! A blob is durable before a record refers to it, is written once however often it is referred to, and is verified
//! on every read. It is removed when the view counts no reference and no append is on its way with one (a *pin*).

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::damage::{Damage, Fault};
use crate::stats::Counters;

/// A sha-256.
pub(crate) type Hash = [u8; 32];

/// A reference to a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobRef {
    pub(crate) hash: Hash,
    pub(crate) bytes: u64,
}

/// A value that is to become a blob.
#[derive(Debug)]
pub(crate) struct Large {
    hash: Hash,
    content: Vec<u8>,
}

impl Large {
    pub(crate) fn new(content: Vec<u8>) -> Self {
        Self { hash: Sha256::digest(&content).into(), content }
    }

    pub(crate) fn blob(&self) -> BlobRef {
        BlobRef { hash: self.hash, bytes: self.content.len() as u64 }
    }
}

/// The blobs of a journal.
#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    pins: Mutex<HashMap<Hash, u32>>,
    unnamed: AtomicU64,
    counters: Arc<Counters>,
}

/// Keeps blobs from being removed until the records that refer to them are applied. Dropping it lets go of them.
#[derive(Debug)]
pub(crate) struct Pins {
    blobs: Arc<Blobs>,
    hashes: Vec<Hash>,
}

impl Pins {
    /// The records are in the queue: from here on the view lets go, when it has applied them.
    pub(crate) fn hand_over(mut self) {
        self.hashes.clear();
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        self.hashes.iter().for_each(|hash| self.blobs.unpin(hash));
    }
}

impl Blobs {
    /// Opens the folder, making it if absent; leftovers of unfinished writes are removed.
    pub(crate) fn open(folder: PathBuf, counters: Arc<Counters>) -> Result<Self, Fault> {
        let ready = || -> io::Result<()> {
            std::fs::create_dir_all(&folder)?;
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "tmp") {
                    std::fs::remove_file(path)?;
                }
            }
            Ok(())
        };
        ready().map_err(Fault::io(&folder))?;
        Ok(Self { folder, pins: Mutex::default(), unnamed: AtomicU64::new(0), counters })
    }

    /// Makes the values durable and pins them. Blocks.
    pub(crate) fn put(self: &Arc<Self>, large: Vec<Large>) -> io::Result<Pins> {
        let pins = Pins { blobs: self.clone(), hashes: large.iter().map(|value| value.hash).collect() };
        for hash in &pins.hashes {
            *self.pins.lock().entry(*hash).or_insert(0) += 1;
        }
        for value in &large {
            // A damaged file of that name must not swallow a good value.
            if !self.holds(value) {
                self.write(value)?;
            }
        }
        // Also where the files were there: another append may have renamed and not yet synced them.
        File::open(&self.folder)?.sync_all()?;
        Ok(pins)
    }

    fn holds(&self, value: &Large) -> bool {
        std::fs::read(self.path(&value.hash)).is_ok_and(|content| content == value.content)
    }

    fn write(&self, value: &Large) -> io::Result<()> {
        let turn = self.unnamed.fetch_add(1, Ordering::Relaxed);
        let unnamed = self.folder.join(format!("{turn}.tmp"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&unnamed)?;
        let written = file.write_all(&value.content).and_then(|()| file.sync_data());
        let named = written.and_then(|()| std::fs::rename(&unnamed, self.path(&value.hash)));
        if named.is_err() {
            // Not worth a second error: the next open removes it.
            let _ = std::fs::remove_file(&unnamed);
        }
        self.counters.blobs.fetch_add(1, Ordering::Relaxed);
        named
    }

    /// The content, verified; `None` where there is no such blob. Blocks.
    pub(crate) fn get(&self, blob: &BlobRef) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.path(&blob.hash);
        let content = match std::fs::read(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            outcome => outcome.map_err(Fault::io(&path))?,
        };
        if Hash::from(Sha256::digest(&content)) != blob.hash {
            let fault = "the content does not match its name";
            return Err(Damage::new(&path, 0, 0, fault, "a record refers to it").into());
        }
        Ok(Some(content))
    }

    /// Lets go of a blob.
    pub(crate) fn unpin(&self, hash: &Hash) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(hash) {
            *count -= 1;
            if *count == 0 {
                pins.remove(hash);
            }
        }
    }

    /// Removes the blob unless it is pinned or `is_referred_to` (asked while no pin can be taken).
    pub(crate) fn collect<E>(
        &self,
        hash: &Hash,
        is_referred_to: impl FnOnce() -> Result<bool, E>,
    ) -> Result<(), E> {
        let pins = self.pins.lock();
        if pins.contains_key(hash) || is_referred_to()? {
            return Ok(());
        }
        let path = self.path(hash);
        if let Err(cause) = std::fs::remove_file(&path)
            && cause.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %path.display(), %cause, "a blob that nothing refers to could not be removed");
        }
        Ok(())
    }

    /// The hashes of all blobs there are.
    pub(crate) fn list(&self) -> io::Result<Vec<Hash>> {
        let mut hashes = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            hashes.extend(entry?.file_name().to_str().and_then(from_hex));
        }
        Ok(hashes)
    }

    /// The blob's file.
    pub(crate) fn path(&self, hash: &Hash) -> PathBuf {
        self.folder.join(to_hex(hash))
    }
}

/// A blob reference is a pair in JSON: the hash in hex, and the length.
impl Serialize for BlobRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (to_hex(&self.hash), self.bytes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BlobRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (hex, bytes) = <(String, u64)>::deserialize(deserializer)?;
        let hash = from_hex(&hex).ok_or_else(|| serde::de::Error::custom("not a sha-256 in hex"))?;
        Ok(Self { hash, bytes })
    }
}

fn to_hex(hash: &Hash) -> String {
    use std::fmt::Write;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any write");
        text
    })
}

fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn blobs(folder: &Path) -> Arc<Blobs> {
        Arc::new(Blobs::open(folder.to_owned(), Arc::default()).unwrap())
    }

    fn nobody() -> Result<bool, std::convert::Infallible> {
        Ok(false)
    }

    #[test]
    fn a_blob_reads_back_and_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = blobs(folder.path());
        let large = || Large::new(vec![7; 100_000]);
        let reference = large().blob();
        let _pins = (blobs.put(vec![large()]).unwrap(), blobs.put(vec![large()]).unwrap());
        assert_eq!(blobs.get(&reference).unwrap(), Some(vec![7; 100_000]));
        assert_eq!(blobs.counters.blobs.load(Ordering::Relaxed), 1);
        assert_eq!(blobs.list().unwrap(), [reference.hash]);
        let json = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<BlobRef>(&json).unwrap(), reference);
    }

    #[test]
    fn a_damaged_or_missing_blob_is_refused_and_healed_by_the_next_put() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = blobs(folder.path());
        let large = || Large::new(vec![7; 1_000]);
        let reference = large().blob();
        drop(blobs.put(vec![large()]).unwrap());
        let path = blobs.path(&reference.hash);
        std::fs::write(&path, vec![6; 1_000]).unwrap();
        assert!(matches!(blobs.get(&reference), Err(Fault::Damage(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(blobs.get(&reference).unwrap().is_none());
        std::fs::write(&path, vec![6; 1_000]).unwrap();
        drop(blobs.put(vec![large()]).unwrap());
        assert!(blobs.get(&reference).unwrap().is_some());
    }

    #[test]
    fn a_blob_stays_while_it_is_pinned_or_referred_to() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = blobs(folder.path());
        let reference = Large::new(vec![7; 1_000]).blob();
        let first = blobs.put(vec![Large::new(vec![7; 1_000])]).unwrap();
        let second = blobs.put(vec![Large::new(vec![7; 1_000])]).unwrap();
        drop(first);
        blobs.collect(&reference.hash, nobody).unwrap();
        assert!(blobs.get(&reference).unwrap().is_some(), "still pinned by the second");
        second.hand_over();
        blobs.unpin(&reference.hash);
        blobs.collect(&reference.hash, || Ok::<_, std::convert::Infallible>(true)).unwrap();
        assert!(blobs.get(&reference).unwrap().is_some(), "referred to");
        blobs.collect(&reference.hash, nobody).unwrap();
        assert!(blobs.get(&reference).unwrap().is_none(), "free to go");
    }
}
