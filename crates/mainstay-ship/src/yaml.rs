//! YAML, as every parser in use reads it: whatever an older one could take for a number, a truth or a time is quoted.

use serde_json::Value;

use crate::Header;

/// A document with its header.
pub(crate) fn document(header: &Header<'_>, value: &Value) -> String {
    header.lines("#") + &plain(value)
}

/// A document with its header, whose texts of several lines are written as such: for files that hold scripts, and no
/// value that a user could have written with a line's end in it.
pub(crate) fn scripted(header: &Header<'_>, value: &Value) -> String {
    header.lines("#") + &written(value, true)
}

/// A document without a header.
pub(crate) fn plain(value: &Value) -> String {
    written(value, false)
}

fn written(value: &Value, blocks: bool) -> String {
    let mut out = String::new();
    let options = serde_saphyr::ser_options! {
        prefer_block_scalars: blocks,
        // A long text of one line stays on it.
        folded_wrap_chars: usize::MAX,
    };
    serde_saphyr::to_fmt_writer_with_options(&mut out, value, options).expect("a JSON value is YAML");
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}
