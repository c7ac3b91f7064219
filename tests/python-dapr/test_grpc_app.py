"""Messages and calls by the SDK, to an app that speaks gRPC, from its own sidecar and from another app's on this host."""

import json
import urllib.error
import urllib.request

import grpc
import pytest
from conftest import PATIENCE_S, until, use
from dapr.clients import DaprClient
from test_pubsub import seen


def call(sidecar, path, data=b"hi", headers=None):
    """A call over HTTP: status, headers and body."""
    url = f"http://127.0.0.1:{sidecar.http_port}{path}"
    request = urllib.request.Request(url, data=data, headers={"content-type": "text/plain"} | (headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


def test_messages_reach_the_app_and_are_settled_as_it_says(bank, monkeypatch):
    sidecar, log = bank
    use(sidecar, monkeypatch)
    with DaprClient() as client:
        for data in ['{"n":1}', '{"poison":true}']:
            client.publish_event("bus", "orders", data, data_content_type="application/json")
        client.publish_event("bus", "retried", "once more")
    # They are delivered side by side: either may be first.
    orders = until(lambda: len(seen(log, "order")) >= 2 and seen(log, "order"), "the app has the messages")
    event = next(order for order in orders if "poison" not in order["data"])
    wanted = {"type": "com.dapr.event.sent", "source": "bank", "data": '{"n":1}'}
    assert {name: event[name] for name in wanted} == wanted
    assert until(lambda: seen(log, "dead"), "the dead letter arrives")[0]["data"] == '{"poison":true}'
    events = until(lambda: len(seen(log, "retried")) >= 2 and seen(log, "retried"), "it comes again")
    assert events[0]["id"] == events[1]["id"]
    metadata = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{sidecar.http_port}/v1.0/metadata").read())
    kinds = {(one["topic"], one["type"]) for one in metadata["subscriptions"]}
    assert kinds == {(topic, "PROGRAMMATIC") for topic in ["orders", "dead", "retried", "routed", "elsewhere"]}
    assert metadata["appConnectionProperties"]["protocol"] == "grpc"


def test_messages_go_where_rules_lead_them(bank, monkeypatch):
    sidecar, log = bank
    use(sidecar, monkeypatch)
    with DaprClient() as client:
        for data, metadata in [('{"n":1}', {"cloudevent.type": "big"}), ('{"n":2}', {})]:
            client.publish_event("bus", "routed", data, metadata, data_content_type="application/json")
    until(lambda: seen(log, "big") and seen(log, "counted"), "the app has both")
    assert (seen(log, "big"), seen(log, "counted")) == ([{"data": '{"n":1}'}], [{"data": '{"n":2}'}])


def test_a_method_is_called_over_both_protocols_from_another_app(shop, monkeypatch):
    status, headers, body = call(shop, "/v1.0/invoke/bank/method/echo", headers={"dapr-caller-app-id": "liar"})
    wanted = {"data": "hi", "type": "text/plain", "caller": ["shop"], "token": ["for-the-bank"]}
    assert (status, json.loads(body), headers["x-app"]) == (200, wanted, "1")
    assert headers["content-type"] == "application/json"
    from dapr.conf import settings

    monkeypatch.setattr(settings, "DAPR_API_METHOD_INVOCATION_PROTOCOL", "grpc")
    with DaprClient() as client, pytest.warns(DeprecationWarning):
        answer = client.invoke_method("bank", "echo", "hi", "text/plain")
        assert (json.loads(answer.data), answer.content_type) == (wanted, "application/json")
        with pytest.raises(grpc.RpcError) as refused:
            client.invoke_method("bank", "missing", "hi")
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.RpcError) as refused:
            client.invoke_method("nobody", "echo", "hi")
        assert (refused.value.code(), "failed to invoke" in refused.value.details()) == (grpc.StatusCode.INTERNAL, True)
    status, _, body = call(shop, "/v1.0/invoke/bank/method/missing")
    assert (status, json.loads(body)["code"]) == (501, 12)


def test_access_control_holds_at_the_callee(shop):
    for path in ["fails", "echo/../fails", "x/%2e%2e/fails"]:
        status, _, body = call(shop, f"/v1.0/invoke/bank/method/{path}")
        assert (status, json.loads(body)["errorCode"]) == (403, "ERR_DIRECT_INVOKE"), path


def test_a_service_of_another_app_is_called_through_the_sidecar(shop):
    to = (("dapr-app-id", "bank"),)
    with grpc.insecure_channel(f"127.0.0.1:{shop.grpc_port}") as channel:
        answer, done = channel.unary_unary("/bank.Vault/Seal").with_call(b"abc", metadata=to)
        assert (answer, dict(done.trailing_metadata())["x-caller"]) == (b"cba", "shop")
        words = [b"a", b"b" * 100_000, b"c"]
        assert list(channel.stream_stream("/bank.Vault/Chat")(iter(words), metadata=to)) == [w.upper() for w in words]
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/bank.Vault/Seal")(b"abc")
        assert refused.value.code() == grpc.StatusCode.UNKNOWN


def test_an_app_that_is_not_well_is_left_alone(bank, shop, monkeypatch):
    _, log = bank
    (log.parent / "ill").touch()

    def refused():
        status, _, body = call(shop, "/v1.0/invoke/bank/method/echo")
        return status == 500 and b"app is not in a healthy state" in body

    until(refused, "calls are refused")
    with DaprClient() as client:
        client.publish_event("bus", "orders", "kept")
    (log.parent / "ill").unlink()
    until(lambda: call(shop, "/v1.0/invoke/bank/method/echo")[0] == 200, "calls are let in again")
