"""The SDK's asynchronous client, block by block.

It has configuration to read alone: what it calls a subscription waits for a stream in a thread, which the stream is not for.
"""

import asyncio
import json

import grpc
import pytest
from conftest import PATIENCE_S, Sidecar, use
from dapr.aio.clients import DaprClient
from dapr.clients.exceptions import DaprHttpError, DaprInternalError
from dapr.clients.grpc._crypto import DecryptOptions, EncryptOptions
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.clients.grpc._response import TopicEventResponse, UnlockResponseStatus
from dapr.clients.grpc._state import Concurrency, StateItem, StateOptions

FIRST_WRITE = StateOptions(concurrency=Concurrency.first_write)


def with_client(check):
    """Runs a check beside a sidecar, in a loop of its own and with a client."""

    async def run(sidecar):
        async with DaprClient() as client:
            await asyncio.wait_for(check(client, sidecar), PATIENCE_S)

    def test(sidecar):
        asyncio.run(run(sidecar))

    return test


async def refused(call):
    """The status of a call that fails. To save is told in the client's own words, with what gRPC said as their cause."""
    with pytest.raises((grpc.RpcError, DaprInternalError)) as refused:
        await call
    error = refused.value
    return (error if isinstance(error, grpc.RpcError) else error.__cause__).code()


@with_client
async def test_state(client, sidecar):
    await client.save_state("orders", "a", b"\x00\xff one")
    found = await client.get_state("orders", "a")
    assert found.data == b"\x00\xff one" and found.etag
    await client.save_state("orders", "a", "2", etag=found.etag, options=FIRST_WRITE)
    stale = client.save_state("orders", "a", "3", etag=found.etag, options=FIRST_WRITE)
    assert await refused(stale) == grpc.StatusCode.ABORTED
    await client.save_bulk_state("orders", [StateItem(key="b", value="b"), StateItem(key="c", value="c")])
    items = (await client.get_bulk_state("orders", ["a", "missing", "b"])).items
    assert {item.key: item.data for item in items} == {"a": b"2", "missing": b"", "b": b"b"}
    operations = [
        TransactionalStateOperation(operation_type=TransactionOperationType.upsert, key="d", data="d"),
        TransactionalStateOperation(operation_type=TransactionOperationType.delete, key="b"),
    ]
    await client.execute_state_transaction("orders", operations)
    await client.delete_state("orders", "c")
    left = (await client.get_bulk_state("orders", ["a", "b", "c", "d"])).items
    assert {item.key: item.data for item in left} == {"a": b"2", "b": b"", "c": b"", "d": b"d"}
    assert await refused(client.get_state("no-such-store", "a")) == grpc.StatusCode.INVALID_ARGUMENT


@with_client
async def test_messages_of_a_stream(client, sidecar):
    subscription = await client.subscribe(pubsub_name="bus", topic="streamed")
    await client.publish_event("bus", "streamed", '{"n": 1}', data_content_type="application/json")
    message = await subscription.next_message()
    assert (message.data(), message.topic(), message.source()) == ({"n": 1}, "streamed", "shop")
    await subscription.respond_retry(message)
    again = await subscription.next_message()
    assert again.id() == message.id()
    await subscription.respond_success(again)
    done = await client.publish_events("bus", "streamed", ["a", "b"])
    assert done.failed_entries == []
    others = []
    for _ in range(2):
        others.append(await subscription.next_message())
        await subscription.respond_success(others[-1])
    assert sorted(other.data() for other in others) == ["a", "b"]
    await subscription.close()
    nowhere = client.publish_event("no-such-bus", "streamed", "x")
    assert await refused(nowhere) == grpc.StatusCode.INVALID_ARGUMENT


@with_client
async def test_messages_of_a_stream_for_a_handler(client, sidecar):
    seen, letters = asyncio.Queue(), asyncio.Queue()

    async def take(message):
        await seen.put(message.data())
        return TopicEventResponse("drop" if message.data() == "bad" else "success")

    async def keep(message):
        await letters.put(message.data())
        return TopicEventResponse("success")

    stop_letters = await client.subscribe_with_handler("bus", "letters", keep)
    stop = await client.subscribe_with_handler("bus", "handled", take, dead_letter_topic="letters")
    for data in ["good", "bad"]:
        await client.publish_event("bus", "handled", data)
    assert {await seen.get(), await seen.get()} == {"good", "bad"}
    assert await letters.get() == "bad"
    await stop()
    await stop_letters()


