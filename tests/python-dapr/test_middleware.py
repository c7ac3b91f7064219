"""Pipelines of a Configuration, as a client meets them."""

import json
import urllib.error
import urllib.request

import pytest
from conftest import Sidecar, use

MIDDLEWARE = {
    "shout.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: shout }
        spec: { type: middleware.http.uppercase, version: v1, metadata: [] }
    """,
    "alias.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: alias }
        spec:
          type: middleware.http.routeralias
          version: v1
          metadata:
            - name: routes
              value: |
                "/v1.0/mall/{name}/info": "/v1.0/invoke/shop/method/echo/info"
    """,
    "slow.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: slow }
        spec:
          type: middleware.http.ratelimit
          version: v1
          metadata:
            - name: maxRequestsPerSecond
              value: 5
    """,
    "config.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Configuration
        metadata: { name: ours }
        spec:
          httpPipeline:
            handlers:
              - { name: slow, type: middleware.http.ratelimit }
              - { name: alias, type: middleware.http.routeralias }
          appHttpPipeline:
            handlers:
              - { name: shout, type: middleware.http.uppercase, version: v1 }
    """,
}


@pytest.fixture
def beside(tmp_path, monkeypatch, app):
    running = Sidecar(tmp_path, app_port=app[0], more=MIDDLEWARE)
    use(running, monkeypatch)
    yield running
    running.stop()


def test_requests_pass_the_pipelines(beside):
    base = f"http://127.0.0.1:{beside.http_port}"
    request = urllib.request.Request(f"{base}/v1.0/mall/shoes/info?a=b", data="grüße".encode(), method="POST")
    seen = json.loads(urllib.request.urlopen(request, timeout=10).read())
    assert seen["body"] == "GRÜSSE" and seen["query"] == {"a": "b", "name": "shoes"} and seen["name"] == "info"
    statuses = set()
    for _ in range(20):
        try:
            statuses.add(urllib.request.urlopen(f"{base}/v1.0/metadata", timeout=10).status)
        except urllib.error.HTTPError as refused:
            statuses.add(refused.code)
    assert statuses == {200, 429}
    for _ in range(20):
        assert urllib.request.urlopen(f"{base}/v1.0/healthz", timeout=10).status == 204
