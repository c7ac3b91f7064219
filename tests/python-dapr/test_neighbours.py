"""Several apps on one host: who is found, who is not, and what a Configuration keeps from whom."""

import json

import pytest
from conftest import Sidecar, until
from test_grpc_app import call

CONFIGURATION = """
    apiVersion: dapr.io/v1alpha1
    kind: Configuration
    metadata: { name: apis }
    spec:
      api:
        denied:
          - { name: state, version: v1.0, protocol: http }
          - { name: secrets, version: v1, protocol: grpc }
"""


@pytest.fixture
def apps(app, tmp_path):
    """A sidecar of `shop`, which only calls, and what starts one of `bank` beside the app of `app.py`."""
    port, _ = app
    started = []

    def start(name, **more):
        folder = tmp_path / f"{name}{len(started)}"
        folder.mkdir()
        started.append(Sidecar(folder, **more))
        return started[-1]

    shop = start("shop")
    yield shop, lambda: start("bank", app_port=port, app_id="bank")
    for sidecar in started:
        if sidecar.process.poll() is None:
            sidecar.stop()


def echoed(shop, **more):
    status, _, body = call(shop, "/v1.0/invoke/bank/method/echo/a?b=c", **more)
    return json.loads(body) if status == 200 else (status, json.loads(body)["errorCode"])


def test_an_app_is_found_while_one_of_its_sidecars_lives(apps):
    shop, start = apps
    assert echoed(shop) == (500, "ERR_DIRECT_INVOKE")
    first = start()
    seen = echoed(shop, headers={"dapr-caller-app-id": "liar"})
    assert seen == {"method": "POST", "name": "a", "query": {"b": "c"}, "body": "hi", "caller": "shop"}
    second = start()
    assert [echoed(shop)["caller"] for _ in range(4)] == ["shop"] * 4
    first.kill()
    until(lambda: echoed(shop) == seen, "the other one answers")
    second.kill()
    assert echoed(shop) == (500, "ERR_DIRECT_INVOKE")
    start()
    until(lambda: echoed(shop) == seen, "a new one answers")


def test_what_a_configuration_denies_is_not_there(tmp_path):
    folder = tmp_path / "denied"
    folder.mkdir()
    words = ["--allowed-origins", "https://a.example,https://*.b.example"]
    sidecar = Sidecar(folder, resources={"apis.yaml": CONFIGURATION}, words=words)
    try:
        assert call(sidecar, "/v1.0/state/orders", b"[]")[0] == 404
        assert call(sidecar, "/v1.0/secrets/vault/FAVOURITE_COLOUR", None)[0] == 200
        origin = {"origin": "https://x.b.example"}
        status, headers, _ = call(sidecar, "/v1.0/metadata", None, origin)
        assert (status, headers["access-control-allow-origin"]) == (200, "https://x.b.example")
        _, headers, _ = call(sidecar, "/v1.0/metadata", None, {"origin": "https://c.example"})
        assert headers["access-control-allow-origin"] is None
    finally:
        sidecar.stop()
