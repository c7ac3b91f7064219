//! What a method gets besides its message.

use std::sync::Arc;

use mainstay_blocks::Blocks;
use mainstay_core::{Ctx, Error, Principal, RequestId};
use mainstay_dapr::Fault;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::status;
use crate::surface::Shared;

/// What a method gives.
pub(crate) type Result<T> = std::result::Result<T, Status>;

/// A call that was let in.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ctx: Ctx,
    pub(crate) metadata: MetadataMap,
}

impl Call {
    /// The call and its message. The router put the context beside it.
    pub(crate) fn open<T>(shared: &Arc<Shared>, request: Request<T>) -> (Self, T) {
        let (metadata, extensions, message) = request.into_parts();
        let ctx = extensions.get::<Ctx>().cloned();
        let ctx = ctx.unwrap_or_else(|| Ctx::new(RequestId::generate(), Principal::Anonymous));
        (Self { shared: Arc::clone(shared), ctx, metadata }, message)
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.shared.blocks
    }

    /// The answer. Errors: RESOURCE_EXHAUSTED for one that is too large, while there is still a status to be chosen.
    pub(crate) fn answer<T: Message>(&self, message: T) -> Result<Response<T>> {
        let (size, most) = (message.encoded_len(), self.shared.message_bytes_max);
        if size > most {
            let message = format!("the answer has {size} bytes; the bound is {most}");
            return Err(Status::resource_exhausted(message));
        }
        Ok(Response::new(message))
    }

    /// The app's id.
    pub(crate) fn app(&self) -> &str {
        &self.shared.blocks.app().id
    }
}

/// The status of a failure of a block.
pub(crate) fn failed(fault: &Fault, error: &Error) -> Status {
    status::log(fault, error);
    status::of(fault)
}
