//! Where a package's file is, asked of an index's "simple" API: JSON (PEP 691) where the index speaks it, else the page
//! of links (PEP 503). Digests come from the catalogue, so nothing the index says has to be believed.

use mainstay_core::Result;
use reqwest::{Client, Url, header};
use serde::Deserialize;

use super::download::{in_words, read_bounded};
use super::failed;

const ACCEPT: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
/// Bytes of an index page that are read.
const PAGE_BYTES_MAX: usize = 8 << 20;

#[derive(Deserialize)]
struct Page {
    files: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    filename: String,
    url: String,
}

/// The address of `file` among those of `package`.
pub(super) async fn locate(client: &Client, index_url: &str, package: &str, file: &str) -> Result<Url> {
    let shown = without_credentials(index_url);
    let unreachable = |why: String| {
        failed(format!("reach the package index `{shown}`: {why}")).with_help(
            "check the network and the proxy variables, name another index, or fetch the file elsewhere and run \
             `mainstay models pull FILE`",
        )
    };
    let page = Url::parse(&format!("{}/{package}/", index_url.trim_end_matches('/')))
        .map_err(|_| failed("read the package index's address"))?;
    let response = client.get(page).header(header::ACCEPT, ACCEPT).send().await;
    let response = response.map_err(|e| unreachable(in_words(&e)).with_source(e.without_url()))?;
    if !response.status().is_success() {
        return Err(unreachable(format!("it answered {} for `{package}`", response.status())));
    }
    let base = response.url().clone();
    let text = read_bounded(response, PAGE_BYTES_MAX).await.map_err(unreachable)?;
    let link = link_in_json(&text, file).or_else(|| link_in_html(&text, file));
    let address = link.and_then(|link| base.join(&link).ok());
    address.ok_or_else(|| {
        failed(format!("find `{file}` in the package index `{shown}`"))
            .with_help("use an index that mirrors PyPI")
    })
}

fn link_in_json(text: &str, file: &str) -> Option<String> {
    let page: Page = serde_json::from_str(text).ok()?;
    page.files.into_iter().find(|link| link.filename == file).map(|link| link.url)
}

fn link_in_html(text: &str, file: &str) -> Option<String> {
    let links = text.split("href=").skip(1).filter_map(|rest| {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        rest[1..].split(quote).next()
    });
    let is_file = |link: &&str| {
        let path = link.split(['#', '?']).next().unwrap_or_default();
        path.rsplit('/').next() == Some(file)
    };
    links.into_iter().find(is_file).map(|link| link.replace("&amp;", "&"))
}

/// An address as it may be shown: some are written with a password.
fn without_credentials(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return "?".to_owned() };
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_links_is_read() {
        let page = r#"<a href="../../files/ab/x-1.0.tar.gz#sha256=0">x</a> <a href='../../files/cd/x-1.0.whl?a=1&amp;b=2#sha256=1'>y</a>"#;
        assert_eq!(link_in_html(page, "x-1.0.whl").unwrap(), "../../files/cd/x-1.0.whl?a=1&b=2#sha256=1");
        assert_eq!(link_in_html(page, "x-2.0.whl"), None);
    }

    #[test]
    fn a_page_in_json_is_read() {
        let page = r#"{"meta":{"api-version":"1.1"},"files":[{"filename":"x.whl","url":"https://a/x.whl","hashes":{}}]}"#;
        assert_eq!(link_in_json(page, "x.whl").unwrap(), "https://a/x.whl");
        assert_eq!(link_in_json("<html>", "x.whl"), None);
    }

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        assert_eq!(without_credentials("https://me:secret@index.test/simple"), "https://index.test/simple");
    }
}
