// The Dapr SDK for JavaScript, unmodified, against `mainstay sidecar`: its client over HTTP and over gRPC, and its server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import dapr from "@dapr/dapr";

const { CommunicationProtocolEnum, DaprClient, DaprServer, HttpMethod } = dapr;
const PATIENCE_MS = 30_000;

const component = (name, type) =>
  `apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: ${name} }\nspec: { type: ${type}, version: v1, metadata: [] }\n`;

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(String(port)));
    });
  });
}

async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not in time: ${what}`);
}

/** A sidecar on free ports; ended with the test. */
async function sidecar(t, appPort) {
  const folder = mkdtempSync(join(tmpdir(), "node-dapr-"));
  mkdirSync(join(folder, "resources"));
  const components = {
    orders: "state.embedded",
    bus: "pubsub.embedded",
    vault: "secretstores.local.env",
    locks: "lock.embedded",
  };
  const configure = (text) => {
    writeFileSync(join(folder, "new.yaml"), text);
    renameSync(join(folder, "new.yaml"), join(folder, "items.yaml"));
  };
  configure("greeting: hello\nlimit: { value: 10, version: v2 }\n");
  const file = "[{ name: file, value: items.yaml }]";
  writeFileSync(join(folder, "resources", "conf.yaml"), component("conf", "configuration.embedded").replace("[]", file));
  for (const [name, type] of Object.entries(components)) {
    writeFileSync(join(folder, "resources", `${name}.yaml`), component(name, type));
  }
  mkdirSync(join(folder, "keys"));
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(join(folder, "keys", "rsa.json"), JSON.stringify(privateKey.export({ format: "jwk" })));
  writeFileSync(join(folder, "keys", "bytes"), randomBytes(32).toString("base64"));
  const keys = component("keys", "crypto.dapr.localstorage").replace("[]", "[{ name: path, value: keys }]");
  writeFileSync(join(folder, "resources", "keys.yaml"), keys);
  const [http, grpc] = [await freePort(), await freePort()];
  const words = ["sidecar", "--app-id", "shop", "--resources-path", "resources"];
  words.push("--dapr-http-port", http, "--dapr-grpc-port", grpc, ...(appPort ? ["--app-port", appPort] : []));
  const env = { PATH: process.env.PATH, HOME: folder, FAVOURITE_COLOUR: "green" };
  const child = spawn(process.env.MAINSTAY_BIN, words, { cwd: folder, env, stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  t.after(async () => {
    child.kill("SIGTERM");
    assert.equal(await ended, 0, "a sidecar that is told to stop ends with 0");
    rmSync(folder, { recursive: true });
  });
  const answers = () => fetch(`http://127.0.0.1:${http}/v1.0/healthz/outbound`).then((r) => r.ok, () => false);
  await until(answers, "the sidecar is up");
  // The gRPC client asks for the health over HTTP.
  process.env.DAPR_HTTP_PORT = http;
  return { http, grpc, configure };
}

