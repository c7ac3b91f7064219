// What the providers of Terraform take, read from the bindings that are generated from the providers' own schemas: the maps
// in `index.js` say which attributes a resource has, whether each is a block, and of which type; `index.d.ts` says which are
// demanded. The bindings are read as text and never run.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FUNCTION = /^function (\w+)ToHclTerraform\(struct\) \{$/;
const INTERFACE = /^export interface (\w+)(?: extends .*)? \{$/;

// The attributes of a map: `indent` is that of its keys.
function attributes(lines, from, indent) {
  const found = {};
  const key = new RegExp(`^ {${indent}}(\\w+): \\{$`);
  for (let n = from; n < lines.length && !/^ *\/\/ remove undefined attributes/.test(lines[n]); n++) {
    const name = key.exec(lines[n])?.[1];
    if (!name) continue;
    const text = lines.slice(n + 1, n + 5).join("\n");
    const nested = [...text.matchAll(/(\w+)ToHclTerraform\b/g)].map((one) => one[1]).find((one) => !/^(string|number|boolean|any|list|map)/.test(one));
    found[name] = {
      nested,
      property: /(?:struct|this)\.(\w+)/.exec(text)?.[1]?.replace(/^_/, ""),
      block: /isBlock: true/.test(text),
      kind: /^ *type: "(\w+)"/m.exec(text)?.[1],
      type: /storageClassType: "(\w+)"/.exec(text)?.[1],
    };
  }
  return found;
}

// Names of an interface's properties, and whether each is demanded.
function demanded(text) {
  const found = {};
  let current;
  for (const line of text.split("\n")) {
    const name = INTERFACE.exec(line)?.[1];
    if (name) current = found[name] = new Set();
    else if (line === "}") current = undefined;
    else if (current) {
      const property = /^ {4}readonly (\w+)(\??):/.exec(line);
      if (property && property[2] === "") current.add(property[1]);
    }
  }
  return found;
}

// The schema of a resource or data source in the folder of its binding, or nothing where there is none.
export function schema(folder) {
  if (!existsSync(join(folder, "index.js"))) return undefined;
  const lines = readFileSync(join(folder, "index.js"), "utf8").split("\n");
  const wanted = demanded(readFileSync(join(folder, "index.d.ts"), "utf8"));
  const structs = {};
  let own;
  const outputs = new Set(["id"]);
  let nameOfClass;
  for (let n = 0; n < lines.length; n++) {
    const name = FUNCTION.exec(lines[n])?.[1];
    if (name) structs[name] = attributes(lines, n, 8);
    const declared = /^class (\w+) extends cdkt[fn]\.Terraform(?:Resource|DataSource|Provider) \{/.exec(lines[n]);
    if (declared) nameOfClass = declared[1];
    if (nameOfClass) {
      const getter = /^ {4}get (\w+)\(\)/.exec(lines[n])?.[1];
      if (getter) outputs.add(getter.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`));
      if (/^ {4}synthesizeHclAttributes\(\) \{/.test(lines[n])) own = attributes(lines, n, 12);
    }
  }
  const wantedOf = (name, of) => {
    const set = wanted[name] ?? wanted[name[0].toUpperCase() + name.slice(1)] ?? new Set();
    return Object.entries(of).filter(([, one]) => set.has(one.property)).map(([key]) => key);
  };
  const build = (name, of, depth) => ({
    attributes: Object.fromEntries(
      Object.entries(of).map(([key, one]) => [
        key,
        { ...one, inside: one.nested && structs[one.nested] && depth < 12 ? build(one.nested, structs[one.nested], depth + 1) : undefined },
      ]),
    ),
    demanded: wantedOf(name, of),
  });
  return { ...build(`${nameOfClass}Config`, own, 0), outputs };
}
