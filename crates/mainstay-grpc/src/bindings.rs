//! Operations of bindings.

use mainstay_blocks::bindings;
use mainstay_core::binding::Operation;
use mainstay_proto::runtime::v1 as wire;

use crate::call::{self, Call, Result};
use crate::status;

pub(crate) async fn invoke(
    call: &Call,
    asked: wire::InvokeBindingRequest,
) -> Result<wire::InvokeBindingResponse> {
    let wire::InvokeBindingRequest { name, data, mut metadata, operation } = asked;
    let headers = call.metadata.get_all("baggage").into_iter().filter_map(|value| value.to_str().ok());
    if let Some(baggage) = mainstay_dapr::bindings::baggage(headers).map_err(|fault| status::of(&fault))? {
        metadata.insert("baggage".to_owned(), baggage);
    }
    let operation = Operation { name: operation, data, metadata };
    let done = bindings::invoke(call.blocks(), &call.ctx, &name, operation).await;
    let outcome =
        done.map_err(|error| call::failed(&mainstay_dapr::bindings::fault(&name, &error), &error))?;
    let outcome = outcome.unwrap_or_default();
    Ok(wire::InvokeBindingResponse { data: outcome.data, metadata: outcome.metadata })
}
