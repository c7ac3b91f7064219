//! An app that speaks gRPC: what it subscribes to, messages on their way to it, calls of its methods, and whether it is
//! well. It retries nothing and opens no process; its connection is opened with the first call.

mod bulk;
mod metadata;
mod subscribed;

use std::time::Duration;

use async_trait::async_trait;
use common::StateItem;
use common::state_options::StateConcurrency;
use mainstay_core::callback::{
    AppCallback, BindingAnswer, BindingEvent, BulkEvent, ConfigurationChange, Follow, FollowState,
    TopicEvent, Verdict,
};
use mainstay_core::methods::{AppMethods, CallStatus, MethodAnswer, MethodCall};
use mainstay_core::subscription::Subscription;
use mainstay_core::{Ctx, Error, Redacted, Result, codes};
use mainstay_net::multiplexed::Channel;
use mainstay_proto::common::v1 as common;
use mainstay_proto::runtime::v1 as wire;
use mainstay_proto::runtime::v1::app_callback_client::AppCallbackClient;
use mainstay_proto::runtime::v1::app_callback_health_check_client::AppCallbackHealthCheckClient;
use prost_types::Any;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status};
use wire::topic_event_response::TopicEventResponseStatus;

use crate::health;

/// How long an app may take to answer, where the context says nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The app's gRPC server.
#[derive(Clone, Debug)]
pub struct GrpcApp {
    channel: Channel<tonic::body::Body>,
    /// `127.0.0.1:8000`.
    address: String,
    /// What the app wants to see in `dapr-api-token`.
    token: Option<MetadataValue<tonic::metadata::Ascii>>,
    message_bytes_max: usize,
}

impl GrpcApp {
    /// The app at `address`, which `channel` leads to. Messages have at most so many bytes.
    #[must_use]
    pub fn new(
        channel: Channel<tonic::body::Body>,
        address: &str,
        token: Option<&Redacted<String>>,
        message_bytes_max: usize,
    ) -> Self {
        let token = token.and_then(|token| {
            let mut value = MetadataValue::try_from(token.expose().as_str()).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { channel, address: address.to_owned(), token, message_bytes_max }
    }

    fn client(&self) -> AppCallbackClient<Channel<tonic::body::Body>> {
        AppCallbackClient::new(self.channel.clone())
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(self.message_bytes_max)
    }

    /// A message with what stands beside it.
    fn request<T>(&self, ctx: &Ctx, message: T, besides: &[(String, String)]) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(left(ctx));
        let metadata = request.metadata_mut();
        for (name, value) in besides {
            metadata::put(metadata, name, value);
        }
        if let Some(trace) = ctx.traceparent() {
            metadata::trace(metadata, trace, ctx.tracestate());
        }
        if let Some(token) = &self.token {
            metadata.insert("dapr-api-token", token.clone());
        }
        request
    }
}

/// How long the app may take.
fn left(ctx: &Ctx) -> Duration {
    let until = |end: std::time::Instant| end.saturating_duration_since(std::time::Instant::now());
    ctx.deadline().map_or(ANSWER_TIMEOUT, until)
}

/// Waits for an answer as long as the context says. Errors: `DEADLINE_EXCEEDED`; `APP_UNAVAILABLE` when nothing was
/// sent.
async fn within<T>(
    ctx: &Ctx,
    call: impl Future<Output = std::result::Result<Response<T>, Status>>,
) -> Result<std::result::Result<Response<T>, Status>> {
    let Ok(answer) = tokio::time::timeout(left(ctx), call).await else {
        return Err(Error::new(&codes::DEADLINE_EXCEEDED, "the app did not answer in time"));
    };
    match answer {
        Err(status) if was_not_sent(&status) => {
            let error = Error::new(&codes::APP_UNAVAILABLE, "the app cannot be reached");
            Err(error.with_internal(chain(&status)))
        }
        answer => Ok(answer),
    }
}

/// Whether a status is our own word for a connection that was not made.
fn was_not_sent(status: &Status) -> bool {
    use mainstay_net::client::SendError;
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<SendError>() {
            return matches!(error, SendError::Connect(_) | SendError::Refused(_));
        }
        cause = error.source();
    }
    false
}

fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The failure that an app answered with: policies look at its code.
fn failed(what: &str, status: &Status) -> Error {
    let message = format!("{what}: the app answers {:?}", status.code());
    let code = u16::try_from(status.code() as i32).unwrap_or_default();
    Error::new(&codes::APP_FAILED, message).with_internal(chain(status)).with_answer(code)
}

#[async_trait]
impl AppCallback for GrpcApp {
    async fn ready(&self, _: &Ctx) -> Result<()> {
        health::listens(&self.address).await
    }

    async fn healthy(&self, ctx: &Ctx) -> Result<()> {
        let mut client = AppCallbackHealthCheckClient::new(self.channel.clone());
        match within(ctx, client.health_check(self.request(ctx, (), &[]))).await? {
            Ok(_) => Ok(()),
            Err(status) => Err(failed("check the app's health", &status)),
        }
    }

    async fn subscriptions(&self, ctx: &Ctx) -> Result<Vec<Subscription>> {
        let mut client = self.client();
        match within(ctx, client.list_topic_subscriptions(self.request(ctx, (), &[]))).await? {
            Ok(answer) => Ok(subscribed::read(answer.into_inner())),
            Err(status) if status.code() == Code::Unimplemented => Ok(Vec::new()),
            Err(status) => Err(failed("ask what the app subscribes to", &status)),
        }
    }

    async fn deliver(&self, ctx: &Ctx, event: &TopicEvent) -> Result<Verdict> {
        let message = match mainstay_dapr::topic_event(event) {
            Ok(message) => message,
            // What can never be sent would come again for ever.
            Err(why) => {
                tracing::warn!(topic = %event.topic, %why, "an event cannot be sent to the app");
                return Ok(Verdict::Drop);
            }
        };
        let besides: Vec<_> =
            event.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut client = self.client();
        let answered = within(ctx, client.on_topic_event(self.request(ctx, message, &besides))).await?;
        match answered {
            Ok(answer) => Ok(verdict(answer.into_inner().status)),
            Err(status) if status.code() == Code::Unimplemented => {
                tracing::error!(topic = %event.topic, "the app does not take this topic: the message is dropped");
                Ok(Verdict::Drop)
            }
            Err(status) => {
                tracing::warn!(topic = %event.topic, error = %chain(&status), "the app failed on a message");
                Err(failed("deliver a message", &status))
            }
        }
    }

    async fn deliver_bulk(&self, ctx: &Ctx, event: &BulkEvent) -> Result<Vec<Verdict>> {
        self.deliver_several(ctx, event).await
    }

    async fn hears(&self, ctx: &Ctx, binding: &str, _route: &str) -> Result<bool> {
        let mut client = self.client();
        match within(ctx, client.list_input_bindings(self.request(ctx, (), &[]))).await? {
            Ok(answer) => Ok(answer.into_inner().bindings.iter().any(|name| name == binding)),
            Err(status) if status.code() == Code::Unimplemented => Ok(false),
            Err(status) => Err(failed("ask which bindings the app wants to hear of", &status)),
        }
    }

    async fn tell(&self, ctx: &Ctx, event: &BindingEvent) -> Result<BindingAnswer> {
        let message = wire::BindingEventRequest {
            name: event.binding.clone(),
            data: event.data.clone(),
            metadata: event.metadata.clone(),
        };
        let mut client = self.client();
        match within(ctx, client.on_binding_event(self.request(ctx, message, &[]))).await? {
            Ok(answer) => Ok(follow(answer.into_inner())),
            Err(status) => Err(failed("tell the app of a binding's event", &status)),
        }
    }

