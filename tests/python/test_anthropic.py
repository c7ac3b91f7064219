"""The official `anthropic` SDK against the Anthropic front."""

import anthropic
import pytest

from conftest import KEY

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def client(base_url, key=KEY, **options):
    return anthropic.Anthropic(base_url=base_url, api_key=key, **{"max_retries": 0, **options})


def ask(text):
    return {"model": "small", "max_tokens": 100, "messages": [{"role": "user", "content": text}]}


def test_models_are_listed_in_its_own_shape(base_url):
    models = client(base_url).models
    assert {"small", "large"} <= {model.id for model in models.list()}
    assert models.retrieve("small").id == "small"


def test_a_whole_message(base_url):
    message = client(base_url).messages.create(**ask("Hi"), system="Be kind.")
    assert (message.type, message.role) == ("message", "assistant")
    assert [(block.type, block.text) for block in message.content] == [("text", "Hello there, friend.")]
    assert message.stop_reason == "end_turn"
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (20, 5, 4)


def test_a_streamed_message(base_url):
    with client(base_url).messages.stream(**ask("Hi")) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "Hello there, friend."
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 4


def test_events_come_in_their_order(base_url):
    kinds = [event.type for event in client(base_url).messages.create(**ask("Hi"), stream=True)]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    order = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)


def results(blocks):
    return [
        {"type": "tool_result", "tool_use_id": block.id, "content": f"{block.input['city']}: sunny"}
        for block in blocks
    ]


def test_tools_are_used_and_their_results_answered(base_url):
    create = client(base_url).messages.create
    first = create(**ask("weather"), tools=[TOOL])
    assert first.stop_reason == "tool_use"
    uses = [block for block in first.content if block.type == "tool_use"]
    assert [use.input["city"] for use in uses] == ["Lahore", "Oslo"]
    assert len({use.id for use in uses}) == 2
    messages = ask("weather")["messages"] + [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": results(uses)},
    ]
    second = create(model="small", max_tokens=100, messages=messages, tools=[TOOL])
    assert second.stop_reason == "end_turn"
    assert second.content[0].text == "The tools said: Oslo: sunny"


def test_streamed_tool_use_is_put_together(base_url):
    with client(base_url).messages.stream(**ask("weather"), tools=[TOOL]) as stream:
        message = stream.get_final_message()
    uses = [block for block in message.content if block.type == "tool_use"]
    assert [use.input["city"] for use in uses] == ["Lahore", "Oslo"]
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("query", "error", "status", "kind"),
    [
        ("limited", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("quota", anthropic.APIStatusError, 402, "billing_error"),
        ("down", anthropic.InternalServerError, 503, "api_error"),
    ],
)
def test_failures_of_the_provider_are_the_sdks_own_exceptions(base_url, query, error, status, kind):
    with pytest.raises(error) as caught:
        client(base_url).messages.create(**ask(query))
    assert (caught.value.status_code, caught.value.body["error"]["type"]) == (status, kind)
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["message"]


def test_an_unknown_model_is_not_found(base_url):
    with pytest.raises(anthropic.NotFoundError):
        client(base_url).messages.create(**{**ask("Hi"), "model": "nobody"})


def test_a_wrong_key_is_refused(base_url):
    with pytest.raises(anthropic.AuthenticationError):
        client(base_url, key="sk-wrong").messages.create(**ask("Hi"))


def test_a_stream_that_breaks_is_an_error_and_not_an_end(base_url):
    with pytest.raises(anthropic.APIError):
        with client(base_url).messages.stream(**ask("cut")) as stream:
            stream.get_final_message()
