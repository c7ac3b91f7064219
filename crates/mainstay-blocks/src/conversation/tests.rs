//! Conversations over a model that answers with what it was asked.

use std::sync::Mutex;

use async_trait::async_trait;
use mainstay_core::clock::ManualClock;
use mainstay_core::message::Role;
use mainstay_core::model::{FinishReason, Usage};
use serde_json::json;

use super::*;
use crate::{App, Table};

#[derive(Default)]
struct Fake(Mutex<Vec<ModelRequest>>);

#[async_trait]
impl Conversation for Fake {
    async fn converse(&self, _: &Ctx, request: ModelRequest) -> Result<Completion> {
        let mut asked = self.0.lock().unwrap();
        asked.push(request.clone());
        let text = format!("{} to you@example.org", asked.len());
        Ok(Completion {
            id: String::new(),
            model: "fake".to_owned(),
            message: Message::text(Role::Assistant, text),
            finish: FinishReason::Stop,
            usage: Usage::default(),
        })
    }
}

struct House {
    fake: Arc<Fake>,
    clock: Arc<ManualClock>,
    blocks: Blocks,
}

fn house(keep: Option<Duration>) -> House {
    let (fake, clock) = (Arc::new(Fake::default()), Arc::new(ManualClock::at(0)));
    let port = Arc::clone(&fake) as Arc<dyn Conversation>;
    let component = Component::new(port, Rules::of(keep));
    let conversations = BTreeMap::from([("llm".to_owned(), component)]);
    let blocks =
        Blocks::new(App::default(), Arc::clone(&clock) as _, Table { conversations, ..Table::default() });
    House { fake, clock, blocks }
}

fn ask(text: &str, scrub: bool) -> Request {
    Request { messages: vec![(Message::text(Role::User, text), scrub)], ..Request::default() }
}

impl House {
    async fn answer(&self, request: Request) -> Result<String> {
        let done = converse(&self.blocks, &Ctx::system(), "llm", request).await?;
        Ok(done.message.joined_text())
    }

    fn asked(&self) -> ModelRequest {
        self.fake.0.lock().unwrap().last().unwrap().clone()
    }
}

#[tokio::test]
async fn what_identifies_a_person_is_taken_out_where_that_is_asked() {
    let house = house(None);
    let both = Request { scrub_answer: true, ..ask("from me@example.org", true) };
    assert_eq!(house.answer(both).await.unwrap(), "1 to <EMAIL_ADDRESS>");
    assert_eq!(house.asked().messages[0].joined_text(), "from <EMAIL_ADDRESS>");
    assert_eq!(house.answer(ask("from me@example.org", false)).await.unwrap(), "2 to you@example.org");
    assert_eq!(house.asked().messages[0].joined_text(), "from me@example.org");
}

#[tokio::test]
async fn parameters_reach_the_model() {
    let house = house(None);
    let parameters = json!({"max_tokens": "64", "top_p": 0.5, "stop": ["x"], "seed": 7.0, "top_k": 3});
    let parameters = serde_json::from_value(parameters).unwrap();
    house.answer(Request { parameters, temperature: Some(0.7), ..ask("hi", false) }).await.unwrap();
    let asked = house.asked();
    assert_eq!((asked.max_tokens, asked.top_p, asked.seed), (Some(64), Some(0.5), Some(7)));
    assert_eq!((asked.stop, asked.temperature), (vec!["x".to_owned()], Some(0.7)));
    assert_eq!(asked.rest.fields["top_k"], 3);
    let parameters = BTreeMap::from([("max_tokens".to_owned(), json!("many"))]);
    let refused = house.answer(Request { parameters, ..ask("hi", false) }).await.unwrap_err();
    assert_eq!(refused.field(), Some("parameters.max_tokens"));
}

#[tokio::test]
async fn a_choice_must_be_one_of_the_tools() {
    let house = house(None);
    let tool =
        ToolSpec { name: "add".to_owned(), description: String::new(), parameters: json!({}), strict: None };
    let choose = |choice: &str, tools: &[ToolSpec]| {
        house.answer(Request { tool_choice: choice.to_owned(), tools: tools.to_vec(), ..ask("hi", false) })
    };
    choose("add", std::slice::from_ref(&tool)).await.unwrap();
    assert_eq!(house.asked().tool_choice, ToolChoice::Tool("add".to_owned()));
    choose("required", std::slice::from_ref(&tool)).await.unwrap();
    assert_eq!(house.asked().tool_choice, ToolChoice::Required);
    for (choice, tools) in [("sub", std::slice::from_ref(&tool)), ("required", &[]), ("add", &[])] {
        assert_eq!(choose(choice, tools).await.unwrap_err().field(), Some("tool_choice"), "{choice}");
    }
    assert_eq!(house.answer(Request::default()).await.unwrap_err().field(), Some("inputs"));
}

#[tokio::test]
async fn an_answer_is_kept_for_its_time_and_for_its_request_alone() {
    let house = house(Some(Duration::from_secs(60)));
    let first = house.answer(ask("hi", false)).await.unwrap();
    assert_eq!(house.answer(ask("hi", false)).await.unwrap(), first);
    assert_ne!(house.answer(ask("ho", false)).await.unwrap(), first);
    house.clock.advance(60_000);
    assert_ne!(house.answer(ask("hi", false)).await.unwrap(), first);
}

#[test]
fn a_schema_may_come_bare_or_wrapped() {
    let schema = json!({"type": "object", "title": "My Answer"});
    let bare =
        ResponseFormat::JsonSchema { name: "My_Answer".to_owned(), schema: schema.clone(), strict: false };
    assert_eq!(response_format(schema.clone()), bare);
    let wrapped =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": true}});
    let strict = ResponseFormat::JsonSchema { name: "n".to_owned(), schema, strict: true };
    assert_eq!(response_format(wrapped), strict);
    assert_eq!(response_format(json!({"type": "json_object"})), ResponseFormat::JsonObject);
}
