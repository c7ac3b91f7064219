//! The frame that all pages share, and the small pages. All text is escaped here or by whoever made the body.

use super::{CodeList, Index};

/// The style of all pages.
pub(super) const STYLE: &str = include_str!("style.css");

/// A page.
pub(super) fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n\
         <nav><a href=\"/\">index</a> <a href=\"/docs\">reference</a> <a href=\"/docs/errors\">errors</a></nav>\n\
         <main>\n{body}</main>\n</body>\n</html>\n"
    )
}

pub(super) fn index(index: &Index) -> String {
    let title = escape(&index.service);
    let links: String = index
        .links
        .iter()
        .map(|link| format!("<li><a href=\"{0}\">{1}</a> <code>{0}</code></li>\n", link.href, link.rel))
        .collect();
    let version = escape(&index.version);
    document(&index.service, &format!("<h1>{title}</h1>\n<p>Mainstay {version}</p>\n<ul>\n{links}</ul>\n"))
}

pub(super) fn codes(list: &CodeList) -> String {
    let row = |code: &super::CodeView| {
        format!(
            "<tr><td><a href=\"{}\"><code>{}</code></a></td><td>{}</td></tr>\n",
            code.docs,
            code.code,
            escape(code.title)
        )
    };
    let rows: String = list.codes.iter().map(row).collect();
    document("Error codes", &format!("<h1>Error codes</h1>\n<table>\n{rows}</table>\n"))
}

/// Text as it may stand in HTML, between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
