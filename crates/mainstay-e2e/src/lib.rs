//! What the end-to-end tests share: a folder with a spec whose model answers from a script, and ways to start the
//! binary in it. The tests know the command line and the wire, and nothing of ours inside.

pub mod app;
pub mod sidecar;

use std::path::{Path, PathBuf};

use mainstay_testkit::process::{Launch, Server};

/// A service's folder; removed when dropped.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A folder whose `mainstay.yaml` is `spec`.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(spec: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        place.write(spec);
        place
    }

    /// A folder with one agent, `hello`, whose scripted model knows these replies (YAML list items).
    #[must_use]
    pub fn scripted(replies: &[&str]) -> Self {
        Self::new(&spec(replies))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The spec's path.
    #[must_use]
    pub fn spec_path(&self) -> PathBuf {
        self.path().join("mainstay.yaml")
    }

    /// Writes the spec anew.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, spec: &str) {
        std::fs::write(self.spec_path(), spec).expect("the spec can be written");
    }

    /// `mainstay WORDS…` in this folder.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Launch {
        Launch::new(self.path(), words)
    }

    /// `mainstay serve` on a free port.
    pub async fn serve(&self) -> Server {
        self.command(&["serve", ".", "--listen", "127.0.0.1:0"]).start().await
    }

    /// `mainstay dev` on a free port.
    pub async fn dev(&self) -> Server {
        self.command(&["dev", ".", "--listen", "127.0.0.1:0"]).start().await
    }
}

/// A spec with one agent, `hello`, whose scripted model knows these replies (YAML list items).
#[must_use]
pub fn spec(replies: &[&str]) -> String {
    let replies: String = replies.iter().map(|reply| format!("        - {reply}\n")).collect();
    format!(
        "name: e2e
server: {{ drain: 10s }}
providers:
  script:
    scripted:
      replies:
{replies}models:
  default: {{ targets: [script/any] }}
agents:
  hello:
    declared: {{ model: default, instructions: Answer. }}
"
    )
}

/// A reply of `words` numbered words, so many a second: a reader can tell which of them came.
#[must_use]
pub fn numbered(words: u32, per_second: u32) -> String {
    format!("{{ text: \"{}\", tokens_per_second: {per_second} }}", numbered_text(words))
}

/// The text of [`numbered`].
#[must_use]
pub fn numbered_text(words: u32) -> String {
    let words: Vec<String> = (0..words).map(|number| format!("w{number:04}")).collect();
    words.join(" ")
}
