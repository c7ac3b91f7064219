//! Calls of the app beside us, whoever makes them: behind its door, with its token, as requests or as its methods.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Limited};
use mainstay_blocks::layers::AppGuard;
use mainstay_core::Ctx;
use mainstay_dapr::Token;

use super::{
    OwnApp, Way, failed, headers, methods, passed_back, sensitive, status, target, too_large, unreached,
    without_dots,
};
use crate::call::Result;
use crate::middleware;
use crate::surface::Shared;

/// A call of the app.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Encoded, without its first slash, with dots resolved.
    pub(crate) path: String,
    pub(crate) query: Option<&'a str>,
    /// Those that the app is to see, but for what is added here.
    pub(crate) headers: HeaderMap,
    /// Where the call came from, if that is known.
    pub(crate) peer: Option<IpAddr>,
}

/// Makes a call, with what is asked for around it.
pub(crate) async fn call<B>(shared: &Shared, ctx: &Ctx, guard: &AppGuard, call: Call<'_>, body: B) -> Result
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (targets, id) = (&shared.targets, &shared.blocks.app().id);
    let place = targets.door.enter().await.map_err(|error| failed(id, error.message()))?;
    match &targets.app {
        None => Err(failed(id, "this app listens to nobody: `--app-port` is not set")),
        Some(OwnApp::Methods(app)) => {
            let most = shared.body_bytes_max;
            let body = match Limited::new(body, most).collect().await {
                Ok(read) => read.to_bytes(),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large(most)),
                Err(_) => return Err(failed(id, "the body ended before its length")),
            };
            let answered = methods::call(&**app, guard, &call, body).await;
            answered.map_err(|error| failed(id, error.message()))
        }
        Some(OwnApp::Requests(target)) => {
            let pipeline = shared.blocks.table().toward_app.clone();
            let Call { method, path, query, mut headers, peer } = call;
            let query = query.map(str::to_owned);
            let mut way = middleware::Way { method: &method, path: format!("/{path}"), query, peer };
            if !pipeline.is_empty()
                && let Some(answer) = way.pass(&pipeline, ctx, &mut headers).await?
            {
                return Ok(answer);
            }
            headers::strip_own(&mut headers);
            if let Some(token) = targets.app_token.as_ref().and_then(sensitive) {
                headers.insert(Token::HEADER, token);
            }
            // A handler may have changed it.
            let path = without_dots(way.path.trim_start_matches('/')).map_err(|why| failed(id, &why))?;
            let url = target::url(&target.base, &path, way.query.as_deref());
            let url = url.map_err(|why| failed(id, &why))?;
            let client = target.client.as_ref().unwrap_or(&shared.client);
            let way = Way { client, guard, bytes_max: shared.body_bytes_max };
            let sent = if pipeline.changes_bodies() {
                way.send(&method, &url, headers, middleware::body(&pipeline, body)).await?
            } else {
                way.send(&method, &url, headers, body).await?
            };
            let mut answer = passed_back(sent.map_err(|error| unreached(id, &error))?, Some(place));
            // What runtimes tell each other is not the app's to say.
            status::take(answer.headers_mut());
            Ok(answer)
        }
    }
}
