// The client of the Dapr SDK for JavaScript, unmodified, against `mainstay sidecar`, over HTTP and over gRPC.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import dapr from "@dapr/dapr";

import { PROTOCOLS, clientOf, options, sidecar, until } from "./sidecar.mjs";

const { DaprClient, StateConcurrencyEnum } = dapr;
const FIRST_WRITE = { concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE };

/** A check over both protocols. */
function over(what, check) {
  for (const protocol of PROTOCOLS) {
    test(`${what} over ${protocol}`, async (t) => {
      const ports = await sidecar(t);
      await check(clientOf(t, ports, protocol), protocol, ports, t);
    });
  }
}

/** Over HTTP the SDK gives back what went wrong with a change, over gRPC it throws it. */
async function failure(change) {
  const done = await change.catch((error) => ({ error }));
  return done.error;
}

over("state", async (client, protocol) => {
  const { state } = client;
  await state.save("orders", [{ key: "a", value: { n: 1 } }, { key: "b", value: "two" }]);
  assert.deepEqual(await state.get("orders", "a"), { n: 1 });
  const several = await state.getBulk("orders", ["a", "b", "missing"]);
  const found = Object.fromEntries(several.map((item) => [item.key, item.data || undefined]));
  assert.deepEqual(found, { a: { n: 1 }, b: "two", missing: undefined });
  const { etag } = several.find((item) => item.key === "a");
  const change = (value) => state.save("orders", [{ key: "a", value, etag, options: FIRST_WRITE }]);
  assert.equal(await failure(change({ n: 2 })), undefined);
  assert.match(String(await failure(change({ n: 3 }))), protocol === "HTTP" ? /ERR_STATE_SAVE.*409/ : /aborted/);
  assert.match(String(await failure(state.delete("orders", "a", { etag, ...FIRST_WRITE }))), /409|aborted/);
  assert.deepEqual(await state.get("orders", "a"), { n: 2 });
  await state.transaction("orders", [
    { operation: "upsert", request: { key: "c", value: "3" } },
    { operation: "delete", request: { key: "a" } },
  ]);
  assert.equal(String(await state.get("orders", "c")), "3");
  assert.equal(await state.get("orders", "a"), "");
  await state.delete("orders", "b");
  assert.equal(await state.get("orders", "b"), "");
  await assert.rejects(state.get("no-such-store", "a"), /no-such-store/);
});

over("publications", async ({ pubsub }) => {
  assert.equal(await failure(pubsub.publish("bus", "orders", { n: 1 })), undefined);
  assert.ok(await failure(pubsub.publish("no-such-bus", "orders", { n: 1 })));
  const done = await pubsub.publishBulk("bus", "orders", ["a", { n: 1 }, { entryID: "7", event: "c" }]);
  assert.deepEqual(done, { failedMessages: [] });
  const { failedMessages } = await pubsub.publishBulk("no-such-bus", "orders", ["a", "b"]);
  assert.deepEqual(failedMessages.map(({ message }) => message.event), ["a", "b"]);
});

over("secrets", async ({ secret }) => {
  assert.deepEqual(await secret.get("vault", "FAVOURITE_COLOUR"), { FAVOURITE_COLOUR: "green" });
  const all = await secret.getBulk("vault");
  assert.deepEqual(all.FAVOURITE_COLOUR, { FAVOURITE_COLOUR: "green" });
  await assert.rejects(secret.get("no-such-store", "a"), /no-such-store/);
});

