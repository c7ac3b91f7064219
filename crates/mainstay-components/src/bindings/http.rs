//! Calls of an HTTP service: the operations are the methods. Redirects are not followed: their answer is the outcome.
//! <https://docs.dapr.io/reference/components-reference/supported-bindings/http/>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use mainstay_core::binding::{Binding, Capabilities, Operation, Outcome, not_supported};
use mainstay_core::{Ctx, Error, Fault, Redacted, Result, codes};
use mainstay_net::client::{Body, Client, ClientOptions};
use mainstay_net::tls;

use super::{failed, operations};
use crate::def::{Def, SettingDef};
use crate::settings::{Settings, fault};

/// The type.
pub const DEF: Def<dyn Binding> = Def {
    kind: "bindings.http",
    aliases: &[],
    versions: &["v1"],
    about: "Calls of an HTTP service.",
    settings: &[
        SettingDef {
            name: "url",
            about: "Where the service is: `http://…` or `https://…`. `metadata.path` of an operation is added to it.",
            required: true,
            secret: false,
        },
        setting(
            "responseTimeout",
            "How long an answer may take, e.g. `10s`; as long as the caller waits by default.",
        ),
        setting(
            "maxResponseBodySize",
            "Bytes of an answer that are read, with a unit such as `Mi`. 100 MB by default.",
        ),
        setting("errorIfNot2XX", "Whether an answer of another status is a failure. `true` by default."),
        setting(
            "MTLSRootCA",
            "The root certificates to trust: PEM text, or a file of it. The host's by default.",
        ),
        setting("MTLSClientCert", "Our certificate: PEM text, or a file of it."),
        SettingDef {
            name: "MTLSClientKey",
            about: "Its private key: PEM text, or a file of it.",
            required: false,
            secret: true,
        },
        setting("MTLSRenegotiation", "Only `RenegotiateNever`: TLS 1.3 has no other."),
        SettingDef {
            name: "securityToken",
            about: "A token that each call shows.",
            required: false,
            secret: true,
        },
        setting("securityTokenHeader", "The header that it is shown in."),
    ],
    check: |settings| parse(settings).1,
    open: |opening| {
        let (options, _) = parse(opening.settings);
        let made = options.client(opening.client, opening.folder);
        Box::pin(async move {
            let client = made?;
            Ok(Arc::new(Http { options, client }) as Arc<dyn Binding>)
        })
    },
};

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

/// Bytes of an answer that are read, where the settings say nothing.
const ANSWER_BYTES_MAX: usize = 100 << 20;
/// Bytes of a file with certificates.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// What data is, and what is wanted back, where nothing is said.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// The operations; the first is an older name of `post`.
const OPERATIONS: [&str; 9] = ["create", "get", "head", "post", "put", "patch", "delete", "options", "trace"];

struct Options {
    url: String,
    timeout: Option<Duration>,
    answer_bytes_max: usize,
    error_if_not_2xx: bool,
    roots: Option<String>,
    identity: Option<(String, Redacted<String>)>,
    token: Option<(String, Redacted<String>)>,
}

fn parse(settings: &Settings) -> (Options, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["url"], &mut faults);
    let http_url = |text: &str| {
        let url: http::Uri = text.parse().ok()?;
        matches!(url.scheme_str(), Some("http" | "https")).then(|| text.to_owned())
    };
    let url = settings.read("url", "a URL such as `https://example.org/v1`", http_url, &mut faults);
    let pair = |one: &str, other: &str, faults: &mut Vec<Fault>| {
        if settings.has(one) != settings.has(other) {
            let message = format!("`{one}` and `{other}` go together");
            faults.push(fault(one, message, Some("give both, or none")));
        }
        let value = settings.text(other).map(|text| Redacted::new(text.to_owned()));
        settings.text(one).map(str::to_owned).zip(value)
    };
    let identity = pair("MTLSClientCert", "MTLSClientKey", &mut faults);
    let token = pair("securityTokenHeader", "securityToken", &mut faults);
    let never = |text: &str| (text == "RenegotiateNever").then_some(());
    settings.read("MTLSRenegotiation", "`RenegotiateNever`", never, &mut faults);
    let bytes = settings.read("maxResponseBodySize", "a number of bytes such as `10Mi`", bytes, &mut faults);
    let options = Options {
        url: url.unwrap_or_default(),
        timeout: settings.duration("responseTimeout", &mut faults),
        answer_bytes_max: bytes.unwrap_or(ANSWER_BYTES_MAX),
        error_if_not_2xx: settings.flag("errorIfNot2XX", &mut faults).unwrap_or(true),
        roots: settings.text("MTLSRootCA").map(str::to_owned),
        identity,
        token,
    };
    (options, faults)
}

