"""What `mainstay ship` writes, judged by tools that others wrote.

Every spec in `specs/`, and those of the examples that are shipped, is shipped to every target; each file goes through the
checkers of its kind. The chart, the overlays and the plain files must give the same objects for each environment, and
hostile values must come out of every parser as they went in. At the end each checker is shown a bad file that it must
refuse: a check that cannot fail is none.
"""

import argparse
import copy
import json
import pathlib
import sys

import agreement
import helm_python.chart as helm
import monitoring
import pipelines
import terraform
import yaml as pyyaml
from programs import kubernetes, run, schema
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Sarif
from ruamel.yaml import YAML

HERE = pathlib.Path(__file__).parent
# Examples that are shipped: they are judged as the specs here are.
EXAMPLES = [HERE.resolve().parents[1] / "examples" / name for name in ("desk", "task-api", "vaia")]
ENVIRONMENTS = ["dev", "staging", "prod"]
KUBERNETES = ["1.31", "1.34", "1.37"]
# Kinds of others, which the schemas of Kubernetes do not know.
CUSTOM = {"HTTPRoute", "ScaledObject"}

failures = []
done = {}


def note(kind, ok, text=""):
    """Counts a check; remembers what failed."""
    done[kind] = done.get(kind, 0) + 1
    if not ok:
        failures.append(f"{kind}: {text}")
        print(f"FAILED {kind}: {text}", flush=True)


def ship(mainstay, spec, out, *words):
    """Writes the files of a spec."""
    code, said = run(mainstay, "ship", *words, "--spec", spec, "--out", out)
    note("ship", code == 0, f"{spec.name} {words}: {said}")


def objects(text):
    """The objects of a stream of YAML, by kind and name."""
    found = {}
    for one in pyyaml.safe_load_all(text):
        if one:
            found[one["kind"], one["metadata"]["name"]] = one
    return found


def printed(text):
    """The objects that kubectl printed, read by the parser that its own output is for."""
    found = [helm.values_from_yaml(part) for part in text.split("\n---\n")]
    return {(one["kind"], one["metadata"]["name"]): one for one in found if one}


def plain(folder):
    """The objects of a folder of plain files."""
    texts = [path.read_text() for path in sorted(folder.glob("*.yaml"))]
    return objects("\n---\n".join(texts))


def hadolint(bin_, path):
    """Hadolint's findings."""
    code, said = run(bin_ / "hadolint", "-f", "json", path)
    return [] if code == 0 else json.loads(said)


def same(left, right, what):
    """Whether two sets of objects are the same; says where they are not."""
    note("differential", left.keys() == right.keys(), f"{what}: {sorted(left.keys() ^ right.keys())}")
    for key in left.keys() & right.keys():
        if left[key] != right[key]:
            note("differential", False, f"{what} {key}:\n{first_difference(left[key], right[key])}")
        else:
            note("differential", True)


