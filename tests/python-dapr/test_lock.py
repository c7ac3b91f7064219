"""Locks by the SDK."""

import grpc
import pytest
from conftest import Sidecar, use
from dapr.clients import DaprClient
from dapr.clients.grpc._response import UnlockResponseStatus


def test_a_lock_is_held_by_one_owner(sidecar):
    with DaprClient() as client:
        with client.try_lock("locks", "r", "a", 60) as lock:
            assert lock
            assert not client.try_lock("locks", "r", "b", 60)
            assert client.unlock("locks", "r", "b").status == UnlockResponseStatus.lock_belongs_to_others
        # The SDK gives it back at the end of the block.
        assert client.unlock("locks", "r", "a").status == UnlockResponseStatus.lock_does_not_exist
        assert client.try_lock("locks", "r", "b", 60)


def test_a_lock_outlives_the_process_that_keeps_it(tmp_path, monkeypatch):
    first = Sidecar(tmp_path)
    use(first, monkeypatch)
    with DaprClient() as client:
        assert client.try_lock("locks", "r", "a", 600)
    first.kill()
    second = Sidecar(tmp_path)
    use(second, monkeypatch)
    with DaprClient() as client:
        assert not client.try_lock("locks", "r", "b", 600)
        assert client.unlock("locks", "r", "a").status == UnlockResponseStatus.success
    second.stop()


def test_an_unknown_store_is_told(sidecar):
    with DaprClient() as client:
        with pytest.raises(grpc.RpcError) as refused:
            client.try_lock("no-such-store", "r", "a", 60)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
