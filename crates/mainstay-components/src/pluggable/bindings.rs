//! A binding in a pluggable component: output, input, or both.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_core::binding::{Binding, Capabilities, Event, Operation, Outcome, Receipt, not_supported};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use mainstay_proto::components::v1 as wire;
use tokio::sync::mpsc;
use tonic::Status;
use wire::input_binding_client::InputBindingClient;
use wire::output_binding_client::OutputBindingClient;

use super::socket::{Instanced, MESSAGE_BYTES_MAX, Socket, request};
use super::{INPUT, OUTPUT, Plugged, failed, metadata};
use crate::clients::within;

/// Answers on their way.
const ANSWERS_MAX: usize = 1_024;

/// A binding.
pub(super) struct Plug {
    calls: Instanced,
    able: Capabilities,
}

fn unavailable(status: &Status) -> Error {
    failed(status, &codes::BINDING_FAILED)
}

impl Plug {
    /// Initialises the instance. Errors: `BINDING_FAILED`.
    pub(super) async fn open(
        socket: Socket,
        plugged: &Plugged,
        properties: BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut plug = Self { calls: socket.calls(), able: Capabilities::default() };
        if plugged.serves(INPUT) {
            let init = wire::InputBindingInitRequest { metadata: metadata(properties.clone()) };
            plug.input().init(init).await.map_err(|status| unavailable(&status))?;
            plug.able.events = true;
        }
        if plugged.serves(OUTPUT) {
            let init = wire::OutputBindingInitRequest { metadata: metadata(properties) };
            plug.output().init(init).await.map_err(|status| unavailable(&status))?;
            let listed = plug.output().list_operations(wire::ListOperationsRequest {}).await;
            plug.able.operations = listed.map_err(|status| unavailable(&status))?.into_inner().operations;
        }
        Ok(plug)
    }

    fn input(&self) -> InputBindingClient<Instanced> {
        InputBindingClient::new(self.calls.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn output(&self) -> OutputBindingClient<Instanced> {
        OutputBindingClient::new(self.calls.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

#[async_trait]
impl Binding for Plug {
    fn capabilities(&self) -> Capabilities {
        self.able.clone()
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        within(ctx, async {
            let asked = request(ctx, wire::PingRequest {});
            let pong = if self.able.operations.is_empty() {
                self.input().ping(asked).await
            } else {
                self.output().ping(asked).await
            };
            pong.map(|_| ()).map_err(|status| unavailable(&status))
        })
        .await
    }

    async fn invoke(&self, ctx: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        if !self.able.operations.contains(&operation.name) {
            return Err(not_supported(&operation.name));
        }
        let Operation { name, data, metadata } = operation;
        let asked = wire::InvokeRequest { data, metadata, operation: name };
        within(ctx, async {
            let done = self.output().invoke(request(ctx, asked)).await;
            let wire::InvokeResponse { data, metadata, .. } =
                done.map_err(|status| unavailable(&status))?.into_inner();
            Ok((!data.is_empty() || !metadata.is_empty()).then_some(Outcome { data, metadata }))
        })
        .await
    }

    async fn events(&self, _ctx: &Ctx) -> Result<BoxStream<Result<Event>>> {
        if !self.able.events {
            return Err(Error::new(&codes::UNSUPPORTED, "listen to this binding: it has no events"));
        }
        let (answers, mut waiting) = mpsc::channel(ANSWERS_MAX);
        let asked = futures_util::stream::poll_fn(move |cx| waiting.poll_recv(cx));
        let mut client = self.input();
        // Not waited for: some servers send the head of the stream with the first event.
        let opened = async move { client.read(asked).await };
        let events = futures_util::stream::once(opened).flat_map(move |opened| {
            let answers = answers.clone();
            match opened {
                Ok(stream) => {
                    let event = move |next: std::result::Result<wire::ReadResponse, Status>| {
                        let answers = answers.clone();
                        next.map(|read| event(read, answers)).map_err(|status| unavailable(&status))
                    };
                    stream.into_inner().map(event).left_stream()
                }
                Err(status) => futures_util::stream::iter([Err(unavailable(&status))]).right_stream(),
            }
        });
        Ok(Box::pin(events))
    }
}

fn event(read: wire::ReadResponse, answers: mpsc::Sender<wire::ReadRequest>) -> Event {
    let wire::ReadResponse { data, metadata, message_id, .. } = read;
    Event { data, metadata, receipt: Box::new(Slip { id: Some(message_id), answers }) }
}

/// Answers an event; dropped without, it says that it failed.
struct Slip {
    /// `None` once it was answered.
    id: Option<String>,
    answers: mpsc::Sender<wire::ReadRequest>,
}

fn answer(message_id: String, data: Bytes, why: Option<&str>) -> wire::ReadRequest {
    let response_error = why.map(|why| wire::AckResponseError { message: why.to_owned() });
    wire::ReadRequest { response_data: data, message_id, response_error }
}

impl Slip {
    async fn say(&mut self, data: Bytes, why: Option<&str>) -> Result<()> {
        let Some(id) = self.id.take() else { return Ok(()) };
        let sent = self.answers.send(answer(id, data, why)).await;
        sent.map_err(|_| Error::new(&codes::BINDING_FAILED, "settle an event: nobody listens any more"))
    }
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>, data: Bytes) -> Result<()> {
        self.say(data, None).await
    }

    async fn failed(mut self: Box<Self>, why: &str) -> Result<()> {
        self.say(Bytes::new(), Some(why)).await
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // Where there is no room, or nobody, the end of the stream says the same.
            let _ = self.answers.try_send(answer(id, Bytes::new(), Some("nobody settled it")));
        }
    }
}
