// The server of the Dapr SDK for JavaScript, unmodified, as an app beside `mainstay sidecar`, over HTTP and over gRPC.

import assert from "node:assert/strict";
import { test } from "node:test";

import dapr from "@dapr/dapr";

import { PROTOCOLS, clientOf, freePort, options, sidecar, until } from "./sidecar.mjs";

const { CommunicationProtocolEnum, DaprPubSubStatusEnum, DaprServer, HttpMethod } = dapr;
const { DROP, RETRY, SUCCESS } = DaprPubSubStatusEnum;

/** A server beside a sidecar, once `prepare` has told it what it serves. */
async function served(t, protocol, prepare, components) {
  const appPort = await freePort();
  const ports = await sidecar(t, { appPort, appProtocol: protocol, components });
  const server = new DaprServer({
    serverHost: "127.0.0.1",
    serverPort: appPort,
    communicationProtocol: CommunicationProtocolEnum[protocol],
    clientOptions: options(ports, protocol),
  });
  await prepare(server);
  await server.start();
  t.after(() => server.stop());
  await ports.ready();
  return { server, client: server.client, ports };
}

for (const protocol of PROTOCOLS) {
  test(`messages are settled as an app says that speaks ${protocol}`, async (t) => {
    const seen = { orders: [], letters: [], retried: [], big: [], other: [] };
    const { client } = await served(t, protocol, async ({ pubsub }) => {
      const settle = async (data) => (seen.orders.push(data), data.poison ? DROP : SUCCESS);
      await pubsub.subscribeWithOptions("bus", "orders", { callback: settle, deadLetterTopic: "letters" });
      await pubsub.subscribe("bus", "letters", async (data) => void seen.letters.push(data));
      await pubsub.subscribe("bus", "retried", async (data) => (seen.retried.push(data) === 1 ? RETRY : SUCCESS));
      const rules = [{ match: 'event.type == "big"', path: "/big" }];
      await pubsub.subscribeWithOptions("bus", "routed", { route: { default: "/other", rules } });
      pubsub.subscribeToRoute("bus", "routed", "/big", async (data) => void seen.big.push(data));
      pubsub.subscribeToRoute("bus", "routed", "/other", async (data) => void seen.other.push(data));
    });
    for (const data of [{ n: 7 }, { poison: true }]) await client.pubsub.publish("bus", "orders", data);
    await client.pubsub.publish("bus", "retried", { once: "more" });
    await client.pubsub.publish("bus", "routed", { n: 8 }, { metadata: { "cloudevent.type": "big" } });
    await client.pubsub.publish("bus", "routed", { n: 9 });
    const wanted = {
      orders: [{ n: 7 }, { poison: true }],
      letters: [{ poison: true }],
      retried: [{ once: "more" }, { once: "more" }],
      big: [{ n: 8 }],
      other: [{ n: 9 }],
    };
    await until(() => Object.keys(wanted).every((topic) => seen[topic].length >= wanted[topic].length), "they arrive");
    seen.orders.sort((one) => (one.n ? -1 : 1));
    assert.deepEqual(seen, wanted);
  });

  test(`an app that speaks ${protocol} hears of a binding's events`, async (t) => {
    const seen = [];
    const components = { tick: ["bindings.cron", { schedule: "@every 1s" }] };
    await served(t, protocol, ({ binding }) => binding.receive("tick", async (data) => void seen.push(data)), components);
    await until(() => seen.length, "it hears of one");
  });

  test(`an app that speaks ${protocol} is called, by itself and by another app`, async (t) => {
    const { client, ports } = await served(t, protocol, async ({ invoker }) => {
      await invoker.listen("echo", async (data) => ({ said: JSON.parse(data.body) }), { method: HttpMethod.POST });
      await invoker.listen("hello", async () => ({ said: "hello" }));
    });
    const other = await sidecar(t, { appId: "other", beside: ports });
    for (const caller of [client, clientOf(t, other, "HTTP"), clientOf(t, other, "GRPC")]) {
      const { invoker } = caller;
      assert.deepEqual(await invoker.invoke("shop", "echo", HttpMethod.POST, { hello: 1 }), { said: { hello: 1 } });
      assert.deepEqual(await invoker.invoke("shop", "hello", HttpMethod.GET), { said: "hello" });
      await assert.rejects(invoker.invoke("nobody", "hello", HttpMethod.GET), /failed to invoke/);
    }
  });

  test(`messages come together to an app that speaks ${protocol}`, async (t) => {
    const [seen, calls] = [[], []];
    const { client } = await served(t, protocol, (server) => {
      count(server, protocol, calls);
      const take = async (data) => {
        seen.push(data);
        return data === "later" && seen.filter((one) => one === data).length === 1 ? RETRY : SUCCESS;
      };
      return server.pubsub.subscribeBulk("bus", "several", take, { maxMessagesCount: 3, maxAwaitDurationMs: 500 });
    });
    const done = await client.pubsub.publishBulk("bus", "several", ["a", { n: 1 }, "later"]);
    assert.deepEqual(done.failedMessages, []);
    await until(() => seen.length >= 4, "all are there, and one comes again");
    const shown = seen.map((one) => JSON.stringify(one)).sort();
    assert.deepEqual(shown, ['"a"', '"later"', '"later"', '{"n":1}']);
    assert.ok(calls.length > 0 && calls.length < 4, "several come in one call");
  });
}

/** Notes each call with several messages; over gRPC the SDK's server takes them by an older name alone. */
function count(server, protocol, calls) {
  const impl = server.getDaprClient().getServerImpl();
  const name = protocol === "HTTP" ? "processBulkSubscribeMessage" : "onBulkTopicEventAlpha1";
  const take = impl[name].bind(impl);
  impl[name] = (...words) => (calls.push(name), take(...words));
}
