//! The app beside us, joined: how it is spoken to, its door, and the two surfaces' ways to it and to the apps beside
//! others.

use std::sync::Arc;

use anyhow::Context as _;
use mainstay_app::{GrpcApp, HttpCallback};
use mainstay_blocks::door::{Door, Probing};
use mainstay_core::callback::AppCallback;
use mainstay_dapr::{AppConnection, AppHealth};
use mainstay_grpc::Ways;
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::multiplexed::Channel;
use mainstay_net::sockets::Sockets;
use mainstay_net::tls;
use mainstay_sidecar::{Neighbours, OwnApp, Target, Targets};

use crate::environment;
use crate::sidecar::flags::{AppAt, Health, Options};

/// The app, as both surfaces and the subscriptions use it.
pub(super) struct Joined {
    pub(super) callback: Option<Arc<dyn AppCallback>>,
    pub(super) door: Door,
    pub(super) targets: Targets,
    pub(super) ways: Ways,
}

/// Joins the app. Errors: its address is none.
pub(super) fn join(options: &Options, client: &Client, sockets: Option<&Sockets>) -> anyhow::Result<Joined> {
    let app = options.app.as_ref();
    let door = Door::new(app.map_or(0, |app| app.calls_max), app.is_none_or(|app| app.health.is_none()));
    let token = environment::app_api_token();
    let mut joined = Joined {
        callback: None,
        targets: Targets {
            app_token: token.clone(),
            door: door.clone(),
            neighbours: sockets.cloned().map(Neighbours::new),
            ..Targets::default()
        },
        ways: Ways {
            app_token: token.clone(),
            door: door.clone(),
            neighbours: sockets.cloned(),
            ..Ways::default()
        },
        door,
    };
    let Some(app) = app else { return Ok(joined) };
    if app.is_grpc {
        let channel = channel(app)?;
        let grpc = GrpcApp::new(channel.clone(), &app.address(), token.as_ref(), options.body_bytes_max);
        joined.ways.app = Some(channel);
        joined.targets.app = Some(OwnApp::Methods(Arc::new(grpc.clone())));
        joined.callback = Some(joined.door.guard(Arc::new(grpc)));
        return Ok(joined);
    }
    let own = own_client(app)?;
    let callback = HttpCallback::new(own.clone().unwrap_or_else(|| client.clone()), &app.url(), token);
    let path = app.health.as_ref().map_or("/healthz", |health| health.path.as_str());
    joined.callback = Some(joined.door.guard(Arc::new(callback.with_health_path(path))));
    joined.targets.app = Some(OwnApp::Requests(Target { base: app.url(), client: own, ..Target::default() }));
    Ok(joined)
}

/// The connection of an app that speaks HTTP/2. Its certificate is its own affair: we know it by its address.
fn channel<B>(app: &AppAt) -> anyhow::Result<Channel<B>>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let url = app.url().parse().context("read the app's address")?;
    let tls = app.is_tls.then(|| tls::unverified_config(true));
    Ok(Channel::new(url, ClientOptions::default(), tls))
}

/// What speaks to an app that is not spoken to as everybody else is.
fn own_client(app: &AppAt) -> anyhow::Result<Option<Client>> {
    Ok(match (app.is_h2, app.is_tls) {
        (true, _) => Some(Client::over(channel(app)?)),
        (false, true) => Some(Client::with_tls(ClientOptions::default(), tls::unverified_config(false))),
        (false, false) => None,
    })
}

/// How the app is probed, for its door.
pub(super) fn probing(health: &Health) -> Probing {
    Probing { interval: health.interval, timeout: health.timeout, threshold: health.threshold }
}

/// What the metadata says of the way to the app.
pub(super) fn connection(app: &AppAt) -> AppConnection {
    AppConnection {
        port: app.port,
        protocol: app.protocol().to_owned(),
        channel_address: app.host.clone(),
        concurrency_max: app.calls_max,
        health: app.health.as_ref().map(|health| AppHealth {
            path: if app.is_grpc { String::new() } else { health.path.clone() },
            interval: format!("{}s", health.interval.as_secs()),
            timeout: format!("{}ms", health.timeout.as_millis()),
            threshold: health.threshold,
        }),
    }
}
