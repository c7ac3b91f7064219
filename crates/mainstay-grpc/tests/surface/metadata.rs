//! What the process says of itself, and its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_core::meter::{Block, Done, Meter};
use mainstay_proto::runtime::v1::*;

use crate::house::House;

#[tokio::test]
async fn the_metadata_tells_what_is_open_and_what_the_app_says() {
    let house = House::new().await;
    let mut client = house.client().await;
    let say = |key: &str| SetMetadataRequest { key: key.to_owned(), value: "here".to_owned() };
    client.set_metadata(say("app")).await.unwrap();
    client.set_metadata(say("")).await.unwrap();
    let said = client.get_metadata(GetMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((said.id.as_str(), said.runtime_version.as_str()), ("shop", "1.18.3"));
    let component = &said.registered_components[0];
    assert_eq!((component.name.as_str(), component.r#type.as_str()), ("orders", "state.in-memory"));
    assert_eq!(component.capabilities, ["ETAG", "TRANSACTIONAL"]);
    let extended: Vec<_> =
        said.extended_metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(extended, [("app", "here"), ("daprRuntimeVersion", "1.18.3")]);
}

#[tokio::test]
async fn a_shutdown_is_in_order_unless_forced() {
    let house = House::new().await;
    let mut client = house.client().await;
    client.shutdown(ShutdownRequest {}).await.unwrap();
    for word in ["True", "no"] {
        let mut forced = tonic::Request::new(ShutdownRequest {});
        forced.metadata_mut().insert("dapr-force-shutdown", word.parse().unwrap());
        client.shutdown(forced).await.unwrap();
    }
    assert_eq!(*house.shutdowns.lock().unwrap(), [false, true, false]);
}

/// A meter that writes down what it is told of.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Meter for Notes {
    fn took(&self, done: Done<'_>, _: Duration) {
        self.0.lock().unwrap().push(format!("{done:?}"));
    }

    fn scrape(&self) -> (&'static str, String) {
        ("text/plain", String::new())
    }
}

#[tokio::test]
async fn calls_are_reported_with_their_codes_and_components_with_what_they_did() {
    let house = House::new().await;
    let notes = Arc::new(Notes::default());
    house.blocks.measure(Arc::clone(&notes) as Arc<dyn Meter>);
    let mut client = house.client().await;
    let get = |store: &str| GetStateRequest {
        store_name: store.to_owned(),
        key: "k".to_owned(),
        ..Default::default()
    };
    client.get_state(get("orders")).await.unwrap();
    client.get_state(get("nobody")).await.unwrap_err();
    let method = "/dapr.proto.runtime.v1.Dapr/GetState";
    let expect = [
        Done::Component { block: Block::State, component: "orders", operation: "get", success: true },
        Done::Call { method, code: 0 },
        Done::Call { method, code: 3 },
    ];
    assert_eq!(*notes.0.lock().unwrap(), expect.map(|done| format!("{done:?}")));
}
