"""The models of a spec by the SDK: `mainstay serve` has them as conversation components of their names."""

import json
import os
import pathlib
import signal
import subprocess
import textwrap

import pytest
from conftest import PATIENCE_S, answers, free_port, until, use
from dapr.clients import DaprClient
from dapr.clients.grpc import conversation as talk
from test_conversation import ADD, ask, user

SPEC = """
    name: shop
    components: components
    providers:
      broken: { scripted: { replies: [{ fault: { status: { code: 503 } } }] } }
      script:
        scripted:
          replies:
            - { when: sum, tool_calls: [{ name: add, arguments: { a: 1 } }] }
            - { text: "you said {query}", usage: { input: 5, output: 7 } }
    models:
      fast: { targets: [broken/any, script/any] }
"""
COMPONENT = """
    apiVersion: dapr.io/v1alpha1
    kind: Component
    metadata: { name: assistant }
    spec: { type: conversation.mainstay, version: v1, metadata: [{ name: model, value: fast }] }
"""


class Service:
    """A service with models, and the building blocks inside it."""

    def __init__(self, folder: pathlib.Path):
        (folder / "components").mkdir()
        (folder / "components/assistant.yaml").write_text(textwrap.dedent(COMPONENT))
        (folder / "mainstay.yaml").write_text(textwrap.dedent(SPEC))
        self.http_port, self.grpc_port = free_port(), free_port()
        ports = ["--dapr-http-port", str(self.http_port), "--dapr-grpc-port", str(self.grpc_port)]
        command = [os.environ["MAINSTAY_BIN"], "serve", ".", "--listen", "127.0.0.1:0", *ports]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self.process = subprocess.Popen(command, cwd=folder, env=environment)


@pytest.fixture
def service(tmp_path, monkeypatch):
    running = Service(tmp_path)
    try:
        health = f"http://127.0.0.1:{running.http_port}/v1.0/healthz"
        until(lambda: answers(health) or running.process.poll() is not None, "the service is up")
        assert running.process.poll() is None, "the service ended"
        use(running, monkeypatch)
        yield running
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=PATIENCE_S) == 0
    finally:
        running.process.kill()
        running.process.wait(timeout=PATIENCE_S)


@pytest.mark.parametrize("name", ["assistant", "fast"])
def test_a_model_answers_after_the_target_before_it_failed(service, name):
    with DaprClient() as client:
        output = client.converse_alpha2(name=name, inputs=ask(user("hello"))).outputs[0]
        assert (output.choices[0].finish_reason, output.choices[0].message.content) == ("stop", "you said hello")
        assert (output.usage.prompt_tokens, output.usage.completion_tokens) == (5, 7)
        older = client.converse_alpha1(name=name, inputs=[talk.ConversationInput(content="ho", role="user")])
        assert [output.result for output in older.outputs] == ["you said ho"]


def test_a_model_calls_tools(service):
    with DaprClient() as client:
        answer = client.converse_alpha2(name="fast", inputs=ask(user("the sum?")), tools=[ADD])
        choice = answer.outputs[0].choices[0]
        assert choice.finish_reason == "tool_calls"
        call = choice.message.tool_calls[0]
        assert (call.function.name, json.loads(call.function.arguments)) == ("add", {"a": 1})


def test_models_are_among_the_components(service):
    with DaprClient() as client:
        known = {(one.name, one.type) for one in client.get_metadata().registered_components}
    assert known == {("assistant", "conversation.mainstay"), ("fast", "conversation.mainstay")}
