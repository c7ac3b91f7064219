//! This program as a guard, where no shell can be one: it says that it is there, waits for its standard input to end,
//! and kills its group. What asks a group to end does not end it.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Signal, kill_current_process_group};
use tokio::signal::unix::{SignalKind, signal};

use super::shell::GUARD_NAME;

/// Is the guard, if this program was started as one. Call it first: it ends with its group.
#[must_use]
pub fn guard_if_asked() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    (name == GUARD_NAME).then(|| match watch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn watch() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // A handler in place of the default is all it takes; what comes is not looked at.
    let kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()];
    let _handled: Vec<_> = kinds.into_iter().map(signal).collect::<std::io::Result<_>>()?;
    let mut out = std::io::stdout();
    out.write_all(b"\n")?;
    out.flush()?;
    let mut read = [0; 1];
    while std::io::stdin().read(&mut read).is_err_and(|error| error.kind() == std::io::ErrorKind::Interrupted)
    {
    }
    kill_current_process_group(Signal::KILL)?;
    Ok(())
}
