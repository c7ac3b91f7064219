// Fetches the providers' bindings into `bindings/`: only the folders that `bindings.json` names, since a whole package has up
// to half a gigabyte. Each package is the one that is pinned, by its hash.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const pinned = JSON.parse(readFileSync("bindings.json", "utf8"));
mkdirSync("bindings", { recursive: true });
for (const [provider, one] of Object.entries(pinned)) {
  const [folder, stamp] = [join("bindings", provider), join("bindings", provider, "fetched.json")];
  const wanted = JSON.stringify(one);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) continue;
  console.log(`fetching ${one.package} …`);
  const work = mkdtempSync(join("bindings", "new-"));
  try {
    const words = ["pack", "--silent", "--ignore-scripts", "--pack-destination", work, one.package];
    const name = execFileSync("npm", words, { encoding: "utf8" }).trim();
    const archive = join(work, name);
    const hash = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (hash !== one.integrity) throw new Error(`${one.package} has the hash ${hash}, and another is pinned`);
    const files = one.folders.flatMap((of) => ["index.js", "index.d.ts"].map((file) => `package/lib/${of}/${file}`));
    execFileSync("tar", ["-xzf", archive, "-C", work, "--strip-components=2", ...files]);
    rmSync(archive);
    writeFileSync(join(work, "fetched.json"), wanted);
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