@with_client
async def test_secrets(client, sidecar):
    assert (await client.get_secret("vault", "FAVOURITE_COLOUR")).secret == {"FAVOURITE_COLOUR": "green"}
    all = (await client.get_bulk_secret("vault")).secrets
    assert all["FAVOURITE_COLOUR"] == {"FAVOURITE_COLOUR": "green"}
    assert await refused(client.get_secret("no-such-store", "a")) == grpc.StatusCode.INVALID_ARGUMENT


@with_client
async def test_configuration(client, sidecar):
    items = (await client.get_configuration(store_name="conf", keys=["limit", "missing"])).items
    assert {key: (item.value, item.version) for key, item in items.items()} == {"limit": ("10", "v2")}
    unknown = client.get_configuration(store_name="no-such-store", keys=["limit"])
    assert await refused(unknown) == grpc.StatusCode.INVALID_ARGUMENT


@with_client
async def test_locks(client, sidecar):
    async with await client.try_lock("locks", "r", "a", 60) as lock:
        assert lock
        assert not await client.try_lock("locks", "r", "b", 60)
        given = await client.unlock("locks", "r", "b")
        assert given.status == UnlockResponseStatus.lock_belongs_to_others
    # The SDK gives it back at the end of the block.
    assert (await client.unlock("locks", "r", "a")).status == UnlockResponseStatus.lock_does_not_exist
    assert await client.try_lock("locks", "r", "b", 60)


@with_client
async def test_bindings(client, sidecar):
    note = {"fileName": "note.txt"}
    assert (await client.invoke_binding("files", "create", "remember me", note)).json() == note
    assert (await client.invoke_binding("files", "get", "", note)).text() == "remember me"
    unknown = client.invoke_binding("nowhere", "create", "x")
    assert await refused(unknown) == grpc.StatusCode.INTERNAL


@with_client
async def test_cryptography(client, sidecar):
    data = bytes(range(256)) * 1200
    made = await (await client.encrypt(data, EncryptOptions("keys", "bytes", "A256KW"))).read()
    assert made.startswith(b"dapr.io/enc/v1\n")
    assert await (await client.decrypt(made, DecryptOptions("keys"))).read() == data


@with_client
async def test_metadata(client, sidecar):
    await client.set_metadata("team", "blue")
    about = await client.get_metadata()
    assert (about.application_id, about.extended_metadata["team"]) == ("shop", "blue")


@with_client
async def test_an_app_can_ask_us_to_stop(client, sidecar):
    await client.shutdown()
    assert await asyncio.to_thread(sidecar.process.wait, 30) == 0


def test_an_http_app_is_called(app, tmp_path, monkeypatch):
    port, _ = app
    sidecar = Sidecar(tmp_path, app_port=port)
    use(sidecar, monkeypatch)

    async def ask():
        async with DaprClient() as client:
            query = [("a", "b")]
            answer = await client.invoke_method("shop", "echo/me", "hi", http_verb="PUT", http_querystring=query)
            with pytest.raises(DaprHttpError) as refused:
                await client.invoke_method("shop", "missing", "hi", http_verb="PUT")
            assert refused.value.status_code == 404
            return answer

    answer = asyncio.run(ask())
    said = {"method": "PUT", "name": "me", "query": {"a": "b"}, "body": "hi", "caller": "shop"}
    assert (json.loads(answer.data), answer.status_code) == (said, 200)
    sidecar.stop()


def test_a_grpc_app_is_called_from_another_app(shop, monkeypatch):
    from dapr.conf import settings

    monkeypatch.setattr(settings, "DAPR_API_METHOD_INVOCATION_PROTOCOL", "grpc")

    async def ask():
        async with DaprClient() as client:
            missing = client.invoke_method("bank", "missing", "hi")
            assert await refused(missing) == grpc.StatusCode.UNIMPLEMENTED
            return await client.invoke_method("bank", "echo", "hi", "text/plain")

    answer = asyncio.run(ask())
    said = {"data": "hi", "type": "text/plain", "caller": ["shop"], "token": ["for-the-bank"]}
    assert (json.loads(answer.data), answer.content_type) == (said, "application/json")
