//! The `Q8_0` copy of a model file, made once and kept beside the original: the only form whose products are fast.
//! A folder that cannot be written is no error: then the original is quantised anew at each load.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use candle_core::quantized::{QTensor, gguf_file};
use mainstay_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Gguf, file_name, unusable};

/// What the copy was made from and its own checksum; stands beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Check {
    original_bytes: u64,
    original_modified_ns: u64,
    copy_crc32c: u32,
}

/// The file to load: the original when it needs no copy, else a copy that was checked byte by byte, else the original.
pub(crate) fn requantised(original: &Path) -> Result<PathBuf> {
    let mut gguf = Gguf::open(original)?;
    if !gguf.needs_requantising() {
        return Ok(original.to_owned());
    }
    let copy = original.with_extension("q8_0.gguf");
    if is_current(original, &copy) {
        return Ok(copy);
    }
    match make(&mut gguf, original, &copy) {
        Ok(()) => {
            tracing::info!(model = gguf.name(), "quantised the model to Q8_0, once");
            Ok(copy)
        }
        Err(failure) => {
            let cause = failure.internal().unwrap_or_default();
            tracing::warn!(model = gguf.name(), cause, "cannot keep a Q8_0 copy; quantising at each start");
            Ok(original.to_owned())
        }
    }
}

fn is_current(original: &Path, copy: &Path) -> bool {
    let check = fs::read(check_path(copy)).ok().and_then(|text| serde_json::from_slice::<Check>(&text).ok());
    let Some(check) = check else { return false };
    let Ok((bytes, modified)) = identity(original) else { return false };
    (bytes, modified) == (check.original_bytes, check.original_modified_ns)
        && checksum(copy).is_ok_and(|sum| sum == check.copy_crc32c)
}

fn make(gguf: &mut Gguf, original: &Path, copy: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        unusable(&file_name(copy), "it cannot be written").with_internal(format!("{}: {e}", copy.display()))
    };
    let (original_bytes, original_modified_ns) = identity(original).map_err(failed)?;
    let part = copy.with_extension(format!("{}.part", std::process::id()));
    let made = write(gguf, &part).and_then(|()| {
        let copy_crc32c = checksum(&part).map_err(failed)?;
        let check = Check { original_bytes, original_modified_ns, copy_crc32c };
        // The check goes first to nothing: between here and its writing, the copy counts as missing.
        remove_if_there(&check_path(copy)).map_err(failed)?;
        fs::rename(&part, copy).map_err(failed)?;
        publish_check(copy, &check).map_err(failed)
    });
    if made.is_err() {
        let _ = fs::remove_file(&part);
    }
    made
}

fn write(gguf: &mut Gguf, part: &Path) -> Result<()> {
    let mut names: Vec<String> = gguf.tensors().map(str::to_owned).collect();
    names.sort_unstable();
    let tensors: Vec<QTensor> = names.iter().map(|name| copied(gguf, name)).collect::<Result<_>>()?;
    let mut metadata: Vec<_> = gguf.content().metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    metadata.sort_unstable_by_key(|(key, _)| *key);
    let tensors: Vec<_> = names.iter().map(String::as_str).zip(&tensors).collect();
    let failed = |e: &dyn std::fmt::Display| -> Error {
        unusable(&file_name(part), "it cannot be written").with_internal(e.to_string())
    };
    let mut out = BufWriter::with_capacity(1 << 20, File::create(part).map_err(|e| failed(&e))?);
    gguf_file::write(&mut out, &metadata, &tensors).map_err(|e| failed(&e))?;
    let file = out.into_inner().map_err(|e| failed(&e))?;
    file.sync_all().map_err(|e| failed(&e))
}

fn copied(gguf: &mut Gguf, name: &str) -> Result<QTensor> {
    let is_matrix = gguf.content().tensor_infos.get(name).is_some_and(|info| info.shape.rank() == 2);
    if is_matrix { gguf.quantised(name) } else { gguf.read(name) }
}

fn publish_check(copy: &Path, check: &Check) -> std::io::Result<()> {
    let path = check_path(copy);
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec(check)?)?;
    file.sync_all()?;
    fs::rename(&part, &path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn check_path(copy: &Path) -> PathBuf {
    copy.with_extension("gguf.check")
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    Ok((metadata.len(), u64::try_from(modified).unwrap_or(u64::MAX)))
}

fn checksum(path: &Path) -> std::io::Result<u32> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut buffer = vec![0; 1 << 20];
    let mut sum = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(sum),
            count => sum = crc32c::crc32c_append(sum, &buffer[..count]),
        }
    }
}
