"""Configuration by the SDK, over gRPC; and over HTTP, where the app is told at a path."""

import json
import urllib.request

import grpc
import pytest
from conftest import Sidecar, until, use
from dapr.clients import DaprClient


def test_items_are_read_by_their_keys(sidecar):
    with DaprClient() as client:
        items = client.get_configuration(store_name="conf", keys=["limit", "missing"]).items
        assert {key: (item.value, item.version) for key, item in items.items()} == {"limit": ("10", "v2")}
        assert set(client.get_configuration(store_name="conf", keys=[]).items) == {"greeting", "limit"}
        with pytest.raises(grpc.RpcError) as refused:
            client.get_configuration(store_name="no-such-store", keys=["limit"])
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_of_the_app_hears_of_changes(sidecar):
    seen = []

    def heard(id, response):
        seen.append((id, {key: item.value for key, item in response.items.items()}))

    with DaprClient() as client:
        id = client.subscribe_configuration(store_name="conf", keys=["greeting"], handler=heard)
        sidecar.configure("greeting: hi\nlimit: 11\n")
        assert until(lambda: seen, "the change is heard")[0] == (id, {"greeting": "hi"})
        assert client.unsubscribe_configuration(store_name="conf", id=id)
        assert not client.unsubscribe_configuration(store_name="conf", id=id)


def test_the_app_is_told_at_its_path(app, tmp_path, monkeypatch):
    port, log = app
    sidecar = Sidecar(tmp_path, app_port=port)
    use(sidecar, monkeypatch)

    def ask(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{sidecar.http_port}/v1.0/configuration/conf/{path}") as answer:
            return json.load(answer)

    def told():
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [line["event"] for line in lines if line["kind"] == "configuration"]

    id = ask("subscribe?key=greeting&key=limit")["id"]
    sidecar.configure("greeting: hello\nlimit: { value: 12, version: v3 }\n")
    item = {"value": "12", "version": "v3", "metadata": {}}
    expected = {"store": "conf", "key": "limit", "id": id, "items": {"limit": item}}
    assert until(told, "the app is told") == [expected]
    assert ask(f"{id}/unsubscribe") == {"ok": True}
    sidecar.stop()
