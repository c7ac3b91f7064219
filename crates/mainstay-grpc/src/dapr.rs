//! ★ The methods of the runtime's service that are served. To add one: a function in its block's file, and its method
//! here. The others answer UNIMPLEMENTED by themselves.

use std::sync::Arc;

use mainstay_proto::runtime::v1 as wire;
use mainstay_proto::runtime::v1::dapr_server::Dapr;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Streaming};

use crate::call::{Call, Result};
use crate::surface::Shared;
use crate::{
    bindings, configuration, conversation, crypto, invoke, lock, metadata, pubsub, secrets, state, subscribe,
};

/// The service.
pub(crate) struct Service(Arc<Shared>);

impl Service {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

/// Each method opens the call, hands it with its message to a function, and answers with what that gives.
macro_rules! serve {
    (
        messages { $($method:ident($message:ident) -> $answer:ty = $function:path;)+ }
        watches { $($watch:ident($wanted:ident) -> $update:ident = $watches:path;)+ }
        with_metadata { $($called:ident($request:ident) -> $response:ty = $calls:path;)+ }
        streams { $($stream:ident($item:ident) -> $out:ident = $opens:path;)+ }
    ) => {
        #[tonic::async_trait]
        impl Dapr for Service {
            $(async fn $method(&self, request: Request<wire::$message>) -> Result<Response<$answer>> {
                let (call, message) = Call::open(&self.0, request);
                let answer = $function(&call, message).await?;
                call.answer(answer)
            })+

            $(async fn $watch(
                &self,
                request: Request<wire::$wanted>,
            ) -> Result<Response<BoxStream<wire::$update>>> {
                let (call, message) = Call::open(&self.0, request);
                $watches(&call, message).await.map(Response::new)
            })+

            $(async fn $called(&self, request: Request<wire::$request>) -> Result<Response<$response>> {
                let (call, message) = Call::open(&self.0, request);
                $calls(&call, message).await
            })+

            $(async fn $stream(
                &self,
                request: Request<Streaming<wire::$item>>,
            ) -> Result<Response<BoxStream<wire::$out>>> {
                let (call, messages) = Call::open(&self.0, request);
                $opens(&call, messages).await.map(Response::new)
            })+
        }
    };
}

serve! {
    messages {
        get_state(GetStateRequest) -> wire::GetStateResponse = state::get;
        get_bulk_state(GetBulkStateRequest) -> wire::GetBulkStateResponse = state::get_bulk;
        save_state(SaveStateRequest) -> () = state::save;
        delete_state(DeleteStateRequest) -> () = state::delete;
        delete_bulk_state(DeleteBulkStateRequest) -> () = state::delete_bulk;
        execute_state_transaction(ExecuteStateTransactionRequest) -> () = state::transact;
        query_state_alpha1(QueryStateRequest) -> wire::QueryStateResponse = state::query;
        publish_event(PublishEventRequest) -> () = pubsub::publish;
        bulk_publish_event(BulkPublishRequest) -> wire::BulkPublishResponse = pubsub::publish_bulk;
        bulk_publish_event_alpha1(BulkPublishRequest) -> wire::BulkPublishResponse = pubsub::publish_bulk;
        invoke_binding(InvokeBindingRequest) -> wire::InvokeBindingResponse = bindings::invoke;
        get_secret(GetSecretRequest) -> wire::GetSecretResponse = secrets::get;
        get_bulk_secret(GetBulkSecretRequest) -> wire::GetBulkSecretResponse = secrets::get_bulk;
        get_configuration(GetConfigurationRequest) -> wire::GetConfigurationResponse = configuration::get;
        get_configuration_alpha1(GetConfigurationRequest) -> wire::GetConfigurationResponse = configuration::get;
        unsubscribe_configuration(UnsubscribeConfigurationRequest) -> wire::UnsubscribeConfigurationResponse =
            configuration::unsubscribe;
        unsubscribe_configuration_alpha1(UnsubscribeConfigurationRequest)
            -> wire::UnsubscribeConfigurationResponse = configuration::unsubscribe;
        converse_alpha1(ConversationRequest) -> wire::ConversationResponse = conversation::alpha1;
        converse_alpha2(ConversationRequestAlpha2) -> wire::ConversationResponseAlpha2 = conversation::alpha2;
        try_lock_alpha1(TryLockRequest) -> wire::TryLockResponse = lock::try_lock;
        unlock_alpha1(UnlockRequest) -> wire::UnlockResponse = lock::unlock;
        get_metadata(GetMetadataRequest) -> wire::GetMetadataResponse = metadata::get;
        set_metadata(SetMetadataRequest) -> () = metadata::set;
        shutdown(ShutdownRequest) -> () = metadata::shutdown;
    }
    watches {
        subscribe_configuration(SubscribeConfigurationRequest) -> SubscribeConfigurationResponse =
            configuration::subscribe;
        subscribe_configuration_alpha1(SubscribeConfigurationRequest) -> SubscribeConfigurationResponse =
            configuration::subscribe;
    }
    with_metadata {
        invoke_service(InvokeServiceRequest) -> mainstay_proto::common::v1::InvokeResponse = invoke::invoke;
    }
    streams {
        subscribe_topic_events_alpha1(SubscribeTopicEventsRequestAlpha1) -> SubscribeTopicEventsResponseAlpha1 =
            subscribe::open;
        encrypt_alpha1(EncryptRequest) -> EncryptResponse = crypto::encrypt;
        decrypt_alpha1(DecryptRequest) -> DecryptResponse = crypto::decrypt;
    }
}
