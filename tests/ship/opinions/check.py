"""Second opinions on what `mainstay ship` writes: tools with rules of their own, of which some contradict each other.

Every spec is shipped to every target and every environment, and laid out as in a repository (see `tools.py`). What a tool
finds must be waived in `waivers.yaml`, by the rule, the files and a reason; a finding that is not, and a waiver that
nothing needs, fail. Then each tool is shown a repository full of faults, and must find those that it is there for.
"""

import argparse
import collections
import fnmatch
import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import bad
import helm_python.chart as helm
import tools
import yaml as pyyaml

HERE = pathlib.Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"
# Those of `ship`, and the examples that are shipped whole.
SPECS = [*sorted((HERE.parent / "specs").iterdir()), *(EXAMPLES / name for name in ["desk", "task-api", "vaia"])]
# A platform that is written only where a spec names it.
LEGACY = HERE.parent / "specs-terraform/legacy"
ENVIRONMENTS = ["dev", "staging", "prod"]
# Tools that stand in the table for a reason alone.
NEVER = {
    "cfn-lint": "does not apply: no target writes CloudFormation",
    "kube-linter": "its module is on a host of its own that not every module proxy gives; nobody has judged its findings yet",
}


def run(*words, **options):
    """Runs a program that must succeed; gives what it printed."""
    made = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, **options)
    if made.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {made.stdout}{made.stderr}")
    return made.stdout


def laid_out(mainstay, spec, to, kubectl):
    """A spec's files where a repository has them."""
    shipped = to / "shipped"
    run(mainstay, "ship", "all", "--spec", spec, "--out", shipped)
    for name in ["docker", "compose", "helm", "terraform"]:
        shutil.copytree(shipped / name, to / name)
    shutil.copytree(shipped / "github/workflows", to / ".github/workflows")
    shutil.copy(shipped / "gitlab/gitlab-ci.yaml", to / ".gitlab-ci.yml")
    for forge in ["github", "gitlab"]:
        if (shipped / forge / "cluster").exists():
            shutil.copytree(shipped / forge / "cluster", to / f"objects-{forge}")
    for environment in ENVIRONMENTS:
        made = to / "shipped" / environment
        run(mainstay, "ship", "kubernetes", "--env", environment, "--spec", spec, "--out", made)
        applied = to / f"objects-{environment}"
        applied.mkdir()
        for path in (made / "kubernetes").glob("*.yaml"):
            shutil.copy(path, applied)
    if (shipped / "dapr").exists():
        beside = to / "objects-beside-dapr"
        beside.mkdir()
        (beside / "deployment.yaml").write_text(run(kubectl, "kustomize", shipped / "dapr"))
    hooks(shipped / "helm", to / "objects-hooks")


def hooks(chart, to):
    """The chart's hooks, in full, as objects."""
    to.mkdir()
    values = {"migration": {"command": ["/app/migrate"], "timeoutSeconds": 60}}
    with helm.Chart.load(chart) as loaded:
        rendered = loaded.render(values=values, name="demo", namespace="demo")
    for name, text in rendered.items():
        if name.endswith(("/migration.yaml", "/tests/ready.yaml")):
            (to / pathlib.Path(name).name).write_text(text)


class Waivers:
    """What was decided against a rule: a list of decisions, each with a reason, the files, and rules by their tools."""

    def __init__(self, decisions):
        self.decisions = decisions
        self.used = collections.Counter()
        for decision in decisions:
            assert set(decision) == {"reason", "where", "waives"} and len(decision["reason"]) > 20, decision

    def takes(self, finding):
        """Whether a finding is waived."""
        took = False
        for n, decision in enumerate(self.decisions):
            where = decision["where"] if isinstance(decision["where"], list) else [decision["where"]]
            if not any(fnmatch.fnmatchcase(finding.path, pattern) for pattern in where):
                continue
            for rule in decision["waives"]:
                if rule == f"{finding.tool} {finding.check}":
                    self.used[n, rule] += 1
                    took = True
        return took

    def stale(self, ran):
        """Rules that are waived and that no tool of those that ran has a finding for."""
        return [
            f"{rule} in {decision['where']}"
            for n, decision in enumerate(self.decisions) for rule in decision["waives"]
            if rule.split()[0] in ran and not self.used[n, rule]
        ]


