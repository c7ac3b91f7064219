//! Unix sockets by name, for the processes of one user on one host: a folder that is the user's alone, in it a folder a
//! name, in it a socket a process. So several processes share a name, and whoever connects gets one that is alive.
//!
//! A socket appears under its name only once it takes connections, so one that refuses belongs to nobody and is
//! removed.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};
use tokio::net::{UnixListener, UnixStream};

/// Ends the names of sockets that take connections.
const ENDING: &str = ".sock";
/// Bytes of a part of a name that stands as it is. A socket's whole path has at most 107 (unix(7)).
const PLAIN_BYTES_MAX: usize = 24;
/// Processes of one name that are looked at.
const PROCESSES_MAX: usize = 256;

/// The folder; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sockets(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// The user that owns it, and whom it is for.
    user: u32,
    /// Turns the processes of a name over.
    turn: AtomicUsize,
}

impl Sockets {
    /// Opens the folder, and makes it where it is not there. Errors: it cannot be made, or others may use it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let user = rustix::process::geteuid().as_raw();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let about = std::fs::symlink_metadata(path)?;
        if !about.is_dir() || about.uid() != user || about.mode() & 0o077 != 0 {
            let message = format!("`{}` must be a folder of this user's alone (mode 0700)", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        // Whoever may write to the folder above could put another in its place.
        if let Some(above) = path.parent().and_then(|above| std::fs::metadata(above).ok())
            && (above.uid() != user || above.mode() & 0o022 != 0)
        {
            let message = format!(
                "the folder above `{}` must be this user's, and for others at most to read",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Ok(Self(Arc::new(Folder { path: path.to_owned(), user, turn: AtomicUsize::new(0) })))
    }

    /// The name of an app in a namespace: letters, digits, `-` and one point. Readable where both are plain and short,
    /// and otherwise a hash, so that no two are the same.
    #[must_use]
    pub fn name(namespace: &str, app: &str) -> String {
        let is_plain = |text: &str| {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (1..=PLAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
        };
        if is_plain(namespace) && is_plain(app) {
            return format!("{namespace}.{app}");
        }
        let mut hash = Sha256::new();
        hash.update(namespace.as_bytes());
        hash.update([0]);
        hash.update(app.as_bytes());
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Listens under a name, until the listener is dropped. Errors: the socket cannot be made.
    pub fn listen(&self, name: &str) -> io::Result<SocketListener> {
        let folder = self.0.path.join(name);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for path in sockets_in(&folder) {
            if std::os::unix::net::UnixStream::connect(&path).is_err_and(|error| is_dead(&error)) {
                // Another process may have been faster.
                let _ = std::fs::remove_file(&path);
            }
        }
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let own = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (early, path) = (folder.join(format!("{own}.new")), folder.join(format!("{own}{ENDING}")));
        // A process of this id that was killed may have left them.
        let _ = std::fs::remove_file(&early);
        let listener = UnixListener::bind(&early)?;
        std::fs::rename(&early, &path)?;
        Ok(SocketListener { listener, path, user: self.0.user })
    }

    /// Whether somebody may listen under a name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !sockets_in(&self.0.path.join(name)).is_empty()
    }

    /// Connects to a process of a name. Errors: nobody listens there.
    pub(crate) async fn connect(&self, name: &str) -> io::Result<UnixStream> {
        let mut paths = sockets_in(&self.0.path.join(name));
        if !paths.is_empty() {
            let first = self.0.turn.fetch_add(1, Ordering::Relaxed) % paths.len();
            paths.rotate_left(first);
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("nobody listens as `{name}`"));
        for path in paths {
            match UnixStream::connect(&path).await {
                Ok(stream) if stream.peer_cred()?.uid() == self.0.user => return Ok(stream),
                Ok(_) => last = io::Error::new(io::ErrorKind::PermissionDenied, "it is another user's"),
                Err(error) => {
                    if is_dead(&error) {
                        let _ = std::fs::remove_file(&path);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }
}

fn is_dead(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

fn sockets_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_socket = |path: &PathBuf| path.as_os_str().as_encoded_bytes().ends_with(ENDING.as_bytes());
    let mut paths: Vec<PathBuf> = entries.filter(is_socket).take(PROCESSES_MAX).collect();
    paths.sort();
    paths
}

/// A listener that takes connections of its own user alone. Dropping it removes its socket.
#[derive(Debug)]
pub struct SocketListener {
    listener: UnixListener,
    path: PathBuf,
    user: u32,
}

impl SocketListener {
    /// The next connection of a process of the same user.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let user = stream.peer_cred()?.uid();
            if user == self.user {
                return Ok(stream);
            }
            tracing::warn!(
                user,
                "another user's process connected to a socket of this user: it is not heard"
            );
        }
    }
}

impl Drop for SocketListener {
    fn drop(&mut self) {
        // Nothing is lost when it stays: whoever finds it dead removes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