def first_difference(left, right, at=""):
    """Where two values begin to differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in {**left, **right}:
            if left.get(key) != right.get(key):
                return first_difference(left.get(key), right.get(key), f"{at}/{key}")
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for n, (a, b) in enumerate(zip(left, right)):
            if a != b:
                return first_difference(a, b, f"{at}/{n}")
    return f"  {at}: {left!r} is not {right!r}"


def chart(folder, values, namespace):
    """The objects that a chart gives, without the hooks."""
    with helm.Chart.load(folder) as loaded:
        loaded.validate_schema(values)
        rendered = loaded.render(values=values, name="demo", namespace=namespace)
    found = {}
    for name, text in rendered.items():
        if name.endswith(".yaml") and text.strip():
            found.update(printed(text))
    return {key: one for key, one in found.items() if "helm.sh/hook" not in one["metadata"].get("annotations", {})}


def environments(bin_, mainstay, spec, work):
    """Each environment: the plain files, the overlay and the chart."""
    made = work / spec.name
    for environment in ENVIRONMENTS:
        out = work / f"{spec.name}-{environment}"
        ship(mainstay, spec, out, "kubernetes", "--env", environment)
        files = sorted((out / "kubernetes").glob("*.yaml"))
        known = [path for path in files if pyyaml.safe_load(path.read_text())["kind"] not in CUSTOM]
        for version in KUBERNETES:
            said = kubernetes(bin_, known, version)
            note("kubernetes-validate", not said, f"{spec.name} {environment} {version}: {said}")
        reference = plain(out / "kubernetes")
        ship(mainstay, spec, out, "compose", "--env", environment)
        beside = agreement.of_compose((out / "compose/compose.yaml").read_text())
        found = agreement.disagreements(beside, agreement.of_kubernetes(reference))
        note("agreement", not found, f"{spec.name} {environment}: {found}")
        dapr(bin_, mainstay, spec, environment, out, reference)
        code, said = run(bin_ / "kubectl", "kustomize", made / "kustomize/overlays" / environment)
        note("kustomize", code == 0, f"{spec.name} {environment}: {said}")
        if code == 0:
            same(reference, printed(said), f"{spec.name} {environment}: plain files and overlay")
        name = "values.yaml" if environment == "prod" else f"values-{environment}.yaml"
        values = helm.values_from_yaml((made / "helm" / name).read_text())
        note("helm", values == pyyaml.safe_load((made / "helm" / name).read_text()), f"{name} is read differently")
        namespace = next(name for kind, name in reference if kind == "Namespace")
        rendered = chart(made / "helm", {**values, "createNamespace": True}, namespace)
        same(reference, rendered, f"{spec.name} {environment}: plain files and chart")
        report = helm.lint(made / "helm", values, strict=True, kube_version="v1.34.0")
        loud = [m for m in report["messages"] if m["severity"] > 1] + report["errors"]
        note("helm", not loud, f"{spec.name} {environment}: {loud}")


def dapr(bin_, mainstay, spec, environment, out, reference):
    """Beside Dapr: the objects are those of the plain files, with annotations, one variable and the components."""
    if not (spec / "components").exists():
        code, said = run(mainstay, "ship", "dapr", "--spec", spec, "--out", out)
        note("dapr", code != 0 and "SHIP_INCOMPLETE" in said, f"{spec.name}: not refused: {said}")
        return
    if len(pyyaml.safe_load((spec / "mainstay.yaml").read_text()).get("apps", {})) > 1:
        code, said = run(mainstay, "ship", "dapr", "--spec", spec, "--out", out)
        note("dapr", code != 0 and "SHIP_UNSUPPORTED" in said, f"{spec.name}: several apps were not refused: {said}")
        return
    ship(mainstay, spec, out, "dapr", "--env", environment)
    code, said = run(bin_ / "kubectl", "kustomize", out / "dapr")
    note("dapr", code == 0, f"{spec.name} {environment}: {said}")
    found = printed(said) if code == 0 else {}
    components = {key: found.pop(key) for key in list(found) if key[0] == "Component"}
    note("dapr", components, f"{spec.name} {environment}: no component")
    for one in components.values():
        note("dapr", one.get("scopes") and "spec" in one, f"{spec.name} {environment}: {one}")
    for (kind, name), one in found.items():
        if kind in ("Deployment", "StatefulSet"):
            template = one["spec"]["template"]
            notes_ = template["metadata"]["annotations"]
            given = {key: notes_.pop(key) for key in list(notes_) if key.startswith("dapr.io/")}
            note("dapr", given.get("dapr.io/enabled") == "true", f"{spec.name} {environment}: {given}")
            ends = int(given["dapr.io/block-shutdown-duration"][:-1]) + int(given["dapr.io/graceful-shutdown-seconds"])
            note("dapr", ends < template["spec"]["terminationGracePeriodSeconds"], f"{spec.name}: cut after {ends} s")
            added = template["spec"]["containers"][0]["env"].pop()
            note("dapr", added == {"name": "MAINSTAY_SIDECAR", "value": "off"}, f"{spec.name}: {added}")
        if kind == "NetworkPolicy":
            del one["spec"]["egress"][-2:], one["spec"]["ingress"][-1:]
    same(reference, found, f"{spec.name} {environment}: plain files and those beside Dapr")


def inside(mainstay, work):
    """A component that is inside Mainstay's process cannot be Dapr's, and that is said."""
    spec = work / "inside"
    (spec / "components").mkdir(parents=True)
    text = (HERE / "specs/declared/mainstay.yaml").read_text()
    (spec / "mainstay.yaml").write_text(text.replace("\ndeploy:", "\ncomponents: components/\ndeploy:"))
    kind = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: books }\nspec: { type: state.embedded }\n"
    (spec / "components/books.yaml").write_text(kind)
    code, said = run(mainstay, "ship", "dapr", "--spec", spec, "--out", work / "inside-out")
    note("can-fail", code != 0 and "SHIP_UNSUPPORTED" in said, f"`state.embedded` is shipped to Dapr: {said}")


def patched(mainstay, work):
    """Patches are in every target that has the object, and the checklist judges what they made."""
    for path in ["python/kubernetes/*-deployment.yaml", "python/kustomize/base/deployment.yaml", "python/helm/templates/deployment.yaml"]:
        (found,) = work.glob(path)
        note("patches", "priorityClassName: business-critical" in found.read_text(), f"{path} is not patched")
    spec = work / "patched"
    spec.mkdir()
    text = (HERE / "specs/declared/mainstay.yaml").read_text()
    remove = "{ op: remove, path: /spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem }"
    unsafe = f"\n  patches: [{{ file: kubernetes/deployment.yaml, operations: [{remove}] }}]\n"
    for name, patches, expected in [("safe", "", "pass"), ("unsafe", unsafe, "fail")]:
        (spec / "mainstay.yaml").write_text(text.rstrip() + patches)
        out = work / f"patched-{name}"
        code, said = run(mainstay, "check", "--production", "--format", "json", "--out", out, spec)
        note("patches", code in (0, 1), said)
        items = json.loads(said)["items"]
        (verdict,) = [item["verdict"] for item in items if item["id"] == "container/read-only-root"]
        note("can-fail", verdict == expected, f"{name}: a root that can be written is a {verdict}")


def hooks(bin_, spec, work):
    """The chart's hooks, in full."""
    folder = work / spec.name / "helm"
    values = {"migration": {"command": ["/app/migrate", "--yes"], "timeoutSeconds": 60}, "secretName": "elsewhere"}
    with helm.Chart.load(folder) as loaded:
        rendered = loaded.render(values=values, name="demo", namespace="demo")
    named = pyyaml.safe_load((folder / "values.yaml").read_text()).get("secretName")
    for name, text in rendered.items():
        note("helm", f"Name: {named}" not in text, f"{spec.name} {name}: another secret's name in the values is not heard")
    for name in ["templates/migration.yaml", "templates/tests/ready.yaml"]:
        text = next(text for path, text in rendered.items() if path.endswith(name))
        path = work / f"{spec.name}-{pathlib.Path(name).name}"
        path.write_text(text)
        said = kubernetes(bin_, [path], KUBERNETES[-1])
        note("kubernetes-validate", not said, f"{spec.name} {name}: {said}")


