"""Bindings by the SDK: operations over gRPC, and events as its extensions for HTTP and for gRPC take them."""

import grpc
import pytest
from conftest import Sidecar, until, use
from dapr.clients import DaprClient
from test_pubsub import seen

TICK = """
    apiVersion: dapr.io/v1alpha1
    kind: Component
    metadata: { name: tick }
    spec:
      type: bindings.cron
      version: v1
      metadata: [{ name: schedule, value: "@every 1s" }]
"""
PAGE = """
    apiVersion: dapr.io/v1alpha1
    kind: Component
    metadata: { name: page }
    spec:
      type: bindings.http
      version: v1
      metadata: [{ name: url, value: "http://127.0.0.1:PORT/echo" }]
"""


def test_a_file_is_written_listed_read_and_removed(sidecar):
    note = {"fileName": "notes/a.bin"}
    with DaprClient() as client:
        made = client.invoke_binding("files", "create", b"\x00remember me\xff", note)
        assert made.json() == {"fileName": "notes/a.bin"}
        assert client.invoke_binding("files", "get", "", note).data == b"\x00remember me\xff"
        (listed,) = client.invoke_binding("files", "list", "", {"fileName": "notes"}).json()
        assert listed.endswith("/files/notes/a.bin")
        client.invoke_binding("files", "delete", "", note)
        assert client.invoke_binding("files", "list", "", {"fileName": "notes"}).json() is None


def test_what_cannot_be_done_is_told(sidecar):
    with DaprClient() as client:
        for name, operation, why in [
            ("files", "get", "file not found: a"),
            ("files", "fly", "binding files does not support operation fly"),
            ("nowhere", "create", "couldn't find output binding nowhere"),
        ]:
            with pytest.raises(grpc.RpcError) as refused:
                client.invoke_binding(name, operation, "", {"fileName": "a"})
            assert refused.value.code() == grpc.StatusCode.INTERNAL
            assert why in refused.value.details()


def test_a_service_is_called_and_its_answer_comes_back(app, tmp_path, monkeypatch):
    port, _ = app
    sidecar = Sidecar(tmp_path, more={"page.yaml": PAGE.replace("PORT", str(port))})
    use(sidecar, monkeypatch)
    with DaprClient() as client:
        answer = client.invoke_binding("page", "post", "hi", {"path": "/me?a=b"})
        said = {"method": "POST", "name": "me", "query": {"a": "b"}, "body": "hi", "caller": None}
        assert answer.json() == said
        assert answer.binding_metadata["statusCode"] == "200"
        with pytest.raises(grpc.RpcError) as refused:
            client.invoke_binding("page", "delete", "", {"path": "/me"})
        assert refused.value.code() == grpc.StatusCode.INTERNAL and "405" in refused.value.details()
    sidecar.stop()


def test_an_http_app_hears_of_events_and_its_answer_is_followed(app, tmp_path, monkeypatch):
    port, log = app
    sidecar = Sidecar(tmp_path, app_port=port, more={"tick.yaml": TICK})
    use(sidecar, monkeypatch)
    assert until(lambda: seen(log, "tick"), "the app hears of it")[0]["read"].startswith("20")
    with DaprClient() as client:
        kept = until(lambda: client.get_state("orders", "ticked").data, "its answer is saved")
        assert kept == b'{"by":"http"}'
        files = until(lambda: client.invoke_binding("files", "list").json(), "its answer calls a binding")
        name = {"fileName": files[0].rpartition("/")[2]}
        assert client.invoke_binding("files", "get", "", name).data == b"it went on"
    sidecar.stop()


def test_a_grpc_app_hears_of_events(grpc_app, monkeypatch):
    port, log = grpc_app
    sidecar = Sidecar(log.parent, app_port=port, words=["--app-protocol", "grpc"], more={"tick.yaml": TICK})
    assert until(lambda: seen(log, "tick"), "the app hears of it")[0] == {"data": ""}
    sidecar.stop()
