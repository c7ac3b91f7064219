//! ★ The routes. To add one: a row in a file's `ROUTES`, and that file in `ALL`. Every path goes without its trailing
//! slash and with single slashes; PUT is POST on the routes that say both.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Method;
use mainstay_core::BoxStream;

use crate::call::{Call, Result};
use crate::{bindings, configuration, conversation, crypto, health, lock, metadata, pubsub, secrets, state};

/// A route.
pub(crate) struct Route {
    /// What it answers.
    pub(crate) methods: &'static [Method],
    /// The path behind the version, in the syntax of matchit.
    pub(crate) path: &'static str,
    /// The versions that it stands under.
    pub(crate) versions: &'static [&'static str],
    /// Whether it answers without the API token.
    pub(crate) open: bool,
    /// What answers.
    pub(crate) handler: fn(Call) -> BoxFuture<'static, Result>,
}

pub(crate) const STABLE: &[&str] = &["v1.0"];
/// Without a version: what is ours and not the protocol's.
pub(crate) const OURS: &[&str] = &[""];
pub(crate) const GET: &[Method] = &[Method::GET];
pub(crate) const POST: &[Method] = &[Method::POST];
pub(crate) const WRITE: &[Method] = &[Method::POST, Method::PUT];

/// Every file's routes.
pub(crate) static ALL: &[&[Route]] = &[
    state::ROUTES,
    pubsub::ROUTES,
    bindings::ROUTES,
    secrets::ROUTES,
    configuration::ROUTES,
    conversation::ROUTES,
    lock::ROUTES,
    crypto::ROUTES,
    metadata::ROUTES,
    health::ROUTES,
];

/// A route whose handler reads the body as it comes. It wants the API token.
pub(crate) struct Streamed {
    /// What it answers.
    pub(crate) methods: &'static [Method],
    /// The path behind the version, in the syntax of matchit.
    pub(crate) path: &'static str,
    /// The versions that it stands under.
    pub(crate) versions: &'static [&'static str],
    /// What answers. The call's own body is empty.
    pub(crate) handler: fn(Call, Incoming) -> BoxFuture<'static, Result>,
}

/// A body on its way.
pub(crate) struct Incoming {
    /// Its data.
    pub(crate) pieces: BoxStream<std::io::Result<Bytes>>,
    /// Whether its length is known, and within the bound of bodies.
    pub(crate) is_whole: bool,
}

/// Every file's streamed routes.
pub(crate) static STREAMED: &[&[Streamed]] = &[crypto::STREAMED];
