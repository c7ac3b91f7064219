"""Secrets by the SDK: of the environment and of a file, one and all, and what a scope keeps back."""

import json

import grpc
import pytest
from conftest import Sidecar, use
from dapr.clients import DaprClient

MORE = {
    "safe.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: safe }
        spec:
          type: secretstores.local.file
          version: v1
          metadata: [{ name: secretsFile, value: safe.json }]
    """,
    "scopes.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Configuration
        metadata: { name: scopes }
        spec:
          secrets:
            scopes:
              - storeName: safe
                defaultAccess: allow
                deniedSecrets: ["crown:jewels"]
    """,
}


def refused(call):
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code()


def test_one_secret_and_all_of_them(sidecar):
    with DaprClient() as client:
        assert client.get_secret("vault", "FAVOURITE_COLOUR").secret == {"FAVOURITE_COLOUR": "green"}
        assert client.get_bulk_secret("vault").secrets["FAVOURITE_COLOUR"] == {"FAVOURITE_COLOUR": "green"}
        assert refused(lambda: client.get_secret("no-such-store", "a")) == grpc.StatusCode.INVALID_ARGUMENT
        assert refused(lambda: client.get_bulk_secret("no-such-store")) == grpc.StatusCode.INVALID_ARGUMENT


def test_what_a_scope_denies_stays_where_it_is(tmp_path, monkeypatch):
    secrets = {"db": {"user": "ann", "password": "hush"}, "crown": {"jewels": "under the stair"}}
    (tmp_path / "safe.json").write_text(json.dumps(secrets))
    sidecar = Sidecar(tmp_path, more=MORE)
    use(sidecar, monkeypatch)
    with DaprClient() as client:
        assert client.get_secret("safe", "db:password").secret == {"db:password": "hush"}
        all = {"db:user": {"db:user": "ann"}, "db:password": {"db:password": "hush"}}
        assert client.get_bulk_secret("safe").secrets == all
        assert refused(lambda: client.get_secret("safe", "crown:jewels")) == grpc.StatusCode.PERMISSION_DENIED
        assert refused(lambda: client.get_secret("safe", "missing")) == grpc.StatusCode.INTERNAL
    sidecar.stop()
