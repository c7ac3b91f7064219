//! The life of a process that offers our stores to another runtime: bind → serve → finish → exit code 0.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use mainstay_core::{Error, codes};
use mainstay_net::server::serve_unix;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::logging::{self, Format};
use crate::serving::signals::Signals;
use crate::wire::provider::Offer;
use crate::{environment, exit, terminal};

/// The socket's name, which is that of the types.
const SOCKET: &str = "mainstay.sock";
/// Connections open at once.
const CONNECTIONS_MAX: u32 = 1_000;
/// How long calls may take to finish at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until a signal says to stop.
pub(crate) fn serve(folder: &Path) -> anyhow::Result<ExitCode> {
    logging::start_at(Format::Text, None, true);
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("mainstay").enable_all().build()?;
    runtime.block_on(live(folder))?;
    runtime.shutdown_timeout(GRACE);
    Ok(ExitCode::from(exit::OK))
}

async fn live(folder: &Path) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let data = environment::data_folder().unwrap_or_else(|| PathBuf::from(".mainstay")).join("components");
    let offer = Offer::new(&data);
    let path = folder.join(SOCKET);
    let listener = bind(folder, &path).await?;
    terminal::print(&format!("mainstay: listening on {}\n", path.display()));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve_unix(listener, offer.provider(), CONNECTIONS_MAX, GRACE, stop.clone()));
    signals.stop().await;
    stop.cancel();
    let served = serving.await;
    // A runtime that looks for sockets finds none that is dead.
    let _ = std::fs::remove_file(&path);
    offer.close().await;
    tracing::info!("stopped");
    Ok(served?)
}

/// Binds the socket; one that a dead process left is taken away. Errors: `NOT_READY` where another process serves
/// there.
async fn bind(folder: &Path, path: &Path) -> anyhow::Result<UnixListener> {
    let unusable = |why: String| {
        Error::new(&codes::NOT_READY, format!("cannot listen on `{}`: {why}", path.display()))
            .with_help("choose another folder with `--socket-folder`")
    };
    std::fs::create_dir_all(folder).map_err(|error| unusable(error.to_string()))?;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket {
        if UnixStream::connect(path).await.is_ok() {
            return Err(unusable("another process serves there".to_owned()).into());
        }
        std::fs::remove_file(path).map_err(|error| unusable(error.to_string()))?;
    }
    let listener = UnixListener::bind(path).map_err(|error| unusable(error.to_string()))?;
    // Whoever can connect can read and write everything: this user and group alone.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .map_err(|error| unusable(error.to_string()))?;
    Ok(listener)
}
