//! Conversations, with a component that answers with what it was asked.

use mainstay_proto::runtime::v1::conversation_message::MessageTypes;
use mainstay_proto::runtime::v1::*;
use prost::Message as _;
use prost_types::Any;
use tonic::Code;

use crate::house::{House, check};

fn said(text: &str) -> ConversationMessage {
    let content = vec![ConversationMessageContent { text: text.to_owned() }];
    let user = ConversationMessageOfUser { name: None, content };
    ConversationMessage { message_types: Some(MessageTypes::OfUser(user)) }
}

fn ask(name: &str, messages: Vec<ConversationMessage>) -> ConversationRequestAlpha2 {
    let inputs = vec![ConversationInputAlpha2 { messages, scrub_pii: Some(true) }];
    ConversationRequestAlpha2 { name: name.to_owned(), inputs, ..Default::default() }
}

#[tokio::test]
async fn a_conversation_is_answered_with_a_choice_and_its_usage() {
    let house = House::new().await;
    let mut client = house.client().await;
    let request = ConversationRequestAlpha2 {
        context_id: Some("c7".to_owned()),
        ..ask("llm", vec![said("mail me@example.org")])
    };
    let answer = client.converse_alpha2(request).await.unwrap().into_inner();
    assert_eq!((answer.context_id.as_deref(), answer.outputs.len()), (Some("c7"), 1));
    let output = &answer.outputs[0];
    let choice = &output.choices[0];
    assert_eq!((choice.finish_reason.as_str(), output.model.as_deref()), ("stop", Some("echo")));
    assert_eq!(choice.message.as_ref().unwrap().content, "mail <EMAIL_ADDRESS>");
    assert_eq!(output.usage.as_ref().unwrap().total_tokens, 4);
}

#[tokio::test]
async fn the_older_form_gives_its_parameters_back() {
    let house = House::new().await;
    let mut client = house.client().await;
    let url = "type.googleapis.com/google.protobuf.Int64Value".to_owned();
    let limit = Any { type_url: url, value: 9_i64.encode_to_vec() };
    let input = ConversationInput { content: "hi".to_owned(), ..Default::default() };
    let request = ConversationRequest {
        name: "llm".to_owned(),
        inputs: vec![input],
        parameters: [("max_tokens".to_owned(), limit.clone())].into(),
        ..Default::default()
    };
    let answer = client.converse_alpha1(request).await.unwrap().into_inner();
    assert_eq!(answer.outputs[0].result, "hi");
    assert_eq!(answer.outputs[0].parameters["max_tokens"], limit);
}

#[tokio::test]
async fn failures_have_the_protocols_statuses_and_no_details() {
    let house = House::new().await;
    let mut client = house.client().await;
    check(client.converse_alpha2(ask("nowhere", vec![said("hi")])).await, Code::InvalidArgument, "");
    check(client.converse_alpha2(ask("llm", Vec::new())).await, Code::InvalidArgument, "");
    let nothing = vec![ConversationMessage { message_types: None }];
    check(client.converse_alpha2(ask("llm", nothing)).await, Code::InvalidArgument, "");
}
