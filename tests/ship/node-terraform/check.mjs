// Judges folders of Terraform files: `node check.mjs FOLDER…` parses every file with Terraform's own parser and holds what it
// finds against the schemas of the providers. Prints, as JSON, the findings and what was parsed, by folder.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { parse } from "@cdktn/hcl2json";

import { kinds } from "./kinds.mjs";
import { schema } from "./schemas.mjs";

const META = new Set(["count", "for_each", "depends_on", "provider", "lifecycle"]);
const pinned = JSON.parse(readFileSync("bindings.json", "utf8"));
const known = new Map();

// The schema of a resource, a data source (`data.`…) or a provider (`provider.`…).
function of(type) {
  if (!known.has(type)) known.set(type, schema(join("bindings", ...way(type))));
  return known.get(type);
}

function way(type) {
  if (type.startsWith("provider.")) return [type.slice("provider.".length), "provider"];
  const name = type.replace(/^data\./, "");
  const [provider, ...words] = name.split("_");
  return [provider, type.startsWith("data.") ? `data-${name.replaceAll("_", "-")}` : words.join("-")];
}

const isExpression = (value) => typeof value === "string" && value.includes("${") && !value.startsWith("$${");

// Why a value cannot be of a type, or nothing.
function mistyped(value, type) {
  if (isExpression(value) || value === null) return undefined;
  const is = Array.isArray(value) ? "list" : typeof value;
  if (type === "number") return is === "number" || (is === "string" && value.trim() !== "" && !Number.isNaN(Number(value))) ? undefined : `no number: ${value}`;
  if (type === "boolean") return is === "boolean" || value === "true" || value === "false" ? undefined : `no truth: ${value}`;
  if (type === "string") return is === "list" || is === "object" ? `no text: ${JSON.stringify(value)}` : undefined;
  if (/^(string|number|boolean)List$/.test(type)) return is === "list" ? undefined : `no list: ${JSON.stringify(value)}`;
  if (/^(string|number|boolean)Map$/.test(type)) return is === "object" ? undefined : `no map: ${JSON.stringify(value)}`;
  return undefined;
}

// What is wrong with the body of a block.
function body(found, at, value, wanted, forms) {
  const present = new Set();
  const inside = (key, one, path) => {
    present.add(key);
    const attribute = wanted.attributes[key];
    if (!attribute) return void found.push(`${path}: there is no \`${key}\``);
    const form = forms.get(path);
    if (form && form !== (attribute.block ? "block" : "attribute")) found.push(`${path}: it is ${attribute.block ? "a block" : "an attribute"}`);
    if (attribute.inside && typeof one === "object") {
      for (const each of Array.isArray(one) ? one : [one]) body(found, path, each, attribute.inside, forms);
      return;
    }
    const wrong = mistyped(one, attribute.type);
    if (wrong) found.push(`${path}: ${wrong}`);
  };
  for (const [key, one] of Object.entries(value)) {
    if (key === "dynamic") {
      for (const [name, blocks] of Object.entries(one)) {
        for (const block of blocks) for (const content of block.content) inside(name, [content], `${at}/${name}`);
      }
    } else if (!META.has(key)) inside(key, one, `${at}/${key}`);
  }
  for (const key of wanted.demanded) if (!present.has(key)) found.push(`${at}: \`${key}\` is missing`);
}