for (const protocol of ["HTTP", "GRPC"]) {
  test(`the client over ${protocol}`, async (t) => {
    const ports = await sidecar(t);
    const client = new DaprClient({
      daprHost: "127.0.0.1",
      daprPort: protocol === "HTTP" ? ports.http : ports.grpc,
      communicationProtocol: CommunicationProtocolEnum[protocol],
    });
    t.after(() => client.stop());
    await client.state.save("orders", [{ key: "a", value: { n: 1 } }, { key: "b", value: "two" }]);
    assert.deepEqual(await client.state.get("orders", "a"), { n: 1 });
    const several = await client.state.getBulk("orders", ["a", "b", "missing"]);
    assert.deepEqual(several.map((item) => item.key).sort(), ["a", "b", "missing"]);
    await client.state.transaction("orders", [
      { operation: "upsert", request: { key: "c", value: "3" } },
      { operation: "delete", request: { key: "a" } },
    ]);
    assert.equal(String(await client.state.get("orders", "c")), "3");
    assert.equal(String(await client.state.get("orders", "a")), "");
    assert.deepEqual(await client.secret.get("vault", "FAVOURITE_COLOUR"), { FAVOURITE_COLOUR: "green" });
    const published = await client.pubsub.publish("bus", "orders", { n: 1 });
    assert.equal(published.error, undefined);
    // The SDK has it over gRPC alone.
    if (protocol === "GRPC") {
      const conf = await client.configuration.get("conf", ["limit", "missing"]);
      assert.deepEqual(Object.keys(conf.items), ["limit"]);
      assert.deepEqual([conf.items.limit.value, conf.items.limit.version], ["10", "v2"]);
      const seen = [];
      const watch = await client.configuration.subscribeWithKeys("conf", ["limit"], async (data) => seen.push(data.items));
      // It does not say when the stream is open: the item goes on changing until one of its changes is heard.
      let limit = 10;
      await until(() => (ports.configure(`limit: ${(limit += 1)}\n`), seen.length), "a change is heard");
      assert.ok(Number(seen[0].limit.value) > 10);
      watch.stop();
    }
    const locked = async (owner) => (await client.lock.lock("locks", "r", owner, 60)).success;
    assert.deepEqual([await locked("a"), await locked("b")], [true, false]);
    const given = async (owner) => (await client.lock.unlock("locks", "r", owner)).status;
    const [done, notHeld, heldByAnother] = [0, 1, 2];
    assert.equal(await given("b"), heldByAnother);
    assert.equal(await given("a"), done);
    assert.equal(await given("a"), notHeld);
    const known = await client.metadata.get();
    assert.equal(known.id, "shop");
  });
}

test("the client encrypts and decrypts", async (t) => {
  const { grpc } = await sidecar(t);
  const communicationProtocol = CommunicationProtocolEnum.GRPC;
  const client = new DaprClient({ daprHost: "127.0.0.1", daprPort: grpc, communicationProtocol });
  t.after(() => client.stop());
  const data = randomBytes(300_000);
  for (const [keyName, keyWrapAlgorithm] of [["bytes", "AES"], ["rsa.json", "RSA"]]) {
    const options = { componentName: "keys", keyName, keyWrapAlgorithm };
    const made = await client.crypto.encrypt(data, options);
    assert.equal(made.subarray(0, 15).toString(), "dapr.io/enc/v1\n");
    assert.deepEqual(await client.crypto.decrypt(made, { componentName: "keys" }), data);
    made[made.length - 1] ^= 1;
    await assert.rejects(client.crypto.decrypt(made, { componentName: "keys" }));
  }
});

test("the server is called and gets messages", async (t) => {
  const appPort = await freePort();
  const ports = await sidecar(t, appPort);
  const server = new DaprServer({
    serverHost: "127.0.0.1",
    serverPort: appPort,
    communicationProtocol: CommunicationProtocolEnum.HTTP,
    clientOptions: { daprHost: "127.0.0.1", daprPort: ports.http },
  });
  const seen = [];
  await server.pubsub.subscribe("bus", "orders", async (data) => seen.push(data));
  await server.invoker.listen("echo", async (data) => ({ said: data.body }), { method: HttpMethod.POST });
  await server.start();
  t.after(() => server.stop());
  const ready = () => fetch(`http://127.0.0.1:${ports.http}/v1.0/healthz`).then((r) => r.ok, () => false);
  await until(ready, "the sidecar has found the app");
  await server.client.pubsub.publish("bus", "orders", { n: 7 });
  await until(() => seen.length, "the message arrives");
  assert.deepEqual(seen[0], { n: 7 });
  const answer = await server.client.invoker.invoke("shop", "echo", HttpMethod.POST, { hello: 1 });
  assert.deepEqual(answer, { said: JSON.stringify({ hello: 1 }) });
});