    /// Calls the method that an app over HTTP has as a path, with what it would get there: the protocol's own way for a
    /// watch that was asked for over HTTP.
    async fn configuration_changed(&self, ctx: &Ctx, change: &ConfigurationChange) -> Result<()> {
        let data = mainstay_dapr::configuration::change(change);
        for key in change.items.keys() {
            let verb = common::http_extension::Verb::Post.into();
            let message = common::InvokeRequest {
                method: format!("/configuration/{}/{key}", change.store),
                data: Some(Any { type_url: String::new(), value: data.clone() }),
                content_type: "application/json".to_owned(),
                http_extension: Some(common::HttpExtension { verb, querystring: String::new() }),
            };
            let mut client = self.client();
            let told = within(ctx, client.on_invoke(self.request(ctx, message, &[]))).await?;
            told.map_err(|status| failed("tell the app of changed configuration", &status))?;
        }
        Ok(())
    }
}

/// What an answer to a binding's event asks for.
fn follow(answer: wire::BindingEventResponse) -> BindingAnswer {
    let parallel = answer.concurrency() == wire::binding_event_response::BindingEventConcurrency::Parallel;
    let state = |item: StateItem| FollowState {
        key: item.key,
        value: item.value,
        is_json: item.metadata.get("contentType").is_some_and(|kind| kind == "application/json"),
        etag: item.etag.map(|etag| etag.value),
        concurrency: match item.options.unwrap_or_default().concurrency() {
            StateConcurrency::ConcurrencyUnspecified => String::new(),
            StateConcurrency::ConcurrencyFirstWrite => "first-write".to_owned(),
            StateConcurrency::ConcurrencyLastWrite => "last-write".to_owned(),
        },
        metadata: item.metadata,
    };
    let follow = Follow {
        store: answer.store_name,
        state: answer.states.into_iter().map(state).collect(),
        to: answer.to,
        parallel,
        data: answer.data.clone(),
    };
    BindingAnswer { data: answer.data, follow }
}

/// What an answer says of a message. A status that the protocol does not know is as good as none.
fn verdict(status: i32) -> Verdict {
    match TopicEventResponseStatus::try_from(status) {
        Ok(TopicEventResponseStatus::Success) => Verdict::Done,
        Ok(TopicEventResponseStatus::Drop) => Verdict::Drop,
        Ok(TopicEventResponseStatus::Retry) | Err(_) => Verdict::Again,
    }
}

#[async_trait]
impl AppMethods for GrpcApp {
    async fn call(&self, ctx: &Ctx, call: MethodCall) -> Result<MethodAnswer> {
        let verb = common::http_extension::Verb::from_str_name(&call.verb).unwrap_or_default();
        let message = common::InvokeRequest {
            method: call.method,
            data: Some(Any { type_url: call.type_url, value: call.data.into() }),
            content_type: call.content_type,
            http_extension: Some(common::HttpExtension { verb: verb.into(), querystring: call.query }),
        };
        let mut client = self.client();
        let answered = within(ctx, client.on_invoke(self.request(ctx, message, &call.metadata))).await?;
        Ok(match answered {
            Ok(answer) => {
                let (metadata, answer, _) = answer.into_parts();
                let data = answer.data.unwrap_or_default();
                MethodAnswer {
                    status: CallStatus::default(),
                    content_type: answer.content_type,
                    type_url: data.type_url,
                    data: data.value.into(),
                    metadata: metadata::read(&metadata),
                }
            }
            Err(status) => MethodAnswer {
                status: CallStatus {
                    code: u8::try_from(status.code() as i32).unwrap_or(2),
                    message: status.message().to_owned(),
                    details: bytes::Bytes::copy_from_slice(status.details()),
                },
                metadata: metadata::read(status.metadata()),
                ..MethodAnswer::default()
            },
        })
    }
}

#[cfg(test)]
mod tests;