// Every expression in a value.
function* expressions(value) {
  if (typeof value === "string") yield* [...value.matchAll(/\$?\$\{/g)].length ? [value] : [];
  else if (value && typeof value === "object") for (const one of Object.values(value)) yield* expressions(one);
}

// What is named and is not there, and variables that nothing reads.
function references(found, all) {
  const declared = { var: new Set(Object.keys(all.variable ?? {})), local: new Set((all.locals ?? []).flatMap(Object.keys)) };
  const used = new Set();
  for (const text of expressions(all)) {
    for (const [, kind, name] of text.matchAll(/(?<![\w.])(var|local)\.(\w+)/g)) {
      if (kind === "var") used.add(name);
      if (!declared[kind].has(name)) found.push(`\`${kind}.${name}\` is not declared`);
    }
    for (const [, data, type, name, attribute] of text.matchAll(/(?<![\w."/-])(data\.)?([a-z]+_\w+)\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?/g)) {
      if (!pinned[type.split("_")[0]]) continue;
      if (!(data ? all.data : all.resource)?.[type]?.[name]) found.push(`\`${type}.${name}\` is not declared`);
      const has = of(`${data ?? ""}${type}`);
      if (attribute && has && !has.outputs.has(attribute) && !has.attributes[attribute]) found.push(`\`${type}\` has no \`${attribute}\``);
    }
  }
  for (const name of declared.var) if (!used.has(name)) found.push(`nothing reads \`var.${name}\``);
}

// Values for variables: each is declared and of its type, and none is missing.
function values(found, files, variables) {
  const account = files["account.tfvars.example"] ?? {};
  for (const name of Object.keys(files).filter((one) => one.endsWith(".tfvars"))) {
    const given = { ...files[name], ...account };
    for (const [key, value] of Object.entries(given)) {
      const type = variables[key]?.[0].type;
      if (!type) found.push(`${name}: there is no variable \`${key}\``);
      else {
        const plain = type.replace(/^\$\{|\}$/g, "");
        const wanted = { string: "string", number: "number", bool: "boolean" }[plain] ?? (plain.startsWith("list") ? "list" : "object");
        const is = Array.isArray(value) ? "list" : typeof value;
        if (value !== null && is !== wanted) found.push(`${name}: \`${key}\` is no ${plain}`);
      }
    }
    for (const [key, [one]] of Object.entries(variables)) if (!("default" in one) && !(key in given)) found.push(`${name}: \`${key}\` is missing`);
  }
}

function merged(files) {
  const all = {};
  for (const [name, file] of Object.entries(files).filter(([one]) => one.endsWith(".tf"))) {
    for (const [key, value] of Object.entries(file)) {
      if (Array.isArray(value)) all[key] = [...(all[key] ?? []), ...value];
      else {
        for (const [type, blocks] of Object.entries(value)) {
          const before = all[key]?.[type];
          const both = Array.isArray(blocks) ? [...(before ?? []), ...blocks] : { ...before, ...blocks };
          all[key] = { ...all[key], [type]: both };
        }
      }
    }
  }
  return all;
}

async function judge(folder) {
  const [found, files, forms] = [[], {}, new Map()];
  for (const name of readdirSync(folder).sort()) {
    if (!/\.(tf|tfvars|tfvars\.example)$/.test(name)) continue;
    const text = readFileSync(join(folder, name), "utf8");
    try {
      files[name] = await parse(name.endsWith(".tf") ? name : "values.tf", text);
    } catch (error) {
      found.push(`${name}: ${error.message ?? error}`);
    }
    if (name.endsWith(".tf")) for (const [path, form] of kinds(text)) forms.set(path, form);
  }
  const all = merged(files);
  for (const [kind, prefix] of [["resource", ""], ["data", "data."]]) {
    for (const [type, named] of Object.entries(all[kind] ?? {})) {
      const wanted = of(prefix + type);
      if (!wanted) found.push(`there is no binding of \`${prefix}${type}\`: name its folder in bindings.json`);
      else for (const [name, [one]] of Object.entries(named)) body(found, `${kind}.${type}.${name}`, one, wanted, forms);
    }
  }
  for (const [name, blocks] of Object.entries(all.provider ?? {})) {
    for (const one of Object.values(blocks)) body(found, `provider.${name}`, one, of(`provider.${name}`), forms);
  }
  for (const [name, one] of Object.entries(all.terraform?.[0].required_providers?.[0] ?? {})) {
    if (one.version !== pinned[name]?.terraform) found.push(`provider ${name} ${one.version} is not the one whose schema is known`);
  }
  references(found, all);
  values(found, files, all.variable ?? {});
  return { found, files };
}

const out = {};
for (const folder of process.argv.slice(2)) out[folder] = await judge(folder);
console.log(JSON.stringify(out));
