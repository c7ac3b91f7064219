"""Cryptography by the SDK: streams both ways, keys in a folder."""

import grpc
import pytest
from dapr.clients import DaprClient
from dapr.clients.grpc._crypto import DecryptOptions, EncryptOptions

VAULT = "keys"
WAYS = [("bytes", "A256KW"), ("bytes", "AES"), ("rsa.pem", "RSA"), ("rsa.pem", "RSA-OAEP-256")]


@pytest.mark.parametrize("key, wrapping", WAYS)
@pytest.mark.parametrize("cipher", ["aes-gcm", "chacha20-poly1305"])
def test_data_comes_back(sidecar, key, wrapping, cipher):
    data = bytes(range(256)) * 1200
    options = EncryptOptions(VAULT, key, wrapping, data_encryption_cipher=cipher)
    with DaprClient() as client:
        made = client.encrypt(data=data, options=options).read()
        assert made.startswith(b"dapr.io/enc/v1\n") and data[:64] not in made
        assert client.decrypt(data=made, options=DecryptOptions(VAULT)).read() == data
        assert client.decrypt(data=made, options=DecryptOptions(VAULT, key)).read() == data


def test_a_text_is_read_in_parts(sidecar):
    with DaprClient() as client:
        options = EncryptOptions(VAULT, "bytes", "A256KW")
        made = client.encrypt(data="hello world", options=options).read()
        stream = client.decrypt(data=made, options=DecryptOptions(VAULT))
        assert (stream.read(5), stream.read(1), stream.read(100)) == (b"hello", b" ", b"world")


def test_changed_data_and_unknown_keys_are_failures(sidecar):
    with DaprClient() as client:
        options = EncryptOptions(VAULT, "bytes", "A256KW", omit_decryption_key_name=True)
        made = client.encrypt(data="hello", options=options).read()
        wrong = made[:-1] + bytes([made[-1] ^ 1])
        for data, key in [(made, ""), (made, "nobody"), (made, "rsa.pem"), (wrong, "bytes"), (b"hello", "bytes")]:
            with pytest.raises(grpc.RpcError) as refused:
                client.decrypt(data=data, options=DecryptOptions(VAULT, key)).read()
            assert refused.value.code() == grpc.StatusCode.INTERNAL
        with pytest.raises(grpc.RpcError) as refused:
            client.encrypt(data="x", options=EncryptOptions("other", "bytes", "AES")).read()
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
