//! The canonical call: encoded into the dialect, the answer decoded into events as it comes.

use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use mainstay_core::model::{ModelEvent, ModelRequest, ModelStream};
use mainstay_core::{Ctx, Result};
use mainstay_dialects::codec::{EncodeOptions, Encoded, StreamDecoder};
use mainstay_dialects::sse::Parser;
use mainstay_net::client::AnswerBody;

use super::{Endpoint, broke_off, failure, is_event_stream, whole};

impl Endpoint {
    /// Asks in this endpoint's dialect at `path`.
    pub(crate) async fn complete(&self, ctx: &Ctx, path: &str, request: ModelRequest) -> Result<ModelStream> {
        let stream = request.stream;
        let Encoded { body, dropped, hints } = self.encoded(request);
        let answer = self.post(ctx, path, body.into(), &[], stream).await?;
        if !answer.status().is_success() {
            return Err(failure::of_answer(self.codec, answer).await.0);
        }
        if is_event_stream(answer.headers()) {
            let events = decoded(answer.into_body(), (self.codec.decoder)(hints));
            return Ok(after_dropped(dropped, events));
        }
        let events = (self.codec.decode_response)(&whole(answer.into_body()).await?, &hints)?;
        Ok(after_dropped(dropped, stream::iter(events.into_iter().map(Ok))))
    }

    /// The request as written. It is taken, so that nobody holds it while the answer is waited for.
    fn encoded(&self, request: ModelRequest) -> Encoded {
        let max_tokens_default = request.max_tokens_default.unwrap_or(self.options.max_tokens_default);
        let options = EncodeOptions { max_tokens_default, ..self.options.clone() };
        (self.codec.encode_request)(&request, &options)
    }
}

/// The events, after one that names what the request lost on its way.
pub(crate) fn after_dropped(
    dropped: Vec<String>,
    events: impl futures_core::Stream<Item = Result<ModelEvent>> + Send + 'static,
) -> ModelStream {
    if dropped.is_empty() {
        return Box::pin(events);
    }
    Box::pin(stream::iter([Ok(ModelEvent::Dropped(dropped))]).chain(events))
}

/// The events of a streamed answer. The last thing known before a failure is still told.
fn decoded(
    mut body: AnswerBody,
    mut decoder: Box<dyn StreamDecoder>,
) -> impl futures_core::Stream<Item = Result<ModelEvent>> + Send {
    async_stream::stream! {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        let (mut failed, mut cut) = (None, None);
        while failed.is_none() && !decoder.done() {
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        parser.push(chunk);
                        failed = drain(&mut parser, decoder.as_mut(), &mut events).err();
                    }
                }
                Some(Err(error)) => {
                    cut = Some(broke_off(error));
                    break;
                }
                None => break,
            }
            if events.is_empty() {
                yield Ok(ModelEvent::Alive);
            }
            for event in events.drain(..) {
                yield Ok(event);
            }
        }
        if failed.is_none() {
            if let Some(rest) = parser.finish().filter(|_| cut.is_none()) {
                failed = decoder.push(&rest, &mut events).err();
            }
            // How the connection of a stream ends that was whole is nobody's concern.
            failed = failed.or_else(|| decoder.end(&mut events).err().map(|ending| cut.unwrap_or(ending)));
        }
        for event in events {
            yield Ok(event);
        }
        if let Some(error) = failed {
            yield Err(error);
        }
    }
}

fn drain(parser: &mut Parser, decoder: &mut dyn StreamDecoder, events: &mut Vec<ModelEvent>) -> Result<()> {
    while let Some(frame) = parser.next_frame()? {
        decoder.push(&frame, events)?;
    }
    Ok(())
}
