"""State by the SDK."""

import grpc
import pytest
from conftest import COMPONENTS, Sidecar, use
from dapr.clients import DaprClient
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.clients.grpc._state import Concurrency, StateItem, StateOptions

STORE = "orders"
FIRST_WRITE = StateOptions(concurrency=Concurrency.first_write)


def test_a_value_is_saved_read_and_deleted(sidecar):
    with DaprClient() as client:
        client.wait(10)
        client.save_state(STORE, "a", b"\x00\xff one")
        found = client.get_state(STORE, "a")
        assert found.data == b"\x00\xff one" and found.etag
        client.delete_state(STORE, "a")
        missing = client.get_state(STORE, "a")
        assert missing.data == b"" and missing.etag == ""


def test_the_first_write_wins(sidecar):
    with DaprClient() as client:
        client.save_state(STORE, "a", "1")
        etag = client.get_state(STORE, "a").etag
        client.save_state(STORE, "a", "2", etag=etag, options=FIRST_WRITE)
        with pytest.raises(grpc.RpcError) as refused:
            client.save_state(STORE, "a", "3", etag=etag, options=FIRST_WRITE)
        assert refused.value.code() == grpc.StatusCode.ABORTED
        assert client.get_state(STORE, "a").data == b"2"
        with pytest.raises(grpc.RpcError) as refused:
            client.delete_state(STORE, "a", etag=etag, options=FIRST_WRITE)
        assert refused.value.code() == grpc.StatusCode.ABORTED


def test_several_at_once(sidecar):
    with DaprClient() as client:
        client.save_bulk_state(STORE, [StateItem(key="a", value="1"), StateItem(key="b", value="2")])
        found = client.get_bulk_state(STORE, ["a", "missing", "b"]).items
        assert {item.key: item.data for item in found} == {"a": b"1", "missing": b"", "b": b"2"}
        upsert, delete = TransactionOperationType.upsert, TransactionOperationType.delete
        client.execute_state_transaction(
            STORE,
            [
                TransactionalStateOperation(operation_type=upsert, key="c", data="3"),
                TransactionalStateOperation(operation_type=delete, key="a"),
            ],
        )
        assert (client.get_state(STORE, "c").data, client.get_state(STORE, "a").data) == (b"3", b"")


def test_what_is_wrong_has_the_status_that_clients_check(sidecar):
    with DaprClient() as client:
        with pytest.raises(grpc.RpcError) as refused:
            client.save_state("no-such-store", "a", "1")
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as refused:
            client.save_state(STORE, "a||b", "1")
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_what_was_acknowledged_survives_a_kill(tmp_path, monkeypatch):
    first = Sidecar(tmp_path)
    use(first, monkeypatch)
    with DaprClient() as client:
        for i in range(50):
            client.save_state(STORE, f"k{i}", str(i))
    first.kill()
    second = Sidecar(tmp_path)
    use(second, monkeypatch)
    with DaprClient() as client:
        assert [client.get_state(STORE, f"k{i}").data for i in range(50)] == [str(i).encode() for i in range(50)]
    second.stop()


def test_metadata_is_told_and_added_to(sidecar):
    with DaprClient() as client:
        found = client.get_metadata()
        assert found.application_id == "shop"
        assert {f"{component.name}.yaml" for component in found.registered_components} == set(COMPONENTS)
        client.set_metadata("team", "blue")
        assert client.get_metadata().extended_metadata["team"] == "blue"


def test_an_app_can_ask_us_to_stop(sidecar):
    with DaprClient() as client:
        client.shutdown()
    assert sidecar.process.wait(timeout=30) == 0
