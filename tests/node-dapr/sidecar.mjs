// `mainstay sidecar` on free ports, with components inside the process. The SDK is used as its users do, nothing patched.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import dapr from "@dapr/dapr";

const PATIENCE_MS = 30_000;
const { CommunicationProtocolEnum, DaprClient } = dapr;

/** Both ways that an SDK speaks to us. */
export const PROTOCOLS = ["HTTP", "GRPC"];

const COMPONENTS = {
  orders: ["state.embedded"],
  bus: ["pubsub.embedded"],
  conf: ["configuration.embedded", { file: "items.yaml" }],
  files: ["bindings.localstorage", { rootPath: "files" }],
  keys: ["crypto.dapr.localstorage", { path: "keys" }],
  locks: ["lock.embedded"],
  vault: ["secretstores.local.env"],
};

function component(name, [type, settings = {}]) {
  const metadata = Object.entries(settings).map(([name, value]) => ({ name, value }));
  const spec = { type, version: "v1", metadata };
  return JSON.stringify({ apiVersion: "dapr.io/v1alpha1", kind: "Component", metadata: { name }, spec });
}

export function freePort() {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(String(port)));
    });
  });
}

/** Waits until `condition` gives something, and gives that. */
export async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not in time: ${what}`);
}

/** What components name, in a folder that is gone after the test. */
function furnish(t, components) {
  const folder = mkdtempSync(join(tmpdir(), "node-dapr-"));
  for (const name of ["resources", "keys", "run"]) mkdirSync(join(folder, name));
  for (const [name, what] of Object.entries({ ...COMPONENTS, ...components })) {
    // JSON is YAML.
    writeFileSync(join(folder, "resources", `${name}.yaml`), component(name, what));
  }
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(join(folder, "keys", "rsa.json"), JSON.stringify(privateKey.export({ format: "jwk" })));
  writeFileSync(join(folder, "keys", "bytes"), randomBytes(32).toString("base64"));
  return folder;
}

/**
 * A sidecar on free ports, up and ended with the test; `beside` is one of another app on the same host. Beside an app it is
 * ready once the app is there.
 */
export async function sidecar(t, { appId = "shop", appPort, appProtocol, beside, token, components = {} } = {}) {
  const folder = furnish(t, components);
  const configure = (text) => {
    writeFileSync(join(folder, "new.yaml"), text);
    renameSync(join(folder, "new.yaml"), join(folder, "items.yaml"));
  };
  configure("greeting: hello\nlimit: { value: 10, version: v2 }\n");
  const [http, grpc] = [await freePort(), await freePort()];
  const words = ["sidecar", "--app-id", appId, "--resources-path", "resources"];
  words.push("--dapr-http-port", http, "--dapr-grpc-port", grpc, ...(appPort ? ["--app-port", appPort] : []));
  words.push(...(appProtocol ? ["--app-protocol", appProtocol.toLowerCase()] : []));
  const env = { PATH: process.env.PATH, HOME: folder, FAVOURITE_COLOUR: "green", ...(token && { DAPR_API_TOKEN: token }) };
  env.MAINSTAY_RUNTIME_FOLDER = join(beside?.folder ?? folder, "run");
  const child = spawn(process.env.MAINSTAY_BIN, words, { cwd: folder, env, stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  t.after(async () => {
    child.kill("SIGTERM");
    const code = await ended;
    rmSync(folder, { recursive: true });
    assert.equal(code, 0, "a sidecar that is told to stop ends with 0");
  });
  const answers = (path) => fetch(`http://127.0.0.1:${http}${path}`).then((answer) => answer.ok, () => false);
  await until(() => answers("/v1.0/healthz/outbound") || child.exitCode !== null, "the sidecar is up");
  const ready = () => until(() => answers("/v1.0/healthz"), "the sidecar has found the app");
  return { http, grpc, folder, configure, ended, ready };
}

/** What leads the SDK to a sidecar. */
export function options(ports, protocol, more = {}) {
  const daprPort = protocol === "HTTP" ? ports.http : ports.grpc;
  return { daprHost: "127.0.0.1", daprPort, communicationProtocol: CommunicationProtocolEnum[protocol], ...more };
}

export function clientOf(t, ports, protocol, more) {
  const client = new DaprClient(options(ports, protocol, more));
  t.after(() => client.stop());
  return client;
}
