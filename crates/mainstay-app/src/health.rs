//! Asking an app whether it can work. Decides nothing about its process.

use std::time::Duration;

use mainstay_core::{Error, codes};
use mainstay_net::client::{Body, Client, SendError};

/// Longest wait for one answer.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// First and longest pause between probes of an app that is starting.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Asks once. The error is a fragment that fits "the app …".
pub(crate) async fn probe(client: &Client, url: &http::Uri, limit: Duration) -> Result<(), String> {
    let mut request = http::Request::new(Body::default());
    *request.uri_mut() = url.clone();
    match tokio::time::timeout(limit, client.send(request)).await {
        Ok(Ok(response)) if response.status().is_success() => Ok(()),
        Ok(Ok(response)) => Err(format!("answers {} at `{}`", response.status(), url.path())),
        Ok(Err(SendError::Connect(_))) => Err("does not accept connections at its `url`".to_owned()),
        Ok(Err(error)) => Err(format!("does not answer at `{}`: {error}", url.path())),
        Err(_) => Err(format!("does not answer at `{}` within {} ms", url.path(), limit.as_millis())),
    }
}

/// Whether somebody takes connections at `address` (`127.0.0.1:8000`). Errors: `APP_UNAVAILABLE`.
pub(crate) async fn listens(address: &str) -> Result<(), Error> {
    match tokio::time::timeout(PROBE_TIMEOUT, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let message = format!("the app does not listen at `{address}`");
            Err(Error::new(&codes::APP_UNAVAILABLE, message).with_source(error))
        }
        Err(_) => Err(Error::new(&codes::APP_UNAVAILABLE, format!("the app does not answer at `{address}`"))),
    }
}

/// Asks until the app is healthy; `tell` hears why it is not yet.
pub(crate) async fn until_healthy(client: &Client, url: &http::Uri, mut tell: impl FnMut(String)) {
    let (mut pause, longest) = PAUSES;
    while let Err(why) = probe(client, url, PROBE_TIMEOUT).await {
        tell(why);
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(longest);
    }
}
