//! A set of keys that changes while it is used: at a URL, in a file, or as it was given once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use mainstay_core::{Clock, Ctx, Error, Result, codes};
use mainstay_net::client::Client;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::{Key, STANDARD, parse_set};
use crate::web;

/// Bytes of a set.
const SET_BYTES_MAX: usize = 1 << 20;

/// Where a set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At an `http://` or `https://` URL.
    Url(String),
    /// In a file.
    File(PathBuf),
    /// Here.
    Given(Vec<Key>),
}

impl Place {
    /// What a text says: a URL, the path of a file that is there, or a set in JSON, perhaps in base64. Errors: it is
    /// none of them.
    pub(crate) fn of(text: &str, folder: &std::path::Path) -> std::result::Result<Self, &'static str> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url(text.to_owned()));
        }
        let path = folder.join(text);
        // A set may be longer than a path can be; then it is no file either.
        if path.is_file() {
            return Ok(Self::File(path));
        }
        let decoded = STANDARD.decode(text.trim()).unwrap_or_else(|_| text.as_bytes().to_vec());
        let none = "it is no URL, no file and no JSON value (optionally base64-encoded)";
        parse_set(&decoded).map(Self::Given).map_err(|_| none)
    }
}

/// How a set at a URL is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refresh {
    /// Asked for again when it is older than this.
    pub(crate) after: Duration,
    /// For a key that it does not have, asked for again when it was not asked for this long.
    pub(crate) missing_after: Duration,
    /// How long asking may take.
    pub(crate) timeout: Duration,
}

/// A set of keys.
pub(crate) struct KeySet {
    place: Place,
    refresh: Refresh,
    client: Client,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held by whoever asks for the set: one at a time.
    asking: AsyncMutex<()>,
}

#[derive(Default)]
struct State {
    keys: Arc<Vec<Key>>,
    /// When it was last asked for, successfully or not.
    asked_ms: u64,
    /// What the file was like that was read.
    file: Option<(SystemTime, u64)>,
}

impl KeySet {
    pub(crate) fn new(place: Place, refresh: Refresh, client: &Client, clock: &Arc<dyn Clock>) -> Self {
        let keys = if let Place::Given(keys) = &place { Arc::new(keys.clone()) } else { Arc::default() };
        Self {
            place,
            refresh,
            client: client.clone(),
            clock: Arc::clone(clock),
            state: Mutex::new(State { keys, ..State::default() }),
            asking: AsyncMutex::default(),
        }
    }

    /// Asks for the set now. Errors: `VAULT_UNAVAILABLE`.
    pub(crate) async fn load(&self, ctx: &Ctx) -> Result<()> {
        let _asking = self.asking.lock().await;
        self.ask(ctx).await
    }

    /// The keys that `fits` chooses, of a set that is fresh enough. A set that cannot be had anew stays as it was.
    pub(crate) async fn find(&self, ctx: &Ctx, fits: impl Fn(&Key) -> bool) -> Vec<Key> {
        match &self.place {
            Place::Given(_) => {}
            Place::File(path) => {
                let now = tokio::fs::metadata(path)
                    .await
                    .ok()
                    .and_then(|meta| Some((meta.modified().ok()?, meta.len())));
                if now.is_some() && self.state.lock().file != now {
                    let _asking = self.asking.lock().await;
                    // What cannot be read now is read at the next question, for the file has not been taken note of.
                    let _ = self.ask(ctx).await;
                }
            }
            Place::Url(_) => self.freshen(ctx, self.chosen(&fits).is_empty()).await,
        }
        self.chosen(&fits)
    }

    fn chosen(&self, fits: &impl Fn(&Key) -> bool) -> Vec<Key> {
        let keys = Arc::clone(&self.state.lock().keys);
        keys.iter().filter(|key| fits(key)).cloned().collect()
    }

    /// Asks for the set at its URL where it is time to.
    async fn freshen(&self, ctx: &Ctx, is_missing: bool) {
        let age = || Duration::from_millis(self.clock.now_ms().saturating_sub(self.state.lock().asked_ms));
        let is_due = || age() >= self.refresh.after || (is_missing && age() >= self.refresh.missing_after);
        if !is_due() {
            return;
        }
        // Who has what he wants does not wait for another who asks already.
        let asking = if is_missing { Some(self.asking.lock().await) } else { self.asking.try_lock().ok() };
        if asking.is_some() && is_due() {
            let _ = self.ask(ctx).await;
        }
    }

    async fn ask(&self, ctx: &Ctx) -> Result<()> {
        let unavailable = |why: &str| {
            Error::new(&codes::VAULT_UNAVAILABLE, "the key set cannot be read").with_internal(why.to_owned())
        };
        match &self.place {
            Place::Given(_) => Ok(()),
            Place::File(path) => {
                let meta =
                    tokio::fs::metadata(path).await.map_err(|error| unavailable(&error.to_string()))?;
                if meta.len() > SET_BYTES_MAX as u64 {
                    return Err(unavailable("the file is too large"));
                }
                let text = tokio::fs::read(path).await.map_err(|error| unavailable(&error.to_string()))?;
                let keys = parse_set(&text).map_err(unavailable)?;
                let mut state = self.state.lock();
                state.file = meta.modified().ok().map(|time| (time, meta.len()));
                state.keys = Arc::new(keys);
                Ok(())
            }
            Place::Url(url) => {
                self.state.lock().asked_ms = self.clock.now_ms();
                let text = web::get(&self.client, ctx, url, self.refresh.timeout, SET_BYTES_MAX).await;
                let text = text.map_err(|why| unavailable(&why))?;
                let keys = parse_set(&text).map_err(unavailable)?;
                self.state.lock().keys = Arc::new(keys);
                Ok(())
            }
        }
    }
}