over("operations of bindings", async ({ binding }, protocol) => {
  const note = { fileName: "note.json" };
  // Over gRPC the SDK gives the bytes, over HTTP what they say.
  const said = (answer) => (protocol === "HTTP" ? answer : JSON.parse(Buffer.from(answer.data)));
  assert.deepEqual(said(await binding.send("files", "create", { n: 1 }, note)), note);
  assert.deepEqual(said(await binding.send("files", "get", "", note)), { n: 1 });
  const files = said(await binding.send("files", "list", "", {}));
  assert.deepEqual(files.map((path) => path.split("/").at(-1)), ["note.json"]);
  await binding.send("files", "delete", "", note);
  await assert.rejects(binding.send("files", "get", "", note), /file not found/);
  await assert.rejects(binding.send("nowhere", "create", "x"), /couldn't find output binding/);
});

over("configuration", async ({ configuration }, protocol, ports, t) => {
  if (protocol === "HTTP") {
    // The SDK has it over gRPC alone, and says so.
    await assert.rejects(configuration.get("conf", ["limit"]), { name: "HTTPNotSupportedError" });
    return;
  }
  const conf = await configuration.get("conf", ["limit", "missing"]);
  assert.deepEqual(conf.items, { limit: { key: "limit", value: "10", version: "v2", metadata: {} } });
  await assert.rejects(configuration.get("no-such-store", ["limit"]), /no-such-store/);
  const seen = [];
  const watch = await configuration.subscribeWithKeys("conf", ["limit"], async (data) => seen.push(data.items));
  t.after(() => watch.stop());
  // It does not say when the stream is open: the item goes on changing until one of its changes is heard.
  let limit = 10;
  await until(() => (ports.configure(`limit: ${(limit += 1)}\n`), seen.length), "a change is heard");
  assert.ok(Number(seen[0].limit.value) > 10);
});

over("locks", async ({ lock }) => {
  const locked = async (owner) => (await lock.lock("locks", "r", owner, 60)).success;
  assert.deepEqual([await locked("a"), await locked("b")], [true, false]);
  const given = async (owner) => (await lock.unlock("locks", "r", owner)).status;
  const [done, notHeld, heldByAnother] = [0, 1, 2];
  assert.equal(await given("b"), heldByAnother);
  assert.equal(await given("a"), done);
  assert.equal(await given("a"), notHeld);
  await assert.rejects(lock.lock("no-such-store", "r", "a", 60), /no-such-store/);
});

over("metadata and health", async ({ health, metadata }) => {
  assert.equal(await metadata.set("team", "blue"), true);
  const known = await metadata.get();
  assert.equal(known.id, "shop");
  assert.equal(known.extended.team, "blue");
  const names = known.components.map((component) => component.name).sort();
  assert.deepEqual(names, ["bus", "conf", "files", "keys", "locks", "orders", "vault"]);
  assert.equal(await health.isHealthy(), true);
});

over("cryptography", async ({ crypto }, protocol) => {
  const data = randomBytes(300_000);
  if (protocol === "HTTP") {
    // The SDK has it over gRPC alone, and says so.
    assert.throws(() => crypto.encrypt(data, {}), /not available using the HTTP APIs/);
    return;
  }
  for (const [keyName, keyWrapAlgorithm] of [["bytes", "AES"], ["rsa.json", "RSA"]]) {
    const made = await crypto.encrypt(data, { componentName: "keys", keyName, keyWrapAlgorithm });
    assert.equal(made.subarray(0, 15).toString(), "dapr.io/enc/v1\n");
    assert.deepEqual(await crypto.decrypt(made, { componentName: "keys" }), data);
    made[made.length - 1] ^= 1;
    await assert.rejects(crypto.decrypt(made, { componentName: "keys" }));
  }
});

over("the end of the process", async ({ sidecar }, _protocol, { ended }) => {
  await sidecar.shutdown();
  assert.equal(await ended, 0);
});

for (const protocol of PROTOCOLS) {
  test(`who shows the token is served over ${protocol}, and nobody else`, async (t) => {
    const ports = await sidecar(t, { token: "sesame" });
    const client = clientOf(t, ports, protocol, { daprApiToken: "sesame" });
    await client.state.save("orders", [{ key: "a", value: { n: 1 } }]);
    assert.deepEqual(await client.state.get("orders", "a"), { n: 1 });
    const stranger = new DaprClient(options(ports, protocol, { daprApiToken: "open" }));
    // It would look for a sidecar that answers it for a minute.
    stranger.daprClient.setIsInitialized(true);
    await assert.rejects(stranger.state.get("orders", "a"), /invalid api token|unauthenticated/);
  });
}
