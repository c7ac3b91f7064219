//! The embedded journal keeps every promise of the port: with its defaults, and with bounds so small that segments,
//! blobs and view commits all change within each check.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Arguments;
use mainstay_journal::{Journal, Options};
use mainstay_testkit::conformance::journal::{Fresh, trials};

fn main() {
    let mut all = trials("embedded", || fresh(|options| options));
    all.extend(trials("embedded-small", || fresh(small)));
    libtest_mimic::run(&Arguments::from_args(), all).exit();
}

fn fresh(bounds: impl Fn(Options) -> Options) -> Fresh {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options { reserve_bytes: 0, ..Options::new(folder.path()) };
    let journal = Journal::open(bounds(options)).expect("the journal opens");
    (Arc::new(journal), Box::new(folder) as Box<dyn Any + Send>)
}

fn small(options: Options) -> Options {
    Options {
        segment_bytes: 64 * 1024,
        inline_bytes_max: 200,
        view_rows_max: 3,
        view_delay: Duration::from_millis(1),
        ..options
    }
}