/// A number of bytes as Kubernetes writes quantities; without a bound for what is not above zero.
fn bytes(text: &str) -> Option<usize> {
    let digits = text.len() - text.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit()).len();
    let number: i64 = text[..digits].parse().ok()?;
    let factor: usize = match &text[digits..] {
        "" => 1,
        "k" => 1_000,
        "Ki" => 1 << 10,
        "M" => 1_000_000,
        "Mi" => 1 << 20,
        "G" => 1_000_000_000,
        "Gi" => 1 << 30,
        _ => return None,
    };
    match usize::try_from(number) {
        Ok(0) | Err(_) => Some(usize::MAX),
        Ok(number) => number.checked_mul(factor),
    }
}

impl Options {
    /// The shared client, or one of its own where the settings have certificates. Errors: `CONFIG_VALUE`.
    fn client(&self, shared: &Client, folder: &Path) -> Result<Client> {
        if self.roots.is_none() && self.identity.is_none() {
            return Ok(shared.clone());
        }
        let roots = self.roots.as_deref().map(|text| pem("MTLSRootCA", text, folder)).transpose()?;
        let identity = match &self.identity {
            None => None,
            Some((certificate, key)) => Some((
                pem("MTLSClientCert", certificate, folder)?,
                pem("MTLSClientKey", key.expose(), folder)?,
            )),
        };
        let identity = identity.as_ref().map(|(certificate, key)| (&certificate[..], &key[..]));
        let tls = tls::config_of(roots.as_deref(), identity)
            .map_err(|why| Error::new(&codes::CONFIG_VALUE, format!("set up TLS: {why}")))?;
        Ok(Client::with_tls(ClientOptions::default(), tls))
    }
}

