//! ★ The routes. To add one: a row in a file's `ROUTES`, and that file in `ALL`. Every path goes without its trailing slash
//! and with single slashes; PUT is POST on the routes that say both.

use futures_util::future::BoxFuture;
use http::Method;

use crate::call::{Call, Result};
use crate::{health, lock, metadata, pubsub, secrets, state};

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
pub(crate) const GET: &[Method] = &[Method::GET];
pub(crate) const POST: &[Method] = &[Method::POST];
pub(crate) const WRITE: &[Method] = &[Method::POST, Method::PUT];

/// Every file's routes.
pub(crate) static ALL: &[&[Route]] =
    &[state::ROUTES, pubsub::ROUTES, secrets::ROUTES, lock::ROUTES, metadata::ROUTES, health::ROUTES];
