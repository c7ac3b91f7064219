"""Messages and calls by the SDK, to an app of its FastAPI extension, and to a stream of its own."""

import base64
import json

import grpc
import pytest
from conftest import Sidecar, until, use
from dapr.clients import DaprClient
from dapr.clients.exceptions import DaprHttpError
from dapr.clients.grpc._response import TopicEventResponse


def seen(log, kind):
    if not log.exists():
        return []
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line["event"] for line in lines if line["kind"] == kind]


@pytest.fixture
def beside(app, tmp_path, monkeypatch):
    port, log = app
    sidecar = Sidecar(tmp_path, app_port=port)
    use(sidecar, monkeypatch)
    yield log
    sidecar.stop()


def test_a_message_reaches_the_app_in_its_envelope(beside):
    with DaprClient() as client:
        data = json.dumps({"n": 1})
        client.publish_event("bus", "orders", data, data_content_type="application/json")
    event = until(lambda: seen(beside, "order"), "the app has the message")[0]
    assert event["data"] == {"n": 1}
    expected = {
        "specversion": "1.0",
        "type": "com.dapr.event.sent",
        "source": "shop",
        "pubsubname": "bus",
        "topic": "orders",
        "datacontenttype": "application/json",
    }
    assert {name: event[name] for name in expected} == expected and event["id"]


def test_what_the_app_does_not_want_goes_to_the_dead_letter_topic(beside):
    with DaprClient() as client:
        client.publish_event("bus", "orders", '{"poison": true}', data_content_type="application/json")
    letter = until(lambda: seen(beside, "dead"), "the dead letter arrives")[0]
    assert letter["data"] == {"poison": True}


def test_what_is_to_be_tried_again_comes_again(beside):
    with DaprClient() as client:
        client.publish_event("bus", "retried", "once more")
    events = until(lambda: len(seen(beside, "retried")) >= 2 and seen(beside, "retried"), "it comes again")
    assert events[0]["id"] == events[1]["id"] and events[0]["data"] == "once more"


def test_an_unknown_broker_is_told(beside):
    with DaprClient() as client:
        with pytest.raises(grpc.RpcError) as refused:
            client.publish_event("no-such-bus", "orders", "x")
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_the_app_is_called_through_us(beside):
    with DaprClient() as client:
        answer = client.invoke_method("shop", "echo/me", data="hi", http_verb="PUT", http_querystring=[("a", "b")])
    expected = {"method": "PUT", "name": "me", "query": {"a": "b"}, "body": "hi", "caller": "shop"}
    assert json.loads(answer.data) == expected


def test_the_app_is_called_over_grpc_too(beside, monkeypatch):
    from dapr.conf import settings

    monkeypatch.setattr(settings, "DAPR_API_METHOD_INVOCATION_PROTOCOL", "grpc")
    query = (("a", "b"),)
    with DaprClient() as client, pytest.warns(DeprecationWarning):
        answer = client.invoke_method("shop", "echo/me", "hi", "text/plain", http_verb="PUT", http_querystring=query)
        with pytest.raises(grpc.RpcError) as refused:
            client.invoke_method("shop", "missing", "hi", http_verb="PUT")
    expected = {"method": "PUT", "name": "me", "query": {"a": "b"}, "body": "hi", "caller": "shop"}
    assert (json.loads(answer.data), answer.content_type) == (expected, "application/json")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_what_the_app_refuses_and_what_we_refuse_are_told_apart(beside):
    def refused(app):
        with pytest.raises(DaprHttpError) as refused:
            client.invoke_method(app, "missing", data="hi", http_verb="PUT")
        return refused.value

    with DaprClient() as client:
        by_app, by_us = refused("shop"), refused("nobody")
    assert (by_app.status_code, json.loads(by_app.raw_response_bytes)) == (404, {"detail": "Not Found"})
    assert (by_us.status_code, by_us.error_code) == (500, "ERR_DIRECT_INVOKE")


def test_raw_bytes_reach_the_app_in_an_envelope_that_is_made_for_them(beside):
    with DaprClient() as client:
        raw = {"rawPayload": "true"}
        client.publish_event("bus", "raw", b"\x00raw", raw, data_content_type="application/octet-stream")
    event = until(lambda: seen(beside, "raw"), "the app has the message")[0]
    assert (base64.b64decode(event["data_base64"]), event["type"]) == (b"\x00raw", "com.dapr.event.sent")


def opened(subscribe):
    """What `subscribe` gives. The older SDK asks whether its stream is at work in one thread and says that it is in another:
    where the question comes first it ends what it has just begun, and is to begin again."""

    def once():
        try:
            return subscribe()
        except Exception as error:
            if "initializing stream" not in str(error):
                raise

    return until(once, "the stream is open")


def test_a_stream_of_the_app_gets_messages_and_settles_them(sidecar):
    with DaprClient() as client:
        subscription = opened(lambda: client.subscribe(pubsub_name="bus", topic="streamed"))
        try:
            client.publish_event("bus", "streamed", '{"n": 1}', data_content_type="application/json")
            message = subscription.next_message()
            assert message.data() == {"n": 1} and message.topic() == "streamed"
            subscription.respond_retry(message)
            again = subscription.next_message()
            assert again.id() == message.id()
            subscription.respond_success(again)
        finally:
            subscription.close()


def test_a_handler_gets_the_messages_of_a_stream(sidecar):
    taken = []

    def take(message):
        taken.append(message.data())
        return TopicEventResponse("retry" if len(taken) == 1 else "success")

    with DaprClient() as client:
        stop = opened(lambda: client.subscribe_with_handler("bus", "streamed", take))
        client.publish_event("bus", "streamed", "hi")
        until(lambda: taken == ["hi", "hi"], "it comes, and comes again")
        stop()
