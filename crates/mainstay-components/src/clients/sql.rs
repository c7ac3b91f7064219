//! What the stores in SQL databases share: names of tables, what is JSON, and the sweep of what has
//! outlived its time. No SQL.

use std::time::Duration;

use bytes::Bytes;
use mainstay_core::state::{Change, Format};
use mainstay_core::{Error, codes};
use tokio::task::AbortHandle;

/// Whether it can stand in a statement as the name of a table: ASCII letters, digits and `_`.
pub(crate) fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The value as the text of JSON, where it is that and its format says so.
pub(crate) fn json(value: &Bytes, format: Format) -> Option<&str> {
    let text = std::str::from_utf8(value).ok().filter(|_| format == Format::Json)?;
    serde_json::from_str::<&serde_json::value::RawValue>(text).ok().map(|_| text)
}

/// The failure of a change whose precondition does not hold.
pub(crate) fn changed(change: &Change) -> Error {
    Error::new(&codes::ETAG_MISMATCH, format!("change `{}`: it was changed meanwhile", change.key()))
}

/// The failure of a call that was of several keys or changes, for each of them.
pub(crate) fn same(error: &Error) -> Error {
    Error::new(error.code(), error.message())
        .with_internal(error.internal().unwrap_or_default())
        .with_retry(error.retry())
}

/// A sweep at an interval; it ends when this is dropped.
pub(crate) struct Sweep(Option<AbortHandle>);

impl Sweep {
    /// Sweeps at the end of each interval; never without. A sweep that fails is made up for by the next.
    pub(crate) fn every<F: Future<Output = ()> + Send>(
        interval: Option<Duration>,
        mut sweep: impl FnMut() -> F + Send + 'static,
    ) -> Self {
        Self(interval.map(|interval| {
            let sweeps = async move {
                loop {
                    tokio::time::sleep(interval).await;
                    sweep().await;
                }
            };
            tokio::spawn(sweeps).abort_handle()
        }))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_kept_as_json() {
        let json = |text: &str, format| super::json(&Bytes::from(text.to_owned()), format).is_some();
        assert!(json(" {\"a\": 1}\n", Format::Json));
        assert!(!json("{\"a\": 1}", Format::Bytes) && !json("{a}", Format::Json) && !json("", Format::Json));
    }

    #[test]
    fn a_table_has_a_plain_name() {
        assert!(
            is_identifier("state_2") && !is_identifier("") && !is_identifier("a;b") && !is_identifier("é")
        );
    }
}