def hostile(spec, work):
    """Values that could be read as something else are read by three parsers as they were written."""
    wanted = pyyaml.safe_load((spec / "mainstay.yaml").read_text())["deploy"]["base"]["env"]
    wanted = {name: value for name, value in wanted.items()}
    folder = work / spec.name
    config = next((folder / "kubernetes").glob("*-config-map.yaml")).read_text()
    values = (folder / "helm/values.yaml").read_text()
    for parser, data in [
        ("PyYAML", pyyaml.safe_load(config)["data"]),
        ("ruamel.yaml (1.2)", YAML(typ="safe", pure=True).load(config)["data"]),
        ("Helm's (sigs.k8s.io/yaml)", helm.values_from_yaml(values)["variables"]),
    ]:
        for name, value in wanted.items():
            note("hostile", data.get(name) == value, f"{parser}: {value!r} became {data.get(name)!r}")
    for path in (folder / "compose").glob("*.yaml"):
        loaded = pyyaml.safe_load(path.read_text())
        for service in loaded.get("services", {}).values():
            for name, value in service.get("environment", {}).items():
                if name in wanted:
                    note("hostile", value.replace("$$", "$") == wanted[name], f"Compose: {name} became {value!r}")


def twice(mainstay, spec, work):
    """The same spec gives the same bytes, also when only comments and the order of its keys changed."""
    before = {path: path.read_bytes() for path in sorted((work / spec.name).rglob("*")) if path.is_file()}
    ship(mainstay, spec, work / spec.name, "all")
    for path, content in before.items():
        note("twice", path.read_bytes() == content, f"{path} changed")


def is_sarif(log):
    """Whether the models of SARIF 2.1.0, which know every key, take a log."""
    try:
        Sarif.model_validate(log)
        return True
    except ValueError:
        return False


def checklist(mainstay, spec, work):
    """The production checklist reads what was shipped and writes a log that others can read."""
    code, said = run(mainstay, "check", "--production", "--format", "sarif", "--out", work / spec.name, spec)
    note("sarif", code in (0, 1), f"{spec.name}: {said}")
    log = json.loads(said)
    note("sarif", is_sarif(log), f"{spec.name}: no SARIF")
    log["runs"][0]["results"][0]["levle"] = "error"
    note("can-fail", not is_sarif(log), "the models of SARIF accept a misspelt key")


