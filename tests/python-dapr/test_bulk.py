"""Several messages at once by the SDK: published in one call, delivered in one to an app of either extension."""

import grpc
import pytest
from conftest import Sidecar, until, use
from dapr.clients import DaprClient
from test_pubsub import seen

# The extensions have no word for it: it is declared beside the app.
SEVERAL = """
    apiVersion: dapr.io/v2alpha1
    kind: Subscription
    metadata: { name: several }
    spec:
      pubsubname: bus
      topic: several
      routes: { default: ROUTE }
      bulkSubscribe: { enabled: true, maxMessagesCount: 3, maxAwaitDurationMs: 500 }
"""


def test_messages_come_together_and_are_settled_one_by_one(app, tmp_path, monkeypatch):
    port, log = app
    sidecar = Sidecar(tmp_path, app_port=port, resources={"several.yaml": SEVERAL.replace("ROUTE", "/several")})
    use(sidecar, monkeypatch)
    with DaprClient() as client:
        done = client.publish_events("bus", "several", ["a", "b", "later", "c"])
        assert done.failed_entries == []

    def calls():
        calls = [call["data"] for call in seen(log, "several")]
        return sum(map(len, calls)) >= 5 and calls

    calls = until(calls, "all are there, and one comes again")
    assert sorted(sum(calls, [])) == ["a", "b", "c", "later", "later"]
    assert 1 < max(map(len, calls)) <= 3, "they come together, and not more than are asked for"
    assert {call["type"] for call in seen(log, "several")} == {"com.dapr.event.sent.bulk"}
    sidecar.stop()


def test_a_grpc_app_is_called_once_for_several(grpc_app, monkeypatch):
    port, log = grpc_app
    resources = {"several.yaml": SEVERAL.replace("ROUTE", "several")}
    sidecar = Sidecar(log.parent, app_port=port, words=["--app-protocol", "grpc"], resources=resources)
    use(sidecar, monkeypatch)
    with DaprClient() as client:
        done = client.publish_events("bus", "several", ["a", "b", "later", "c"])
        assert done.failed_entries == []
    until(lambda: len(seen(log, "several")) >= 5, "all are there, and one comes again")
    assert sorted(event["data"] for event in seen(log, "several")) == ["a", "b", "c", "later", "later"]
    calls = [call["method"] for call in seen(log, "rpc")]
    assert set(calls) == {"OnBulkTopicEvent"} and len(calls) < 5
    sidecar.stop()


def test_messages_with_nowhere_to_go_are_told(sidecar):
    with DaprClient() as client:
        with pytest.raises(grpc.RpcError) as refused:
            client.publish_events("no-such-bus", "several", ["a"])
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
