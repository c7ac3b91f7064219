"""The official `openai` SDK against the OpenAI front."""

import json

import openai
import pytest

from conftest import KEY, SLOW_KEY

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def client(base_url, key=KEY, **options):
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, **{"max_retries": 0, **options})


def ask(text):
    return [{"role": "user", "content": text}]


def test_models_are_listed_and_found(base_url):
    models = client(base_url).models
    assert {"small", "large"} <= {model.id for model in models.list()}
    assert models.retrieve("small").id == "small"


def test_a_whole_answer(base_url):
    answer = client(base_url).chat.completions.create(model="small", messages=ask("Hi"))
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there, friend.")
    assert choice.finish_reason == "stop"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (25, 4, 29)
    assert usage.prompt_tokens_details.cached_tokens == 5


def test_a_stream_without_usage_unless_asked(base_url):
    chunks = list(client(base_url).chat.completions.create(model="small", messages=ask("Hi"), stream=True))
    assert all(len(chunk.choices) == 1 for chunk in chunks), "no chunk without choices"
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "Hello there, friend."
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"


def test_a_stream_with_the_usage_chunk_last(base_url):
    stream = client(base_url).chat.completions.create(
        model="small", messages=ask("Hi"), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 29
    assert all(chunk.usage is None for chunk in chunks[:-1])


def weather(call):
    return f"{json.loads(call.function.arguments)['city']}: sunny"


def test_tools_are_called_and_their_results_answered(base_url):
    create = client(base_url).chat.completions.create
    messages = ask("What is the weather?")
    first = create(model="small", messages=messages, tools=[TOOL]).choices[0]
    assert first.finish_reason == "tool_calls"
    calls = first.message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_weather"]
    assert len({call.id for call in calls}) == 2
    messages.append(first.message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": weather(call)} for call in calls]
    second = create(model="small", messages=messages, tools=[TOOL]).choices[0]
    assert (second.finish_reason, second.message.content) == ("stop", "The tools said: Oslo: sunny")


def test_streamed_tool_calls_come_in_pieces_by_index(base_url):
    stream = client(base_url).chat.completions.create(
        model="small", messages=ask("weather"), tools=[TOOL], stream=True
    )
    pieces, names, finish = {}, {}, None
    for chunk in stream:
        finish = chunk.choices[0].finish_reason or finish
        for call in chunk.choices[0].delta.tool_calls or []:
            names.setdefault(call.index, call.function.name)
            pieces[call.index] = pieces.get(call.index, "") + (call.function.arguments or "")
    assert names == {0: "get_weather", 1: "get_weather"}
    assert [json.loads(pieces[at])["city"] for at in (0, 1)] == ["Lahore", "Oslo"]
    assert finish == "tool_calls"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("limited", openai.RateLimitError),
        ("quota", openai.RateLimitError),
        ("down", openai.InternalServerError),
    ],
)
def test_failures_of_the_provider_are_the_sdks_own_exceptions(base_url, query, error):
    with pytest.raises(error) as caught:
        client(base_url).chat.completions.create(model="small", messages=ask(query))
    assert caught.value.request_id
    assert caught.value.body["message"]


def test_a_quota_that_is_used_up_is_not_tried_again(base_url):
    with pytest.raises(openai.RateLimitError) as caught:
        client(base_url, max_retries=2).chat.completions.create(model="small", messages=ask("quota"))
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.code == "insufficient_quota"


def test_an_unknown_model_is_not_found(base_url):
    with pytest.raises(openai.NotFoundError):
        client(base_url).chat.completions.create(model="nobody", messages=ask("Hi"))
    with pytest.raises(openai.NotFoundError):
        client(base_url).models.retrieve("nobody")


def test_a_wrong_key_is_refused(base_url):
    with pytest.raises(openai.AuthenticationError):
        client(base_url, key="sk-wrong").chat.completions.create(model="small", messages=ask("Hi"))


def test_a_bad_field_is_named(base_url):
    with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)) as caught:
        client(base_url).chat.completions.create(model="small", messages="Hi")
    assert "messages" in (caught.value.param or "") or "messages" in str(caught.value)


def test_a_key_with_a_rate_is_limited_and_told_when_to_come_back(base_url):
    slow = client(base_url, key=SLOW_KEY)
    slow.chat.completions.create(model="small", messages=ask("Hi"))
    with pytest.raises(openai.RateLimitError) as caught:
        slow.chat.completions.create(model="small", messages=ask("Hi"))
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_a_stream_that_breaks_is_an_error_and_not_an_end(base_url):
    with pytest.raises(openai.APIError):
        for _ in client(base_url).chat.completions.create(model="small", messages=ask("cut"), stream=True):
            pass


def test_a_stream_left_early_leaves_the_server_well(base_url):
    with client(base_url).chat.completions.create(model="small", messages=ask("slow"), stream=True) as stream:
        next(iter(stream))
    assert client(base_url).chat.completions.create(model="small", messages=ask("Hi")).choices


def test_many_callers_at_once(base_url):
    from concurrent.futures import ThreadPoolExecutor

    shared = client(base_url)
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(
            lambda _: shared.chat.completions.create(model="large", messages=ask("Hi")).choices[0].message.content,
            range(64),
        )
    assert set(answers) == {"Hello there, friend."}


def test_texts_are_embedded(base_url):
    answer = client(base_url).embeddings.create(model="small", input=["a kettle", "opening hours", "a kettle"])
    vectors = [item.embedding for item in answer.data]
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert vectors[0] == vectors[2] != vectors[1]
    assert {len(vector) for vector in vectors} == {512}
    assert (answer.model, answer.usage.total_tokens) == ("small", 6)


def test_vectors_have_the_length_asked_for(base_url):
    floats = client(base_url).embeddings.create(model="small", input="a kettle", dimensions=64, encoding_format="float")
    assert len(floats.data[0].embedding) == 64


def test_an_embedding_of_nothing_is_refused(base_url):
    with pytest.raises((openai.UnprocessableEntityError, openai.BadRequestError)) as caught:
        client(base_url).embeddings.create(model="small", input=[])
    assert "input" in str(caught.value)
