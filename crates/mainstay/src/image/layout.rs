//! Files of a spec's folder into an image, and an image into a folder or an archive.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mainstay_ship::image::Image;

/// Bytes of the files of a spec, at most.
const BYTES_MAX: u64 = 4 << 30;

/// The files that a spec was read from, by their paths in its folder. Errors: one lies elsewhere, where an image cannot
/// have it under the same name.
pub(crate) fn files(folder: &Path, read: &[PathBuf]) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = folder.canonicalize().with_context(|| format!("find `{}`", folder.display()))?;
    let mut found = Vec::new();
    let mut bytes = 0;
    for path in read {
        let at = path.canonicalize().with_context(|| format!("find `{}`", path.display()))?;
        if at.is_dir() {
            continue;
        }
        let Ok(name) = at.strip_prefix(&folder) else {
            bail!(
                "`{}` is not in the spec's folder, so an image cannot hold it under this name",
                path.display()
            );
        };
        let content = std::fs::read(&at).with_context(|| format!("read `{}`", at.display()))?;
        bytes += content.len() as u64;
        anyhow::ensure!(bytes <= BYTES_MAX, "the spec's files are more than {BYTES_MAX} bytes");
        let name: Vec<String> = name.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        found.push((name.join("/"), content));
    }
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    Ok(found)
}

/// Writes an image layout: a folder, or one archive where the name ends in `.tar`.
pub(crate) fn write(out: &Path, image: &Image, reference: &str) -> anyhow::Result<()> {
    let files = image.layout(reference);
    if out.extension().is_some_and(|ending| ending == "tar") {
        return archive(out, &files).with_context(|| format!("write `{}`", out.display()));
    }
    for (path, bytes) in files {
        let at = out.join(path);
        let folder = at.parent().unwrap_or(out);
        std::fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
        std::fs::write(&at, bytes).with_context(|| format!("write `{}`", at.display()))?;
    }
    Ok(())
}

fn archive(out: &Path, files: &[(String, Vec<u8>)]) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(std::fs::File::create(out)?);
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes.as_slice())?;
    }
    archive.into_inner()?.sync_all()
}
