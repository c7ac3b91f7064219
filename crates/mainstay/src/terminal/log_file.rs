//! A log file beside an app: lines go to a thread of its own, as those of the streams do. What a thread of ours logs
//! may be sent there, so that each of several sidecars in this process has a log of its own.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay_core::Clock as _;
use mainstay_net::clock::SystemClock;

use super::outlet::Outlet;
use super::{LAST_WORDS_GRACE, lines_dropped};

/// A file that takes lines without waiting.
#[derive(Debug)]
pub(crate) struct LogFile {
    outlet: Outlet,
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl LogFile {
    /// A new file `NAME_YYYYMMDDhhmmss.log` (UTC) in `folder`, which is made if need be.
    pub(crate) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let digits = mainstay_dapr::time(SystemClock.now_ms()).replace(|c: char| !c.is_ascii_digit(), "");
        let path = folder.join(format!("{name}_{digits}.log"));
        let outlet = Outlet::open(std::fs::File::create(&path)?, name, lines_dropped)?;
        Ok(Self { outlet, path })
    }

    /// Takes whole lines.
    pub(crate) fn say(&self, text: &[u8]) {
        self.outlet.say(text);
    }

    /// Waits for the last lines to be written.
    pub(crate) fn finish(&self) {
        self.outlet.finish(LAST_WORDS_GRACE);
    }
}

/// Where the log of a thread goes, besides or instead of standard error.
#[derive(Clone, Debug)]
pub(crate) struct LogPlace {
    pub(crate) file: Arc<LogFile>,
    pub(crate) console: bool,
}

thread_local! {
    static PLACE: RefCell<Option<LogPlace>> = const { RefCell::new(None) };
}

/// Sends what this thread logs from now on to a place of its own; `None` for standard error.
pub(crate) fn log_here(place: Option<LogPlace>) {
    PLACE.set(place);
}

/// Takes an event of this thread; whether standard error is to have it too.
pub(super) fn logged(event: &[u8]) -> bool {
    // A thread that is ending logs to standard error.
    let kept = PLACE.try_with(|place| {
        place.borrow().as_ref().is_none_or(|place| {
            place.file.say(event);
            place.console
        })
    });
    kept.unwrap_or(true)
}
