// The Dapr SDK for JavaScript, unmodified, against `mainstay sidecar`: its client over HTTP and over gRPC, and its server.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
  for (const [name, type] of Object.entries(components)) {
    writeFileSync(join(folder, "resources", `${name}.yaml`), component(name, type));
  }
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
  return { http, grpc };
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
