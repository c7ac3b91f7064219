"""An app that speaks gRPC by the SDK's extension, with a service of its own besides, and writes down what it is sent."""

import json
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from dapr.clients.grpc._response import TopicEventResponse
from dapr.ext.grpc import App, BindingRequest, InvokeMethodRequest, InvokeMethodResponse, Rule

log = pathlib.Path(sys.argv[2])
ill = log.parent / "ill"
failed = set()


def note(kind: str, **what) -> None:
    with log.open("a") as file:
        file.write(json.dumps({"kind": kind, "event": what}) + "\n")


class Calls(grpc.ServerInterceptor):
    """Writes down which method of the app is called with messages."""

    def intercept_service(self, continuation, details):
        method = details.method.rpartition("/")[2]
        if method.endswith("TopicEvent"):
            note("rpc", method=method)
        return continuation(details)


app = App(thread_pool=ThreadPoolExecutor(max_workers=10), interceptors=[Calls()])


@app.method(name="echo")
def echo(request: InvokeMethodRequest) -> InvokeMethodResponse:
    caller = request.metadata.get("dapr-caller-app-id")
    token = request.metadata.get("dapr-api-token")
    body = json.dumps({"data": request.text(), "type": request.content_type, "caller": caller, "token": token})
    return InvokeMethodResponse(body.encode(), "application/json", headers=(("x-app", "1"),))


@app.method(name="fails")
def fails(request: InvokeMethodRequest):
    raise ValueError("no")


@app.subscribe(pubsub_name="bus", topic="orders", dead_letter_topic="dead")
def orders(event):
    note("order", id=event.EventID(), data=event.Data().decode(), type=event.EventType(), source=event.Source())
    if event.Data() == b'{"poison":true}':
        return TopicEventResponse("drop")
    return TopicEventResponse("success")


@app.subscribe(pubsub_name="bus", topic="dead")
def dead(event):
    note("dead", data=event.Data().decode())


@app.subscribe(pubsub_name="bus", topic="retried")
def retried(event):
    note("retried", id=event.EventID())
    if event.EventID() not in failed:
        failed.add(event.EventID())
        raise ValueError("once more")


@app.subscribe(pubsub_name="bus", topic="routed", rule=Rule('event.type == "big"', 1))
def big(event):
    note("big", data=event.Data().decode())


@app.subscribe(pubsub_name="bus", topic="routed", rule=Rule("has(event.data.n)", 2))
def counted(event):
    note("counted", data=event.Data().decode())


# Whatever topic is led here by the name of the function.
@app.subscribe(pubsub_name="bus", topic="elsewhere", rule=Rule("true", 1), disable_topic_validation=True)
def several(event):
    note("several", data=event.Data().decode())
    if event.Data() == b"later" and event.EventID() not in failed:
        failed.add(event.EventID())
        return TopicEventResponse("retry")
    return TopicEventResponse("success")


@app.binding(name="tick")
def tick(request: BindingRequest):
    note("tick", data=request.text())


@app.register_health_check
def health():
    if ill.exists():
        raise ValueError("ill")


def seal(request: bytes, context) -> bytes:
    shown = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-caller", shown.get("dapr-caller-app-id", "")),))
    return request[::-1]


def chat(requests, context):
    for request in requests:
        yield request.upper()


service = grpc.method_handlers_generic_handler(
    "bank.Vault",
    {
        "Seal": grpc.unary_unary_rpc_method_handler(seal),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    },
)

if __name__ == "__main__":
    app.add_external_service(lambda _, server: server.add_generic_rpc_handlers((service,)), None)
    app.run(int(sys.argv[1]), listen_address="127.0.0.1")
