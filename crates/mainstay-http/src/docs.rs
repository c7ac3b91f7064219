//! Documents about the API, served offline: the index, the reference, the pages of the error codes, OpenAPI. Nothing is
//! fetched from elsewhere and no script runs.

mod html;
mod markdown;
mod reference;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use mainstay_core::{Error, codes};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::{Result, Shape, page};
use crate::openapi;
use crate::reply::{self, HTML, JSON, MARKDOWN, Response};
use crate::routes::{Class, Handler, Reply, Route, SchemaOf, of, text};
use crate::surface::Live;

pub(crate) const ROUTES: &[Route] = &[
    open(
        "/",
        "index",
        "What is here",
        &[Reply { status: 200, about: "Links", content: &[("application/json", of::<Index>), HTML_TEXT] }],
        &[],
        |call| Box::pin(index(call)),
    ),
    open(
        "/docs",
        "docs",
        "This reference, as a page",
        &[Reply { status: 200, about: "The page", content: &[HTML_TEXT] }],
        &[],
        |call| Box::pin(docs(call)),
    ),
    open(
        "/docs/style.css",
        "docsStyle",
        "The style of the pages",
        &[Reply { status: 200, about: "The style", content: &[("text/css", text)] }],
        &[],
        |_| Box::pin(async { Ok(reply::whole(StatusCode::OK, CSS, html::STYLE)) }),
    ),
    open(
        "/docs/errors",
        "listErrorCodes",
        "Every error code",
        &[Reply {
            status: 200,
            about: "The codes",
            content: &[("application/json", of::<CodeList>), HTML_TEXT],
        }],
        &[],
        |call| Box::pin(code_list(call)),
    ),
    open(
        "/docs/errors/{code}",
        "getErrorCode",
        "What an error code means and what to do",
        &[Reply { status: 200, about: "The code's page", content: &[("text/markdown", text), HTML_TEXT] }],
        &[404],
        |call| Box::pin(code_page(call)),
    ),
    open(
        "/openapi.json",
        "openapi",
        "This reference, as OpenAPI 3.1",
        &[Reply { status: 200, about: "The document", content: &[("application/json", object)] }],
        &[],
        |call| Box::pin(openapi_json(call)),
    ),
];

const HTML_TEXT: (&str, SchemaOf) = ("text/html", text);
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");
/// Styles of our own; no script, no frame, nothing from elsewhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const fn open(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    replies: &'static [Reply],
    statuses: &'static [u16],
    handler: Handler,
) -> Route {
    Route {
        method: Method::GET,
        path,
        id,
        summary,
        tag: "documents",
        class: Class::Open,
        errors: Shape::Ours,
        params: &[],
        body: None,
        replies,
        statuses,
        handler,
    }
}

fn object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object" })
}

async fn index(call: Call) -> Result {
    let settings = &call.live.settings;
    let index = Index {
        service: settings.name.to_string(),
        version: settings.version.clone(),
        links: LINKS.iter().map(|(rel, href)| Link { rel, href }).collect(),
    };
    Ok(if prefers_html(&call) { a_page(html::index(&index)) } else { reply::json(&index) })
}

/// What the index points to.
const LINKS: [(&str, &str); 8] = [
    ("docs", "/docs"),
    ("openapi", "/openapi.json"),
    ("errors", "/docs/errors"),
    ("agents", "/v1/agents"),
    ("models", "/v1/models"),
    ("health", "/health"),
    ("ready", "/ready"),
    ("metrics", "/metrics"),
];

async fn docs(call: Call) -> Result {
    let settings = &call.live.settings;
    let page = call.live.docs.get_or_init(|| reference::page(&described(&call.live)));
    let host = call.header(header::HOST.as_str());
    Ok(a_page(reference::addressed(page, host, settings.server.listen)))
}

async fn openapi_json(call: Call) -> Result {
    let document = call.live.openapi.get_or_init(|| described(&call.live).to_string().into());
    Ok(reply::whole(StatusCode::OK, JSON, document.clone()))
}

/// The document of this service. What apps answer below their routes is theirs to describe: it says where they are.
fn described(live: &Live) -> Value {
    let mut document = openapi::document(live.settings.name.as_str(), &live.settings.version);
    let reached = live.apps.all().iter().filter(|app| !app.routes.is_empty());
    let apps: Vec<Value> = reached
        .map(|app| json!({ "name": app.name.as_str(), "description": app.description, "routes": app.routes }))
        .collect();
    if !apps.is_empty() {
        document[reference::APPS] = apps.into();
    }
    document
}

async fn code_list(call: Call) -> Result {
    let codes =
        codes::ALL.iter().map(|code| CodeView { code: code.id, title: code.title, docs: page(code.id) });
    let list = CodeList { codes: codes.collect() };
    Ok(if prefers_html(&call) { a_page(html::codes(&list)) } else { reply::json(&list) })
}

async fn code_page(call: Call) -> Result {
    let id = call.path_param("code");
    let code = codes::find(id).ok_or_else(|| {
        Error::new(&codes::UNKNOWN_ROUTE, "find the page: no error code has this name")
            .with_help("the codes are listed at `/docs/errors`")
    })?;
    if prefers_html(&call) {
        return Ok(a_page(html::document(code.id, &markdown::to_html(code.page))));
    }
    Ok(reply::whole(StatusCode::OK, MARKDOWN, Bytes::from_static(code.page.as_bytes())))
}

fn a_page(body: impl Into<Bytes>) -> Response {
    let mut response = reply::whole(StatusCode::OK, HTML, body);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// Browsers name HTML; programs do not.
fn prefers_html(call: &Call) -> bool {
    call.header(header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"))
}

/// What is here.
#[derive(Serialize, JsonSchema)]
struct Index {
    service: String,
    version: String,
    links: Vec<Link>,
}

/// A way on.
#[derive(Serialize, JsonSchema)]
struct Link {
    rel: &'static str,
    href: &'static str,
}

/// The error codes.
#[derive(Serialize, JsonSchema)]
struct CodeList {
    codes: Vec<CodeView>,
}

/// An error code.
#[derive(Serialize, JsonSchema)]
struct CodeView {
    code: &'static str,
    title: &'static str,
    /// The path of its page.
    docs: String,
}
