//! A request as a call of a method, and the method's answer as an answer.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use mainstay_blocks::layers::{AppGuard, Outcome};
use mainstay_core::methods::{AppMethods, MethodAnswer, MethodCall};
use mainstay_core::{Ctx, Principal, RequestId, codes};
use mainstay_dapr::invoke as wire;

use super::Call;
use crate::answer::{self, Answer, Body};

type Called = mainstay_core::Result<MethodAnswer>;

/// Calls a method of the app.
pub(super) async fn call(
    app: &dyn AppMethods,
    guard: &AppGuard,
    call: &Call<'_>,
    data: Bytes,
) -> mainstay_core::Result<Answer> {
    let text = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let mut ctx = Ctx::new(RequestId::generate(), Principal::Anonymous);
    if let Some(trace) = text("traceparent") {
        ctx = ctx.with_traceparent(trace).with_tracestate(text("tracestate").unwrap_or_default());
    }
    let message = MethodCall {
        method: percent_encoding::percent_decode_str(&call.path).decode_utf8_lossy().into_owned(),
        verb: call.method.as_str().to_owned(),
        query: call.query.unwrap_or_default().to_owned(),
        content_type: text(CONTENT_TYPE.as_str()).unwrap_or_default().to_owned(),
        type_url: text(wire::TYPE_URL).unwrap_or_default().to_owned(),
        data,
        metadata: metadata(&call.headers),
    };
    // Nothing was sent, so nothing can happen twice.
    let unreached = |called: &Called| match called {
        Err(error) if error.code() == &codes::APP_UNAVAILABLE => Outcome::Temporary(None),
        Ok(_) => Outcome::Fine,
        Err(_) => Outcome::Permanent,
    };
    let judge = |called: &Called| match called {
        Ok(said) if said.status.code == 0 => Outcome::Fine,
        Ok(said) => Outcome::Temporary(Some(said.status.code.into())),
        Err(error) => Outcome::of(error),
    };
    let (message, unreached) = (&message, &unreached);
    let reach = |ctx: Ctx| async move {
        let send = |ctx: Ctx| async move { app.call(&ctx, message.clone()).await };
        guard.unreached.run_judged(&ctx, None, send, unreached).await
    };
    Ok(answer(guard.asked.run_judged(&ctx, None, reach, judge).await?))
}

/// What the app sees of the headers. The trace goes by the context.
fn metadata(headers: &HeaderMap) -> Vec<(String, String)> {
    let seen = |name: &str| !name.starts_with(wire::BETWEEN_RUNTIMES) && name != "traceparent";
    let headers = headers.iter().filter(|(name, _)| seen(name.as_str()));
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((wire::metadata_of(name.as_str()).into_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.filter_map(text).collect()
}

fn answer(said: MethodAnswer) -> Answer {
    let is_ok = said.status.code == 0;
    let mut answer = if is_ok {
        Answer::new(Body::Whole(said.data))
    } else {
        let status = StatusCode::from_u16(wire::http_status(said.status.code));
        let text = wire::status_json(&said.status).to_string();
        answer::json_bytes(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text)
    };
    let headers = answer.headers_mut();
    for (name, value) in &said.metadata {
        let Some(name) = wire::header_of(name) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&*name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    mainstay_net::hops::strip_hop_by_hop(headers);
    if is_ok {
        let content_type = if said.content_type.is_empty() { "application/json" } else { &said.content_type };
        super::headers::set(headers, CONTENT_TYPE.as_str(), content_type);
        if !said.type_url.is_empty() {
            super::headers::set(headers, wire::TYPE_URL, &said.type_url);
        }
    }
    answer.extensions_mut().insert(said.status);
    answer
}

#[cfg(test)]
mod tests {
    use mainstay_core::methods::CallStatus;

    use super::*;

    #[test]
    fn an_answer_of_a_method_is_an_answer_of_http() {
        let said = MethodAnswer {
            content_type: "text/plain".to_owned(),
            data: Bytes::from_static(b"x"),
            metadata: [("x-app", "1"), ("grpc-x", "2"), ("content-type", "application/grpc"), ("te", "3")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..MethodAnswer::default()
        };
        let good = answer(said);
        let mut names: Vec<_> = good.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!((good.status(), names), (StatusCode::OK, vec!["content-type", "dapr-grpc-x", "x-app"]));
        assert_eq!(good.headers()[CONTENT_TYPE], "text/plain");
        let status = CallStatus { code: 5, message: "gone".to_owned(), ..CallStatus::default() };
        let bad = answer(MethodAnswer { status: status.clone(), ..MethodAnswer::default() });
        assert_eq!((bad.status(), bad.extensions().get()), (StatusCode::NOT_FOUND, Some(&status)));
    }
}
