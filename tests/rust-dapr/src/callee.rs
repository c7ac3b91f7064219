//! The app that is called. The SDK's own service answers no calls and no bindings: as its examples do, this one is written on
//! the SDK's trait.

use dapr::appcallback::{
    BindingEventRequest, BindingEventResponse, InvokeRequest, InvokeResponse, JobEventRequest,
    JobEventResponse, ListInputBindingsResponse, ListTopicSubscriptionsResponse, TopicEventBulkRequest,
    TopicEventBulkResponse, TopicEventRequest, TopicEventResponse,
};
use dapr::client::StateItem;
use dapr::dapr::proto::runtime::v1::app_callback_server::{AppCallback, AppCallbackServer};
use prost_types::Any;
use tonic::{Request, Response, Status};

/// What it is called by.
pub(crate) const APP_ID: &str = "rust-callee";

type Answer<T> = Result<Response<T>, Status>;

struct Callee;

/// Listens until the process is ended.
pub(crate) async fn serve() -> crate::Outcome {
    let server = tonic::transport::Server::builder().add_service(AppCallbackServer::new(Callee));
    Ok(server.serve(crate::app_address()?).await?)
}

/// What the answer to a binding's event had saved, by the SDK's client.
async fn ticked() -> crate::Outcome<Vec<u8>> {
    Ok(crate::connected().await?.get_state("store", "ticked", None).await?.data)
}

#[tonic::async_trait]
impl AppCallback for Callee {
    async fn on_invoke(&self, request: Request<InvokeRequest>) -> Answer<InvokeResponse> {
        let caller = request.metadata().get("dapr-caller-app-id").map(|id| id.as_bytes().to_vec());
        let asked = request.into_inner();
        let data = match asked.method.as_str() {
            "echo" => asked.data.unwrap_or_default().value,
            "who" => caller.ok_or_else(|| Status::internal("nobody called"))?,
            "ticked" => ticked().await.map_err(|error| Status::internal(error.to_string()))?,
            method => return Err(Status::not_found(format!("no method {method}"))),
        };
        let data = Some(Any { type_url: String::new(), value: data });
        Ok(Response::new(InvokeResponse { data, content_type: "text/plain".to_owned() }))
    }

    async fn list_input_bindings(&self, _: Request<()>) -> Answer<ListInputBindingsResponse> {
        Ok(Response::new(ListInputBindingsResponse::binding("tick".to_owned())))
    }

    async fn on_binding_event(&self, request: Request<BindingEventRequest>) -> Answer<BindingEventResponse> {
        let name = request.into_inner().name;
        let state = StateItem { key: "ticked".to_owned(), value: name.into_bytes(), ..StateItem::default() };
        let store_name = "store".to_owned();
        let answer =
            BindingEventResponse { store_name, states: vec![state], ..BindingEventResponse::default() };
        Ok(Response::new(answer))
    }

    async fn list_topic_subscriptions(&self, _: Request<()>) -> Answer<ListTopicSubscriptionsResponse> {
        Ok(Response::new(ListTopicSubscriptionsResponse::default()))
    }

    async fn on_topic_event(&self, _: Request<TopicEventRequest>) -> Answer<TopicEventResponse> {
        Err(Status::unimplemented("it subscribes to nothing"))
    }

    async fn on_bulk_topic_event(&self, _: Request<TopicEventBulkRequest>) -> Answer<TopicEventBulkResponse> {
        Err(Status::unimplemented("it subscribes to nothing"))
    }

    async fn on_job_event(&self, _: Request<JobEventRequest>) -> Answer<JobEventResponse> {
        Err(Status::unimplemented("it has no jobs"))
    }
}
