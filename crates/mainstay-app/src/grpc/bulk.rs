//! Several messages in one call, and what an app says of each.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::callback::{BulkEvent, Verdict};
use mainstay_core::{Ctx, Error, Result, codes};
use mainstay_proto::runtime::v1 as wire;
use mainstay_proto::runtime::v1::app_callback_alpha_client::AppCallbackAlphaClient;
use tonic::{Code, Response, Status};

use super::{GrpcApp, chain, failed, verdict, within};

impl GrpcApp {
    /// Asks by the name of today, and where the app does not know it by the older one. Errors, besides those of the
    /// port: `UNSUPPORTED` where it knows neither.
    pub(super) async fn deliver_several(&self, ctx: &Ctx, event: &BulkEvent) -> Result<Vec<Verdict>> {
        let mut unfit = BTreeSet::new();
        let message = mainstay_dapr::bulk_topic_event(event, |id, why| {
            tracing::warn!(topic = %event.topic, %why, "an event cannot be sent to the app");
            unfit.insert(id.to_owned());
        });
        // Nobody could say anything of it.
        if message.entries.is_empty() {
            return Ok(vec![Verdict::Drop; event.entries.len()]);
        }
        match self.ask(ctx, message).await? {
            Ok(answer) => Ok(verdicts(answer.into_inner(), event, &unfit)),
            Err(status) if status.code() == Code::Unimplemented => {
                let message = "deliver several messages in one call to this app: it has no method for that";
                Err(Error::new(&codes::UNSUPPORTED, message))
            }
            Err(status) => {
                tracing::warn!(topic = %event.topic, error = %chain(&status), "the app failed on several messages");
                Err(failed("deliver several messages", &status))
            }
        }
    }

    async fn ask(
        &self,
        ctx: &Ctx,
        message: wire::TopicEventBulkRequest,
    ) -> Result<std::result::Result<Response<wire::TopicEventBulkResponse>, Status>> {
        let besides: Vec<_> =
            message.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut client = self.client();
        let request = self.request(ctx, message.clone(), &besides);
        let answered = within(ctx, client.on_bulk_topic_event(request)).await?;
        if !answered.as_ref().is_err_and(|status| status.code() == Code::Unimplemented) {
            return Ok(answered);
        }
        let mut client = AppCallbackAlphaClient::new(self.channel.clone())
            .max_decoding_message_size(self.message_bytes_max)
            .max_encoding_message_size(self.message_bytes_max);
        let request = self.request(ctx, message, &besides);
        within(ctx, client.on_bulk_topic_event_alpha1(request)).await
    }
}

/// What an answer says of each message, in their order. What it says nothing of comes again, and what was never sent
/// does not.
fn verdicts(
    answer: wire::TopicEventBulkResponse,
    event: &BulkEvent,
    unfit: &BTreeSet<String>,
) -> Vec<Verdict> {
    let said: BTreeMap<String, i32> =
        answer.statuses.into_iter().map(|one| (one.entry_id, one.status)).collect();
    let of = |id: &String| match said.get(id) {
        _ if unfit.contains(id) => Verdict::Drop,
        Some(status) => verdict(*status),
        None => Verdict::Again,
    };
    event.entries.iter().map(|entry| of(&entry.id)).collect()
}
