//! YAML, as every parser in use reads it: whatever an older one could take for a number, a truth or a time is quoted.

use serde_json::Value;

use crate::Header;

/// A document with its header.
pub(crate) fn document(header: &Header<'_>, value: &Value) -> String {
    header.lines("#") + &plain(value)
}

/// A document without a header.
pub(crate) fn plain(value: &Value) -> String {
    let mut out = String::new();
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_fmt_writer_with_options(&mut out, value, options).expect("a JSON value is YAML");
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}
