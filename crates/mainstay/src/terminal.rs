//! What a server says: its own lines, its logs and its apps' output. A reader of ours that stalls must hold up nobody,
//! so each of the two streams has a thread of its own behind a bounded buffer (`outlet.rs`).
//!
//! A client command opens none of this: it writes where it stands, and may wait for its reader.

mod log_file;
mod outlet;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
pub(crate) use log_file::{LogFile, LogPlace, log_here};
use mainstay_app::{Line, Source};
pub(crate) use outlet::Notice;
use outlet::Outlet;

use crate::environment;

/// At the end, how long what is said already may take to be written.
const LAST_WORDS_GRACE: Duration = Duration::from_secs(1);

static OUT: OnceLock<Outlet> = OnceLock::new();
static ERR: OnceLock<Outlet> = OnceLock::new();

/// Puts both streams behind their threads. `lost_logs` is the line that stands in standard error for those dropped.
pub(crate) fn open(lost_logs: Notice) {
    let opened = |stream: OwnedFd, name, notice| Outlet::open(File::from(stream), name, notice);
    // A stream that is closed, or a thread that cannot be had, leaves the plain way of writing.
    let out = io::stdout().as_fd().try_clone_to_owned().and_then(|fd| opened(fd, "stdout", lines_dropped));
    let err = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| opened(fd, "stderr", lost_logs));
    // A second opening keeps the first.
    let _ = (out.map(|out| OUT.set(out)), err.map(|err| ERR.set(err)));
}

/// The notice for people.
pub(crate) fn lines_dropped(lines: u64) -> String {
    format!("mainstay: … {lines} lines dropped: nobody read them in time")
}

/// Says something on standard output; `text` is whole lines.
pub(crate) fn print(text: &str) {
    say(&OUT, io::stdout(), text);
}

/// Writes a command's answer to standard output. A reader that has gone (`… | head -1`) has all that it wants, and that
/// is no failure. Errors: anything else that stands in the way, such as a full disk.
pub(crate) fn answer(text: &str) -> anyhow::Result<()> {
    written(&mut io::stdout().lock(), text).context("write to standard output")
}

fn written(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Whether a stream is shown in colours: it is a terminal, and nobody has said `NO_COLOR`.
pub(crate) fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !environment::no_color()
}

/// Says something on standard error; `text` is whole lines.
pub(crate) fn complain(text: &str) {
    say(&ERR, io::stderr(), text);
}

/// Shows a line of an app, after its name, on the stream that it came from.
pub(crate) fn app_line(line: Line<'_>) {
    let text = format!("{} | {}\n", line.app, line.text);
    match line.source {
        Source::Stdout => print(&text),
        Source::Stderr => complain(&text),
    }
}

/// Waits for the last lines to be written, but not for a reader that is not there. The process ends with it.
pub(crate) fn close() {
    for outlet in [&OUT, &ERR].into_iter().filter_map(OnceLock::get) {
        outlet.finish(LAST_WORDS_GRACE);
    }
}

fn say(outlet: &OnceLock<Outlet>, mut plain: impl Write, text: &str) {
    match outlet.get() {
        Some(outlet) => outlet.say(text.as_bytes()),
        // A terminal that is gone cannot be told so.
        None => plain.write_all(text.as_bytes()).unwrap_or_default(),
    }
}

/// Where logs go: standard error, an event a write.
#[derive(Debug)]
pub(crate) struct Logs;

impl Write for Logs {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if !log_file::logged(event) {
            return Ok(event.len());
        }
        match ERR.get() {
            Some(outlet) => {
                outlet.say(event);
                Ok(event.len())
            }
            None => io::stderr().write(event),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that refuses everything, in its own way.
    struct Refusing(io::ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is_one() {
        assert!(written(&mut Refusing(io::ErrorKind::BrokenPipe), "x").is_ok());
        assert!(written(&mut Refusing(io::ErrorKind::StorageFull), "x").is_err());
    }
}
