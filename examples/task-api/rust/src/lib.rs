//! What the three services share: the sidecar's HTTP API, the shape of events, and a file that only grows.

pub mod events;
pub mod lines;
pub mod sidecar;

use axum::Router;

/// A variable, or what stands for it.
#[must_use]
pub fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Serves at `$APP_PORT` of loopback until the process is asked to end; calls at work finish.
pub async fn serve(router: Router) -> std::io::Result<()> {
    let port: u16 = setting("APP_PORT", "8001").parse().map_err(std::io::Error::other)?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let ended = async move {
        terminate.recv().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(ended).await
}
