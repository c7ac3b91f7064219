"""Several messages at once by the SDK: published in one call, delivered in one to an app of its FastAPI extension."""

import grpc
import pytest
from conftest import Sidecar, until, use
from dapr.clients import DaprClient
from test_pubsub import seen

# The extension has no word for it: it is declared beside the app.
SEVERAL = """
    apiVersion: dapr.io/v2alpha1
    kind: Subscription
    metadata: { name: several }
    spec:
      pubsubname: bus
      topic: several
      routes: { default: /several }
      bulkSubscribe: { enabled: true, maxMessagesCount: 3, maxAwaitDurationMs: 500 }
"""


def test_messages_come_together_and_are_settled_one_by_one(app, tmp_path, monkeypatch):
    port, log = app
    sidecar = Sidecar(tmp_path, app_port=port, resources={"several.yaml": SEVERAL})
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


def test_messages_with_nowhere_to_go_are_told(sidecar):
    with DaprClient() as client:
        with pytest.raises(grpc.RpcError) as refused:
            client.publish_events("no-such-bus", "several", ["a"])
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