def given_tools(given):
    """The tools that there are, and why there are no others."""
    schemas = next(given.ship.parent.glob("lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema"))
    packages = given.node and given.node / "node_modules/.bin/dclint"
    of_go = lambda name: given.go and given.go / name
    every = [
        tools.Checkov(given.opinions / "checkov"),
        tools.Tally(given.opinions / "tally"),
        tools.ComposeLint(given.opinions / "compose-lint"),
        tools.Dclint(packages),
        tools.Yamllint(given.opinions / "yamllint"),
        tools.Schemas(given.ship / "check-jsonschema"),
        tools.Kubeconform(of_go("kubeconform"), schemas),
        tools.KubeScore(of_go("kube-score")),
        tools.Helm(of_go("helm")),
        tools.Actionlint(of_go("actionlint")),
    ]
    missing = dict(words.split("=", 1) for words in given.missing)
    for tool in every:
        if tool.name not in missing and not (tool.program and tool.program.exists()):
            missing[tool.name] = "it was not given"
    unknown = missing.keys() - {tool.name for tool in every}
    assert not unknown, unknown
    return [tool for tool in every if tool.name not in missing], {**missing, **NEVER}


def can_fail(judges, work):
    """Each tool finds in a bad repository what it is there for; what decides on waivers refuses, too."""
    tree = work / "bad"
    bad.write(tree / "bad")
    failures = []
    for tool in judges:
        found = {finding.check for finding in tool.find(tree)[0]}
        failures += [f"{tool.name} accepts {check}" for check in bad.EXPECTED[tool.name] if check not in found]
    rule = {"reason": "a reason of some length", "where": "a/*", "waives": ["checkov X"]}
    waivers = Waivers([rule])
    if waivers.takes(tools.Finding("checkov", "X", "b/file")) or waivers.takes(tools.Finding("checkov", "Y", "a/file")):
        failures.append("a finding that nobody waived passes")
    if not waivers.stale({"checkov"}) or waivers.stale(set()):
        failures.append("a waiver that nothing needs passes")
    return failures


def table(rows):
    """Columns under each other."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]) for row in rows)


def main():
    """Lays out every spec, asks every tool, and decides."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mainstay", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--ship", required=True, type=pathlib.Path, help="programs of the environment of `ship`")
    parser.add_argument("--opinions", required=True, type=pathlib.Path, help="programs of the environment of `opinions`")
    parser.add_argument("--node", type=pathlib.Path, help="a folder with npm's packages")
    parser.add_argument("--go", type=pathlib.Path, help="a folder with programs in Go")
    parser.add_argument("--missing", action="append", default=[], metavar="TOOL=REASON")
    given = parser.parse_args()
    judges, missing = given_tools(given)
    tree = given.work / "tree"
    for spec in SPECS:
        (tree / spec.name).mkdir(parents=True)
        laid_out(given.mainstay, spec, tree / spec.name, given.ship / "kubectl")
    run(given.mainstay, "ship", "terraform", "--spec", LEGACY, "--out", tree / LEGACY.name)
    waivers = Waivers(pyyaml.safe_load((HERE / "waivers.yaml").read_text()))
    rows, failures = [("tool", "version", "findings", "waived", "looked at")], []
    with ThreadPoolExecutor(2) as pool:
        opinions = list(pool.map(lambda tool: tool.find(tree), judges))
    for tool, (findings, files) in zip(judges, opinions):
        left = [finding for finding in findings if not waivers.takes(finding)]
        failures += [f"{one.tool} {one.check} in {one.path}: {one.about}" for one in left]
        failures += [] if files else [f"{tool.name} looked at nothing"]
        waived = len(findings) - len(left)
        rows.append((tool.name, tool.version(), str(len(findings)), str(waived), f"{files} files: {tool.about}"))
    failures += [f"no finding needs the waiver of {rule}" for rule in waivers.stale({tool.name for tool in judges})]
    rows += [(name, "", "", "", f"not run: {reason}") for name, reason in missing.items()]
    print(table(rows), flush=True)
    failures += can_fail(judges, given.work)
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{len(judges)} tools, {len(missing)} not run, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
