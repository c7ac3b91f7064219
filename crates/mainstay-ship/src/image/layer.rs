//! A layer: a tar archive (POSIX ustar), packed with gzip, both without a time and in the order of the paths.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use mainstay_core::{Error, Result, codes};
use tar::{EntryType, Header};

use crate::label::sha256_hex;

/// A file or folder of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, without a leading `/`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Who may do what with it.
    pub mode: u32,
    /// Its owner and group.
    pub owner: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file with these bytes.
    File(Vec<u8>),
}

impl Entry {
    /// A folder.
    pub(super) fn folder(path: impl Into<String>, mode: u32, owner: u32) -> Self {
        Self { path: path.into(), kind: Kind::Folder, mode, owner }
    }

    /// A file, owned by root.
    pub(super) fn file(path: impl Into<String>, mode: u32, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), kind: Kind::File(bytes), mode, owner: 0 }
    }
}

/// A layer.
pub(super) struct Layer {
    /// The digest of the archive before it was packed.
    pub(super) diff: String,
    /// The packed archive.
    pub(super) packed: Vec<u8>,
    /// Bytes of its files.
    pub(super) unpacked: u64,
}

pub(super) fn layer(mut entries: Vec<Entry>) -> Result<Layer> {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut archive = tar::Builder::new(Vec::new());
    let mut unpacked = 0;
    for entry in &entries {
        let mut header = Header::new_ustar();
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.into());
        header.set_gid(entry.owner.into());
        header.set_mtime(0);
        let (kind, bytes, path) = match &entry.kind {
            Kind::Folder => (EntryType::Directory, [].as_slice(), format!("{}/", entry.path)),
            Kind::File(bytes) => (EntryType::Regular, bytes.as_slice(), entry.path.clone()),
        };
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        unpacked += bytes.len() as u64;
        archive.append_data(&mut header, &path, bytes).map_err(|error| unfit(&entry.path, &error))?;
    }
    let archive = archive.into_inner().map_err(|error| unfit("the end", &error))?;
    // No time and the same sign for the machine, so that the same archive is packed to the same bytes everywhere.
    let mut packer = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    let packed = packer.write_all(&archive).and_then(|()| packer.finish());
    let packed = packed.map_err(|error| unfit("the archive", &error))?;
    Ok(Layer { diff: format!("sha256:{}", sha256_hex(&archive)), packed, unpacked })
}

fn unfit(path: &str, error: &std::io::Error) -> Error {
    Error::new(&codes::SHIP_UNSUPPORTED, format!("`{path}` does not fit into an image: {error}"))
        .with_help("shorten the path")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_layer_is_the_same_bytes_whatever_the_order_of_its_entries() {
        let entries = vec![
            Entry::folder("a", 0o755, 0),
            Entry::file("a/b", 0o644, b"text".to_vec()),
            Entry::folder("data", 0o700, 10001),
        ];
        let forth = layer(entries.clone()).unwrap();
        let back = layer(entries.into_iter().rev().collect()).unwrap();
        assert_eq!((&forth.diff, &forth.packed), (&back.diff, &back.packed));
        assert_eq!(forth.unpacked, 4);
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(forth.packed.as_slice()).read_to_end(&mut archive).unwrap();
        let mut read = tar::Archive::new(archive.as_slice());
        let seen: Vec<(String, u32, u64, u64)> = read
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap())
            })
            .collect();
        let expect = [("a/", 0o755, 0, 0), ("a/b", 0o644, 0, 0), ("data/", 0o700, 10001, 0)];
        assert_eq!(seen, expect.map(|(path, mode, uid, time)| (path.to_owned(), mode, uid, time)));
    }
}
