//! Exit codes, after BSD sysexits. They are part of the interface: `docs/reference/cli.md` lists them.

use std::process::ExitCode;

use mainstay_core::{Error, Kind, codes};

use crate::terminal;

/// It worked.
pub(crate) const OK: u8 = 0;
/// It was done, and the answer is no (a failed run, an unhealthy server).
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 64;
/// Something it depends on is not available (a port, a server, a disk, the network).
pub(crate) const UNAVAILABLE: u8 = 69;
/// A fault of ours.
pub(crate) const BUG: u8 = 70;
/// The spec is wrong.
pub(crate) const CONFIGURATION: u8 = 78;
/// A client command, or the check of a running service, was told to stop by Ctrl-C, as shells say it.
pub(crate) const STOPPED: u8 = 130;

/// What the exit codes mean, for the reference page.
pub(crate) const ALL: &[(u8, &str)] = &[
    (OK, "it worked"),
    (
        FAILED,
        "it was done, and the answer is no: a failed run, an unhealthy server, a failed item of the checklist",
    ),
    (USAGE, "the command line is wrong"),
    (
        UNAVAILABLE,
        "something it depends on is not available: a port, a secret, a server, the network, a disk",
    ),
    (BUG, "a fault of ours; please report it"),
    (CONFIGURATION, "the spec is wrong; every fault is printed"),
    (
        STOPPED,
        "`mainstay invoke` was stopped by Ctrl-C; the run goes on or not as its agent's `on_disconnect` says. Or \
         `mainstay check` was, while it asked a running service",
    ),
];

/// An exit that was already explained on the terminal.
#[derive(Debug)]
pub(crate) struct Explained(pub(crate) u8);

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Explained {}

/// Prints an error with its causes and its help, and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(Explained(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    let mut lines = vec![format!("mainstay: {error:#}")];
    let ours = error.chain().find_map(|e| e.downcast_ref::<Error>());
    if let Some(error) = ours {
        if let Some(internal) = error.internal() {
            lines.push(format!("  detail: {internal}"));
        }
        if let Some(help) = error.help() {
            lines.push(format!("  help: {help}"));
        }
        lines.push(format!("  code: {0}; `mainstay explain {0}` says more", error.code().id));
    }
    terminal::complain(&(lines.join("\n") + "\n"));
    ExitCode::from(ours.map_or(FAILED, code_for))
}

fn code_for(error: &Error) -> u8 {
    if error.code().id.starts_with("CONFIG_") {
        return CONFIGURATION;
    }
    // Damage is the disk's, or of whoever wrote there.
    if error.code() == &codes::JOURNAL_CORRUPT {
        return UNAVAILABLE;
    }
    match error.kind() {
        Kind::Internal => BUG,
        Kind::Unavailable | Kind::Timeout | Kind::RateLimited | Kind::Conflict => UNAVAILABLE,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_class_of_the_error() {
        let code = |c| code_for(&Error::new(c, "x"));
        assert_eq!(code(&codes::CONFIG_FILE), CONFIGURATION);
        assert_eq!(code(&codes::JOURNAL_LOCKED), UNAVAILABLE);
        assert_eq!(code(&codes::JOURNAL_CORRUPT), UNAVAILABLE);
        assert_eq!(code(&codes::INTERNAL), BUG);
        assert_eq!(code(&codes::RUN_NOT_FOUND), FAILED);
    }
}
