// Which keys of a file are blocks and which are attributes: what the parser gives shows both alike. For files in the form of
// `terraform fmt`, which is checked elsewhere, a line tells.

const BLOCK = /^(dynamic )?"?(\w+)"?((?: "[^"]*")*) \{(\})?$/;
const ATTRIBUTE = /^("[^"]*"|\w+) += (.*)$/;

// The path of each key, e.g. `resource.TYPE.NAME/template/containers`, and its form.
export function kinds(text) {
  const found = new Map();
  const open = [];
  for (const line of text.split("\n").map((one) => one.trim())) {
    if (line === "" || line.startsWith("#")) continue;
    const path = (name) => [...open.filter((one) => one !== ""), name].join("/");
    if (/^[\]})]+,?$/.test(line)) {
      open.pop();
      continue;
    }
    const block = BLOCK.exec(line);
    const attribute = ATTRIBUTE.exec(line);
    if (block && !attribute) {
      const labels = [...block[3].matchAll(/"([^"]*)"/g)].map((one) => one[1]);
      const isDynamic = block[2] === "dynamic";
      const name = isDynamic ? labels[0] : [block[2], ...labels].join(".");
      const inner = block[2] === "content" ? "" : name;
      if (inner) found.set(path(inner), "block");
      if (!block[4]) open.push(inner);
    } else if (attribute) {
      found.set(path(attribute[1].replaceAll('"', "")), "attribute");
      if (/[[{(]$/.test(attribute[2])) open.push(attribute[1].replaceAll('"', ""));
    } else if (/[[{(]$/.test(line)) open.push("");
  }
  return found;
}
