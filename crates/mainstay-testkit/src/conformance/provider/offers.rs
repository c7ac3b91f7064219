//! What a provider says it can do: what is declared is sent, what is not declared is refused.

use mainstay_core::Ctx;
use mainstay_core::embedding::EmbedRequest;
use mainstay_core::message::{Media, MediaSource, Message, Part, Role};
use mainstay_core::model::{ModelEvent, ModelRequest, ResponseFormat, Rest};
use mainstay_core::tool::ToolSpec;
use serde_json::json;

use super::{Behaviour, MODEL_ASKED, Open, ask, promises, request};

promises! {
    capabilities_do_not_change,
    a_list_of_models_is_read_to_its_last_page,
    tools_are_sent_or_refused,
    pictures_are_sent_or_refused,
    schemas_are_sent_or_refused,
    fields_that_are_lost_are_told_before_anything_else,
    the_model_asked_for_is_the_one_that_upstream_sees,
    texts_are_embedded_in_their_order_or_refused,
}

async fn capabilities_do_not_change(open: Open) {
    let rig = open(Behaviour::Says("text")).await;
    let before = rig.provider().capabilities();
    ask(&rig, request(true)).await.1.expect("the provider answers");
    assert_eq!(rig.provider().capabilities(), before);
}

async fn a_list_of_models_is_read_to_its_last_page(open: Open) {
    let rig = open(Behaviour::Says("text")).await;
    let listed = rig.provider().models(&Ctx::system()).await;
    if !rig.provider().capabilities().lists_models {
        assert_eq!(listed.expect_err("it has no list").code().id, "UNSUPPORTED");
        return;
    }
    let models = listed.expect("the models are listed");
    let mut ids: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| !id.is_empty()), "{ids:?}");
    if rig.received().is_some() {
        assert_eq!(ids, ["m-1", "m-2"]);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), models.len(), "a model is listed twice");
}

/// The upstream sees `mark` in the request, or the provider refuses to send it.
async fn sent_or_refused(open: Open, declared: bool, request: ModelRequest, mark: &str) {
    let rig = open(Behaviour::Says("text")).await;
    let (_, ending) = ask(&rig, request).await;
    if !declared {
        assert_eq!(ending.expect_err("it does not declare that").code().id, "UNSUPPORTED");
        return;
    }
    ending.expect("the provider answers");
    if let Some(received) = rig.received() {
        let body = String::from_utf8_lossy(&received[0].body).into_owned();
        assert!(body.contains(mark), "`{mark}` was not sent: {body}");
    }
}

async fn tools_are_sent_or_refused(open: Open) {
    let declared = open(Behaviour::Says("text")).await.provider().capabilities().tools;
    let tool = ToolSpec {
        name: "find_the_needle".to_owned(),
        description: "Finds it.".to_owned(),
        parameters: json!({"type": "object", "properties": {"haystack": {"type": "string"}}}),
        strict: None,
    };
    let request = ModelRequest { tools: vec![tool], ..request(true) };
    sent_or_refused(open, declared, request, "find_the_needle").await;
}

async fn pictures_are_sent_or_refused(open: Open) {
    let declared = open(Behaviour::Says("text")).await.provider().capabilities().images;
    let mut request = request(true);
    let source = MediaSource::Base64("iVBORw0KGgoNeedle".to_owned());
    let picture = Part::Image(Media { media_type: "image/png".to_owned(), source });
    request
        .messages
        .push(Message { role: Role::User, parts: vec![Part::Text("And this?".to_owned()), picture] });
    sent_or_refused(open, declared, request, "iVBORw0KGgoNeedle").await;
}

async fn schemas_are_sent_or_refused(open: Open) {
    let declared = open(Behaviour::Says("text")).await.provider().capabilities().json_schema;
    let schema = json!({"type": "object", "properties": {"needle_property": {"type": "string"}}});
    let format = ResponseFormat::JsonSchema { name: "answer".to_owned(), schema, strict: true };
    let request = ModelRequest { response_format: format, ..request(true) };
    sent_or_refused(open, declared, request, "needle_property").await;
}

async fn fields_that_are_lost_are_told_before_anything_else(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Says("text")).await;
        let fields = ["needle_one", "needle_two"].map(|name| (name.to_owned(), json!({"a": 1})));
        let rest = Rest { dialect: "nobody-speaks-this".to_owned(), fields: fields.into_iter().collect() };
        let (events, ending) = ask(&rig, ModelRequest { rest, ..request(stream) }).await;
        ending.expect("the provider answers");
        let Some(ModelEvent::Dropped(names)) = events.first() else {
            panic!("an answer begins with what was lost: {events:?}")
        };
        assert_eq!(*names, ["needle_one", "needle_two"]);
        let (events, ending) = ask(&rig, request(stream)).await;
        ending.expect("the provider answers");
        let told = events.iter().any(|event| matches!(event, ModelEvent::Dropped(_)));
        assert!(!told, "nothing was lost: {events:?}");
    }
}

async fn the_model_asked_for_is_the_one_that_upstream_sees(open: Open) {
    for stream in [true, false] {
        let rig = open(Behaviour::Says("text")).await;
        ask(&rig, request(stream)).await.1.expect("the provider answers");
        let Some(received) = rig.received() else { return };
        let body: serde_json::Value = serde_json::from_slice(&received[0].body).expect("the request is JSON");
        let named = body["model"] == MODEL_ASKED || received[0].path.contains(&format!("/{MODEL_ASKED}:"));
        assert!(named, "{}: {body}", received[0].path);
    }
}

async fn texts_are_embedded_in_their_order_or_refused(open: Open) {
    let rig = open(Behaviour::Says("text")).await;
    let inputs = ["needle one", "needle two", "needle one"].map(str::to_owned).to_vec();
    let request = EmbedRequest { model: MODEL_ASKED.to_owned(), inputs, dimensions: None };
    let outcome = rig.provider().embed(&Ctx::system(), request).await;
    if !rig.provider().capabilities().embeddings {
        assert_eq!(outcome.expect_err("it does not declare that").code().id, "UNSUPPORTED");
        return;
    }
    let vectors = outcome.expect("the texts are embedded").vectors;
    let length = vectors.first().map_or(0, Vec::len);
    assert!(
        length > 0 && vectors.len() == 3 && vectors.iter().all(|vector| vector.len() == length),
        "{vectors:?}"
    );
    assert_ne!(vectors[0], vectors[1], "two texts have one vector");
    let Some(received) = rig.received() else {
        return assert_eq!(vectors[0], vectors[2], "one text has two vectors");
    };
    assert_eq!(vectors.iter().map(|vector| vector[1]).collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
    let body = String::from_utf8_lossy(&received[0].body).into_owned();
    let named = body.contains(MODEL_ASKED) || received[0].path.contains(&format!("/{MODEL_ASKED}:"));
    assert!(named && body.contains("needle two"), "{}: {body}", received[0].path);
}