/// PEM text, or that of the file that it names. Errors: `CONFIG_VALUE`, without the value: it can be a key.
fn pem(name: &str, text: &str, folder: &Path) -> Result<Vec<u8>> {
    if text.contains("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    let path: PathBuf = folder.join(text);
    let unreadable = |why: String| {
        Error::new(&codes::CONFIG_VALUE, format!("`{name}` is neither PEM nor a file that can be read"))
            .with_internal(why)
    };
    let length = std::fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > PEM_BYTES_MAX {
        return Err(unreadable(format!("it has {length} bytes")));
    }
    std::fs::read(&path).map_err(|error| unreadable(error.to_string()))
}

struct Http {
    options: Options,
    client: Client,
}

impl Http {
    fn request(&self, operation: &Operation) -> Result<Request<Body>> {
        let method = match operation.name.as_str() {
            "create" => Method::POST,
            name if OPERATIONS.contains(&name) => {
                Method::from_bytes(name.to_ascii_uppercase().as_bytes()).map_err(|_| not_supported(name))?
            }
            name => return Err(not_supported(name)),
        };
        let mut url = self.options.url.clone();
        if let Some(path) = operation.metadata.get("path").filter(|path| !path.is_empty()) {
            url = format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/'));
        }
        let takes_data = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        let body = if takes_data { Body::from(operation.data.clone()) } else { Body::default() };
        let mut request = Request::new(body);
        *request.uri_mut() = url.parse().map_err(|_| {
            Error::new(&codes::INVALID_FIELD, "call: `metadata.path` does not make a URL")
                .with_field("metadata.path")
        })?;
        *request.method_mut() = method;
        self.add_headers(request.headers_mut(), operation, takes_data)?;
        Ok(request)
    }

    fn add_headers(&self, headers: &mut HeaderMap, operation: &Operation, takes_data: bool) -> Result<()> {
        if takes_data {
            headers.insert(CONTENT_TYPE, JSON);
        }
        headers.insert(ACCEPT, JSON);
        let set = |headers: &mut HeaderMap, name: &str, value: &str| {
            let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, value) = pair.ok_or_else(|| {
                let message = format!("call: `{name}` and its value make no header");
                Error::new(&codes::INVALID_FIELD, message).with_field(format!("metadata.{name}"))
            })?;
            headers.insert(name, value);
            Ok(())
        };
        if let Some((name, token)) = &self.options.token {
            set(headers, name, token.expose())?;
        }
        // The body's frame is ours, and so is the host.
        let is_ours = |name: &str| {
            ["content-length", "transfer-encoding", "connection", "host"]
                .iter()
                .any(|ours| ours.eq_ignore_ascii_case(name))
        };
        for (name, value) in &operation.metadata {
            if name.starts_with(|first: char| first.is_ascii_uppercase()) && !is_ours(name) {
                set(headers, name, value)?;
            }
        }
        for name in ["traceparent", "tracestate", "baggage"] {
            if let Some(value) = operation.metadata.get(name).filter(|value| !value.is_empty()) {
                set(headers, name, value)?;
            }
        }
        Ok(())
    }

    async fn call(&self, operation: &Operation) -> Result<Outcome> {
        let request = self.request(operation)?;
        let answer = self
            .client
            .send(request)
            .await
            .map_err(|error| failed("call the service: it cannot be reached", error.chain()))?;
        let (head, body) = answer.into_parts();
        let read = Limited::new(body, self.options.answer_bytes_max).collect().await;
        let data = read.map_err(|error| {
            failed("call the service: its answer was cut or is too large", error.to_string())
        })?;
        let checks = match operation.metadata.get("errorIfNot2XX").filter(|text| !text.is_empty()) {
            None => self.options.error_if_not_2xx,
            Some(text) => {
                matches!(text.to_ascii_lowercase().as_str(), "true" | "t" | "1" | "yes" | "y" | "on")
            }
        };
        if checks && !head.status.is_success() {
            let message = format!("received status code {}", head.status.as_u16());
            return Err(Error::new(&codes::BINDING_FAILED, message));
        }
        Ok(Outcome { data: data.to_bytes(), metadata: metadata(head.status, &head.headers) })
    }
}

/// The status and the headers, as the protocol's own binding tells them.
fn metadata(status: StatusCode, headers: &HeaderMap) -> BTreeMap<String, String> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut metadata = BTreeMap::from([
        ("statusCode".to_owned(), status.as_u16().to_string()),
        ("status".to_owned(), format!("{} {reason}", status.as_u16()).trim_end().to_owned()),
    ]);
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        metadata.insert(canonical(name.as_str()), values.collect::<Vec<_>>().join(", "));
    }
    metadata
}

/// A header's name with a capital at the beginning of each word.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

#[async_trait]
impl Binding for Http {
    fn capabilities(&self) -> Capabilities {
        Capabilities { operations: operations(&OPERATIONS), events: false }
    }

    /// Whether the service answers only a call can tell, and a call may have an effect.
    async fn ready(&self, _ctx: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn invoke(&self, ctx: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        let asked = self.options.timeout.map(|timeout| std::time::Instant::now() + timeout);
        let call = self.call(&operation);
        let late = |_| Error::new(&codes::DEADLINE_EXCEEDED, "call the service: it did not answer in time");
        let outcome = match asked.into_iter().chain(ctx.deadline()).min() {
            None => call.await,
            Some(end) => tokio::time::timeout_at(end.into(), call).await.map_err(late)?,
        };
        outcome.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_and_zero_is_none() {
        let cases = [
            ("5", Some(5)),
            ("10Mi", Some(10 << 20)),
            ("1k", Some(1_000)),
            ("0", Some(usize::MAX)),
            ("-1", Some(usize::MAX)),
            ("Mi", None),
            ("5MB", None),
        ];
        for (text, expect) in cases {
            assert_eq!(bytes(text), expect, "{text}");
        }
    }

    #[test]
    fn headers_are_told_in_their_usual_form() {
        assert_eq!(canonical("content-type"), "Content-Type");
        assert_eq!(canonical("x--y"), "X--Y");
    }
}
