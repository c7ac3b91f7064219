//! Conversations, with a component that answers with what it was asked.

use std::collections::BTreeMap;

use mainstay_blocks::Table;
use mainstay_blocks::conversation::{Component, Rules};
use serde_json::json;

use crate::house::{House, clock};

async fn house() -> House {
    let port = mainstay_testkit::components::echo(&clock()).await;
    let component = Component::new(port, Rules::default());
    House::new(Table { conversations: BTreeMap::from([("llm".to_owned(), component)]), ..Table::default() })
}

const ALPHA1: &str = "/v1.0-alpha1/conversation/llm/converse";
const ALPHA2: &str = "/v1.0-alpha2/conversation/llm/converse";

#[tokio::test]
async fn an_answer_is_what_protobufs_json_makes_of_it() {
    let house = house().await;
    let asked = json!({
        "contextId": "c7",
        "inputs": [{"messages": [
            {"ofSystem": {"content": [{"text": "be brief"}]}},
            {"of_user": {"name": "jo", "content": [{"text": "two words"}]}},
        ]}],
        "metadata": {"k": "v"},
        "unknown": 1,
    });
    let choice = json!({"finishReason": "stop", "message": {"content": "be brief\ntwo words"}});
    let usage = json!({"completionTokens": "4", "promptTokens": "4", "totalTokens": "8"});
    let output = json!({"choices": [choice], "model": "echo", "usage": usage});
    let expect = json!({"contextId": "c7", "outputs": [output]});
    house.check("POST", ALPHA2, &asked.to_string(), (200, expect)).await;
}

#[tokio::test]
async fn tools_are_called_and_their_results_come_back() {
    let house = house().await;
    let parameters =
        json!({"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}});
    let tools = json!([{"function": {"name": "add", "description": "adds", "parameters": parameters}}]);
    let user = json!({"ofUser": {"content": [{"text": "hi"}]}});
    let asked = json!({"inputs": [{"messages": [user]}], "tools": tools, "toolChoice": "add"});
    let (status, answer) = house.send("POST", ALPHA2, &asked.to_string()).await;
    let choice = &answer["outputs"][0]["choices"][0];
    let call = json!([{"id": "0", "function": {"name": "add", "arguments": "a,b"}}]);
    assert_eq!(
        (status, &choice["finishReason"], &choice["message"]["toolCalls"]),
        (200, &json!("tool_calls"), &call)
    );
    let assistant = json!({"ofAssistant": {"toolCalls": call}});
    let result = json!({"ofTool": {"toolId": "0", "name": "add", "content": [{"text": "3"}]}});
    let asked = json!({"inputs": [{"messages": [assistant, result]}]});
    let (_, answer) = house.send("POST", ALPHA2, &asked.to_string()).await;
    let text = answer["outputs"][0]["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text, "Tool Response for tool ID '0' with name 'add': 3");
}

#[tokio::test]
async fn the_older_form_answers_with_text_and_the_parameters_that_it_was_given() {
    let house = house().await;
    let limit = json!({"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": "9"});
    let asked = json!({
        "contextID": "c7",
        "inputs": [{"content": "mail me@example.org", "role": "user", "scrubPII": true}],
        "parameters": {"max_tokens": limit},
    });
    let output = json!({"result": "mail <EMAIL_ADDRESS>", "parameters": {"max_tokens": limit}});
    let expect = json!({"contextID": "c7", "outputs": [output]});
    house.check("POST", ALPHA1, &asked.to_string(), (200, expect)).await;
}

#[tokio::test]
async fn failures_have_the_protocols_statuses() {
    let house = house().await;
    let user = json!({"ofUser": {"content": [{"text": "hi"}]}});
    let whole = json!({"inputs": [{"messages": [user]}]}).to_string();
    let other = "/v1.0-alpha2/conversation/other/converse";
    house.check_fault("POST", other, &whole, (400, "ERR_CONVERSATION_NOT_FOUND")).await;
    for empty in ["{}", r#"{"inputs":[]}"#] {
        for path in [ALPHA1, ALPHA2] {
            house.check_fault("POST", path, empty, (400, "ERR_CONVERSATION_MISSING_INPUTS")).await;
        }
    }
    house.check_fault("POST", ALPHA2, "{", (400, "ERR_MALFORMED_REQUEST")).await;
    let choice = json!({"inputs": [{"messages": [user]}], "toolChoice": "no-such-tool"}).to_string();
    for odd in [r#"{"inputs":[{"messages":[{}]}]}"#, choice.as_str()] {
        house.check_fault("POST", ALPHA2, odd, (400, "ERR_CONVERSATION_INVALID_PARMS")).await;
    }
}
