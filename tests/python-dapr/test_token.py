"""The API's token, as the SDK shows it over gRPC and over HTTP: without it nothing is done."""

import asyncio
import json

import grpc
import pytest
from conftest import Sidecar, use
from dapr.aio.clients import DaprClient as AsyncClient
from dapr.clients import DaprClient
from dapr.clients.exceptions import DaprHttpError


@pytest.fixture
def guarded(app, tmp_path, monkeypatch):
    port, _ = app
    sidecar = Sidecar(tmp_path, app_port=port, token="sesame")
    use(sidecar, monkeypatch)
    yield sidecar
    sidecar.stop()


def show(monkeypatch, token):
    from dapr.conf import settings

    monkeypatch.setattr(settings, "DAPR_API_TOKEN", token)


def test_who_shows_it_is_served(guarded, monkeypatch):
    show(monkeypatch, "sesame")
    with DaprClient() as client:
        client.save_state("orders", "a", "1")
        assert client.get_state("orders", "a").data == b"1"
        answer = client.invoke_method("shop", "echo/me", data="hi", http_verb="POST")
        assert json.loads(answer.data)["body"] == "hi"

    async def ask():
        async with AsyncClient() as client:
            return (await client.get_state("orders", "a")).data

    assert asyncio.run(ask()) == b"1"


@pytest.mark.parametrize("token", [None, "open"])
def test_who_does_not_is_refused(guarded, monkeypatch, token):
    show(monkeypatch, token)
    with DaprClient() as client:
        with pytest.raises(grpc.RpcError) as refused:
            client.get_state("orders", "a")
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(DaprHttpError) as refused:
            client.invoke_method("shop", "echo/me", data="hi", http_verb="POST")
        assert refused.value.status_code == 401

    async def ask():
        async with AsyncClient() as client:
            await client.get_state("orders", "a")

    with pytest.raises(grpc.RpcError) as refused:
        asyncio.run(ask())
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
