//! Calls of methods by message. Each is made as a request, by whoever makes those, so that there is one way for both
//! formats; here are the two translations.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use mainstay_core::methods::CallStatus;
use mainstay_dapr::{Fault, invoke as names};
use mainstay_proto::common::v1 as common;
use mainstay_proto::runtime::v1 as wire;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use prost_types::Any;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, KeyAndValueRef, MetadataMap};
use tonic::{Code, Response, Status};

use crate::call::{Call, Result};
use crate::status;

/// What makes a call: a request to `/v1.0/invoke/{id}/method/{method}` and its whole answer. Where that is no app's own
/// answer over HTTP, its extensions hold a `CallStatus`.
pub type Invoke = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, http::Response<Bytes>> + Send + Sync>;

/// Metadata: the status of an answer over HTTP.
const HTTP_STATUS: &str = "dapr-http-status";
/// Names of metadata that are the transport's own.
const OF_TRANSPORT: [&str; 3] = ["te", "content-length", "host"];
/// What a method's name may not have in a path.
const NOT_IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

pub(crate) async fn invoke(
    call: &Call,
    asked: wire::InvokeServiceRequest,
) -> Result<Response<common::InvokeResponse>> {
    let request = request(call, asked).map_err(|fault| status::of(&fault))?;
    let (head, body) = (call.shared.invoke)(request).await.into_parts();
    let metadata = metadata(&head.headers);
    match head.extensions.get::<CallStatus>() {
        Some(told) if told.code != 0 => {
            let code = Code::from_i32(told.code.into());
            Err(Status::with_details_and_metadata(code, &told.message, told.details.clone(), metadata))
        }
        Some(_) => call.answer(answer(&head.headers, body)).map(|answer| with(answer, metadata)),
        None => {
            let mut metadata = metadata;
            metadata.insert(HTTP_STATUS, AsciiMetadataValue::from(head.status.as_u16()));
            if names::code(head.status.as_u16()) == 0 {
                return call.answer(answer(&head.headers, body)).map(|answer| with(answer, metadata));
            }
            let mut failed = status::of_http(head.status, &String::from_utf8_lossy(&body));
            *failed.metadata_mut() = metadata;
            Err(failed)
        }
    }
}

fn with<T>(mut answer: Response<T>, metadata: MetadataMap) -> Response<T> {
    *answer.metadata_mut() = metadata;
    answer
}

/// The request that a message asks for. Errors: `ERR_DIRECT_INVOKE` when it asks for none.
fn request(call: &Call, asked: wire::InvokeServiceRequest) -> std::result::Result<Request<Bytes>, Fault> {
    let message = asked.message.unwrap_or_default();
    let extension = message.http_extension.unwrap_or_default();
    let verb = match extension.verb() {
        common::http_extension::Verb::None => Method::POST,
        verb => Method::from_bytes(verb.as_str_name().as_bytes()).unwrap_or(Method::POST),
    };
    let id = utf8_percent_encode(&asked.id, NON_ALPHANUMERIC);
    let method = utf8_percent_encode(message.method.trim_start_matches('/'), NOT_IN_PATH);
    let mut uri = format!("/v1.0/invoke/{id}/method/{method}");
    if !extension.querystring.is_empty() {
        uri = format!("{uri}?{}", utf8_percent_encode(&extension.querystring, NOT_IN_PATH));
    }
    let data = message.data.unwrap_or_default();
    let content_type = match message.content_type.as_str() {
        "" if !data.type_url.is_empty() => "application/x-protobuf",
        "" => "application/json",
        given => given,
    };
    let mut request = Request::new(Bytes::from(data.value));
    *request.method_mut() = verb;
    *request.uri_mut() = uri.parse().map_err(|_| Fault::malformed("the method's name is none"))?;
    let headers = request.headers_mut();
    for entry in call.metadata.iter() {
        let KeyAndValueRef::Ascii(name, value) = entry else { continue };
        let Some(name) = names::header_of(name.as_str()).filter(|name| !OF_TRANSPORT.contains(&&**name))
        else {
            continue;
        };
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(&*name), HeaderValue::from_bytes(value.as_bytes()))
        {
            headers.append(name, value);
        }
    }
    for (name, value) in [
        (CONTENT_TYPE.as_str(), Some(content_type)),
        (names::TYPE_URL, Some(data.type_url.as_str()).filter(|url| !url.is_empty())),
        ("traceparent", call.ctx.traceparent()),
    ] {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(request)
}

fn answer(headers: &HeaderMap, body: Bytes) -> common::InvokeResponse {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    common::InvokeResponse {
        data: Some(Any { type_url: text(names::TYPE_URL), value: body.into() }),
        content_type: text(CONTENT_TYPE.as_str()),
    }
}

/// The headers of an answer as metadata.
fn metadata(headers: &HeaderMap) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for (name, value) in headers {
        if name.as_str().starts_with(names::BETWEEN_RUNTIMES) || name.as_str().starts_with("grpc-") {
            continue;
        }
        let name = AsciiMetadataKey::from_bytes(names::metadata_of(name.as_str()).as_bytes());
        if let (Ok(name), Ok(value)) = (name, AsciiMetadataValue::try_from(value.as_bytes())) {
            metadata.append(name, value);
        }
    }
    metadata
}