def bad_ones(bin_, work):
    """Each checker refuses what it is there for."""
    folder = work / "bad"
    folder.mkdir(exist_ok=True)
    docker = folder / "Dockerfile"
    docker.write_text("FROM debian:latest\nRUN cd /x && apt-get install curl\nCMD run\n")
    note("can-fail", hadolint(bin_, docker), "hadolint accepts a bad Dockerfile")
    good = pyyaml.safe_load(next((work / "declared/kubernetes").glob("*-deployment.yaml")).read_text())
    for what, change in [
        ("a misspelt key", lambda o: o["spec"]["template"]["spec"]["containers"][0].update(imagePullPolcy="Always")),
        ("a text for a number", lambda o: o["spec"]["template"]["spec"].update(terminationGracePeriodSeconds="45s")),
    ]:
        bad = copy.deepcopy(good)
        change(bad)
        path = folder / "deployment.yaml"
        path.write_text(pyyaml.safe_dump(bad))
        note("can-fail", kubernetes(bin_, [path], KUBERNETES[0]), f"kubernetes-validate accepts {what}")
    path = folder / "compose.yaml"
    path.write_text("services: { a: { image: x, reed_only: true } }\n")
    note("can-fail", schema(bin_, "vendor.compose-spec", path), "Compose's schema accepts a misspelt key")
    beside = agreement.of_compose((work / "declared/compose/compose.yaml").read_text())
    for what, change in [("user", "0:0"), ("memory", 1), ("secret variables", set()), ("plain variables", {})]:
        found = agreement.disagreements({**beside, what: change}, agreement.of_kubernetes(plain(work / "declared/kubernetes")))
        note("can-fail", len(found) == 1, f"another {what} is not seen: {found}")
    with helm.Chart.load(work / "declared/helm") as loaded:
        try:
            loaded.validate_schema({"replicas": {"min": "two", "max": 3}})
            note("can-fail", False, "the schema of the chart accepts a text for a number")
        except Exception:  # the library's own error type, whatever it is
            note("can-fail", True)


def main():
    """Ships every spec and judges what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mainstay", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--node", type=pathlib.Path, help="a folder with `node/` and its packages")
    parser.add_argument("--tools", type=pathlib.Path, help="a folder with programs of Debian's")
    parser.add_argument("--terraform", type=pathlib.Path, help="a folder with `node-terraform/`, its packages and bindings")
    parser.add_argument("--hclfmt", type=pathlib.Path, help="HCL's own formatter")
    given = parser.parse_args()
    watch = monitoring.Judge(given.node, given.tools, note)
    bin_ = pathlib.Path(sys.executable).parent
    judge = pipelines.Judge(bin_, given.node, note, printed)
    modules = terraform.Judge(given.terraform, given.hclfmt, note)
    for spec in [*sorted((HERE / "specs").iterdir()), *EXAMPLES]:
        ship(given.mainstay, spec, given.work / spec.name, "all")
        out = given.work / spec.name
        found = hadolint(bin_, out / "docker/Dockerfile")
        note("hadolint", not found, f"{spec.name}: {found}")
        said = schema(bin_, "vendor.compose-spec", out / "compose/compose.yaml")
        note("compose-spec", not said, f"{spec.name}: {said}")
        environments(bin_, given.mainstay, spec, given.work)
        hooks(bin_, spec, given.work)
        judge.spec(spec.name, out, KUBERNETES[-1])
        watch.spec(spec.name, out, given.work)
        modules.spec(spec.name, out, given.work)
        twice(given.mainstay, spec, given.work)
        checklist(given.mainstay, spec, given.work)
    hostile(HERE / "specs/hostile", given.work)
    inside(given.mainstay, given.work)
    modules.others(given.mainstay, given.work, ship)
    patched(given.mainstay, given.work)
    bad_ones(bin_, given.work)
    judge.bad_ones(given.work)
    watch.bad_ones(given.work / "declared", given.work)
    modules.hostile("hostile", pyyaml.safe_load((HERE / "specs/hostile/mainstay.yaml").read_text())["deploy"]["base"]["env"])
    modules.bad_ones(given.work / "declared", given.work)
    watch.shown(given.mainstay, HERE / "specs/hostile", given.work / "hostile", given.work)
    for tools in watch.not_run() + modules.not_run():
        print(f"not run: what needs the tools from {tools}")
    print(", ".join(f"{count} {kind}" for kind, count in done.items()))
    if failures:
        print(f"{len(failures)} failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
