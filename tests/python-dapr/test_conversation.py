"""Conversations by the SDK: with a component that answers with what it was asked, and with a server that has OpenAI's API."""

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from conftest import COMPONENTS, Sidecar, use
from dapr.clients import DaprClient
from dapr.clients.grpc import conversation as talk


def user(text):
    return talk.ConversationMessage(
        of_user=talk.ConversationMessageOfUser(content=[talk.ConversationMessageContent(text=text)])
    )


def ask(*messages, scrub=False):
    return [talk.ConversationInputAlpha2(messages=list(messages), scrub_pii=scrub)]


ADD = talk.ConversationTools(
    function=talk.ConversationToolsFunction(
        name="add",
        description="adds",
        parameters={"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
    )
)


def test_an_answer_has_its_choice_and_context(sidecar):
    with DaprClient() as client:
        inputs = ask(user("write to me@example.org"), scrub=True)
        answer = client.converse_alpha2(name="echo", inputs=inputs, context_id="c7")
        choice = answer.outputs[0].choices[0]
        assert (answer.context_id, choice.finish_reason) == ("c7", "stop")
        assert choice.message.content == "write to <EMAIL_ADDRESS>"


def test_tools_are_called(sidecar):
    with DaprClient() as client:
        answer = client.converse_alpha2(name="echo", inputs=ask(user("hi")), tools=[ADD], tool_choice="add")
        choice = answer.outputs[0].choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls[0].function.name == "add"
        # The SDK makes the assistant's message of it, for the conversation to go on with.
        assert answer.to_assistant_messages()[0].of_assistant.tool_calls[0].id == "0"


def test_the_older_form(sidecar):
    with DaprClient() as client:
        answer = client.converse_alpha1(name="echo", inputs=[talk.ConversationInput(content="hello", role="user")])
        assert [output.result for output in answer.outputs] == ["hello"]


def test_what_is_wrong_is_told(sidecar):
    with DaprClient() as client:
        for name, inputs in [("no-such-model", ask(user("hi"))), ("echo", [])]:
            with pytest.raises(grpc.RpcError) as refused:
                client.converse_alpha2(name=name, inputs=inputs)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


class Upstream(BaseHTTPRequestHandler):
    """A server that has OpenAI's API, and notes what it is asked."""

    asked: list = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, self.headers["authorization"], body))
        function = {"name": "add", "arguments": '{"a":1}'}
        call = {"id": "call_1", "type": "function", "function": function}
        message = {"role": "assistant", "content": "so be it", "tool_calls": [call] if body.get("tools") else None}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-returned",
            "choices": [{"index": 0, "finish_reason": "tool_calls" if body.get("tools") else "stop", "message": message}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def vendor(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Upstream.asked = []
    component = """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: llm }
        spec:
          type: conversation.openai
          version: v1
          metadata:
          - { name: key, value: test-key }
          - { name: model, value: gpt-asked }
          - { name: endpoint, value: "http://127.0.0.1:PORT/v1" }
          - { name: cacheTTL, value: 10m }
    """
    monkeypatch.setitem(COMPONENTS, "llm.yaml", component.replace("PORT", str(server.server_address[1])))
    sidecar = Sidecar(tmp_path)
    use(sidecar, monkeypatch)
    yield sidecar
    sidecar.stop()
    server.shutdown()


def test_every_vendor_can_be_named(tmp_path, monkeypatch):
    vendors = ["openai", "anthropic", "googleai", "ollama", "mistral", "deepseek"]
    for vendor in vendors:
        head = f"apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: {vendor} }}\n"
        settings = "[{ name: key, value: k }]"
        spec = f"spec: {{ type: conversation.{vendor}, version: v1, metadata: {settings} }}\n"
        monkeypatch.setitem(COMPONENTS, f"{vendor}.yaml", head + spec)
    sidecar = Sidecar(tmp_path)
    use(sidecar, monkeypatch)
    with DaprClient() as client:
        assert {component.name for component in client.get_metadata().registered_components} >= set(vendors)
    sidecar.stop()


def test_a_vendor_is_asked_with_everything_that_the_app_says(vendor):
    with DaprClient() as client:
        answer = client.converse_alpha2(
            name="llm",
            inputs=ask(user("what is 1?")),
            parameters={"max_tokens": 64, "top_p": 0.5, "user": "jo"},
            temperature=0.25,
            tools=[ADD],
            tool_choice="required",
        )
    output = answer.outputs[0]
    assert (output.model, output.usage.total_tokens, output.usage.prompt_tokens) == ("gpt-returned", 12, 5)
    call = output.choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_1", "add", {"a": 1})
    (path, key, body), *more = Upstream.asked
    assert (path, key, more) == ("/v1/chat/completions", "Bearer test-key", [])
    asked = {name: body[name] for name in ("model", "max_tokens", "top_p", "temperature", "tool_choice")}
    assert asked == {"model": "gpt-asked", "max_tokens": 64, "top_p": 0.5, "temperature": 0.25, "tool_choice": "required"}
    assert body["messages"][0]["role"] == "user" and body["user"] == "jo" and body["tools"][0]["function"]["name"] == "add"


def test_an_answer_is_kept_for_the_same_request(vendor):
    body = {"inputs": [{"messages": [{"ofUser": {"content": [{"text": "hi"}]}}]}]}
    url = f"http://127.0.0.1:{vendor.http_port}/v1.0-alpha2/conversation/llm/converse"

    def converse():
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode())) as answer:
            return json.load(answer)

    first = converse()
    assert first["outputs"][0]["choices"] == [{"finishReason": "stop", "message": {"content": "so be it"}}]
    assert first["outputs"][0]["usage"] == {"completionTokens": "7", "promptTokens": "5", "totalTokens": "12"}
    assert converse() == first and len(Upstream.asked) == 1
    body["inputs"][0]["messages"][0]["ofUser"]["content"][0]["text"] = "ho"
    converse()
    assert len(Upstream.asked) == 2
