//! `file:PATH`: the content of a file, as container platforms mount secrets. One newline at the end is not part of the
//! secret. It does not watch the file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::{Def, Missing, SECRET_BYTES_MAX, too_large};

/// The source `file`.
pub const DEF: Def =
    Def { source: "file", about: "The content of a file; relative paths start at the spec's folder.", read };

fn read(folder: &Path, path: &str) -> Result<String, Missing> {
    let path = folder.join(path);
    let bytes = read_bounded(&path).map_err(|error| Missing {
        why: format!("cannot be read: {}", reason(&error)),
        help: format!("make `{}` a file that this process may read", path.display()),
    })?;
    if bytes.len() > READ_BYTES_MAX {
        return Err(too_large());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| Missing {
        why: "is not UTF-8 text".to_owned(),
        help: "store the secret as text, e.g. in base64".to_owned(),
    })?;
    let trimmed = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text).len();
    text.truncate(trimmed);
    Ok(text)
}

/// A secret and its newline.
const READ_BYTES_MAX: usize = SECRET_BYTES_MAX + 2;

/// One byte more than there may be, so that the caller notices.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe without a writer would hang the start.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(READ_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
