"""Alerts, dashboards and Compose files, judged by promtool and by Compose itself; objects of kinds that Kubernetes does not
know, judged by the schemas of those who made them. A tool that is not given is said to be not run."""

import copy
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.request

import yaml as pyyaml
from programs import against

# Kinds that `node/check.mjs` has schemas of.
KINDS = {"HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"}
# What is shown once there was a tool call or a refusal; the service that is asked has neither.
SHOWN_LATER = {"mainstay_shed_total", "mainstay_tool_calls_total", "mainstay_tool_duration_seconds"}
# What Grafana puts in the place of its variables.
GRAFANA = {"$__rate_interval": "5m"}


def not_started(compose):
    """The services that Compose reads and will not start: since 2.33 it refuses a secret or a configuration from anywhere
    but a file where the root cannot be written, for it would have to write there."""
    found = []
    for name, service in compose["services"].items():
        for kind in ["secrets", "configs"] if service.get("read_only") else []:
            sources = [one if isinstance(one, str) else one["source"] for one in service.get(kind, [])]
            found += [name for source in sources if "file" not in compose[kind][source]]
    return found


class Judge:
    """The tools that there are: a folder with the packages of npm, and one with programs of Debian's."""

    def __init__(self, node, tools, note):
        self.node, self.note = node, note
        self.promtool = tools and tools / "usr/bin/promtool"
        self.compose = tools and tools / "usr/libexec/docker/cli-plugins/docker-compose"

    def not_run(self):
        """What could not be run."""
        return [name for name, tool in [("npm", self.node), ("Debian", self.promtool)] if not tool]

    def objects(self, paths):
        """What schemas of kinds of others say against files."""
        return against("node", "check.mjs", "objects", *[path.resolve() for path in paths], cwd=self.node)

    def rules(self, path):
        """What promtool says against a file of rules."""
        return against(self.promtool, "check", "rules", path)

    def trials(self, path):
        """What promtool says of the trials of rules."""
        return against(self.promtool, "test", "rules", path.name, cwd=path.parent)

    def scraping(self, path, work):
        """What promtool says against a configuration, with files where it names some that only a container has."""
        text = path.read_text()
        loaded = pyyaml.safe_load(text)
        key = work / "key"
        key.write_text("k")
        for job in loaded["scrape_configs"]:
            if "authorization" in job:
                job["authorization"]["credentials_file"] = str(key)
        loaded["rule_files"] = [str(path.parent / name) for name in loaded.get("rule_files", [])]
        copied = work / "prometheus.yaml"
        copied.write_text(pyyaml.safe_dump(loaded))
        return against(self.promtool, "check", "config", copied)

    def composed(self, folder, work):
        """What Compose says against its file, with a value for each secret; and the file as Compose reads it."""
        env = work / "secrets.env"
        example = folder / "env.example"
        lines = example.read_text().splitlines() if example.exists() else []
        env.write_text("".join(f"{line}v\n" for line in lines if line.endswith("=")))
        made = subprocess.run(
            [str(self.compose), "--env-file", str(env), "-f", str(folder / "compose.yaml"), "config", "--format", "json"],
            capture_output=True, text=True, timeout=60,
        )
        return (made.stderr, None) if made.returncode else ("", json.loads(made.stdout))

    def queries(self, dashboard, work):
        """What promtool says against the queries of a dashboard."""
        rules = []
        for panel in dashboard["panels"]:
            for n, target in enumerate(panel.get("targets", [])):
                query = target["expr"]
                for variable, value in GRAFANA.items():
                    query = query.replace(variable, value)
                rules.append({"record": f"panel:{panel['id']}:{n}", "expr": query})
        path = work / "panels.yaml"
        path.write_text(pyyaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        return against(self.promtool, "check", "rules", path)

    def spec(self, name, out, work):
        """Judges what was shipped of a spec."""
        alerts, grafana, compose = out / "alerts", out / "grafana", out / "compose"
        rule = pyyaml.safe_load((alerts / "prometheus-rule.yaml").read_text())
        groups = pyyaml.safe_load((alerts / "rules.yaml").read_text())["groups"]
        self.note("differential", rule["spec"]["groups"] == groups, f"{name}: the rules and their object differ")
        text = (grafana / "dashboard.json").read_text()
        held = pyyaml.safe_load((grafana / "config-map.yaml").read_text())["data"]
        self.note("differential", list(held.values()) == [text], f"{name}: the dashboard and its object differ")
        self.note("differential", len(json.loads(text)["uid"]) <= 40, f"{name}: the id is too long")
        if self.node:
            paths = [path for path in sorted(out.rglob("*.yaml")) if self.is_of_others(path)]
            said = self.objects(paths)
            self.note("kubernetes-models", not said, f"{name}: {said}")
        if not self.promtool:
            return
        said = self.rules(alerts / "rules.yaml")
        self.note("promtool rules", not said, f"{name}: {said}")
        said = self.trials(alerts / "rules_test.yaml")
        self.note("promtool trials", not said, f"{name}: {said}")
        tried = pyyaml.safe_load((alerts / "rules_test.yaml").read_text())["tests"]
        all_ = [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]
        for alert in all_:
            outcomes = {bool(one["alert_rule_test"][0]["exp_alerts"]) for one in tried if one["name"].split()[0] == alert}
            self.note("promtool trials", outcomes == {True, False}, f"{name}: {alert} is not tried both ways")
        said = self.queries(json.loads(text), work)
        self.note("promtool panels", not said, f"{name}: {said}")
        if (compose / "prometheus.yaml").exists():
            said = self.scraping(compose / "prometheus.yaml", work)
            self.note("promtool config", not said, f"{name}: {said}")
        refused = not_started(pyyaml.safe_load((compose / "compose.yaml").read_text()))
        self.note("docker compose", not refused, f"{name}: {refused} takes a secret that is no file")
        said, read = self.composed(compose, work)
        self.note("docker compose", not said, f"{name}: {said}")
        if read:
            self.as_written(name, compose, read)

    def as_written(self, name, folder, read):
        """Whether Compose reads the plain variables as they were meant."""
        written = pyyaml.safe_load((folder / "compose.yaml").read_text())
        service = written["name"]
        for variable, value in written["services"][service]["environment"].items():
            if not value.startswith("${"):
                found = read["services"][service]["environment"].get(variable, "").replace("$$", "$")
                ok = found == value.replace("$$", "$")
                self.note("docker compose", ok, f"{name}: {variable} is read as {found!r}")

    def shown(self, mainstay, spec, out, work):
        """A service at work shows what the rules and the dashboard ask for, in a form that promtool takes."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            at = f"127.0.0.1:{free.getsockname()[1]}"
        own = {"MAINSTAY_LISTEN": at, "MAINSTAY_DATA_FOLDER": str(work / "shown")}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        serve = subprocess.Popen([mainstay, "serve", spec], env={**os.environ, **own}, **quiet)
        try:
            answered(f"http://{at}/ready")
            answered(f"http://{at}/v1/invoke", {"query": "x"})
            text = answered(f"http://{at}/metrics")
        finally:
            serve.terminate()
            serve.wait(30)
        known = set(re.findall(r"^# TYPE (\S+)", text, re.M)) | SHOWN_LATER
        for path in [out / "alerts/rules.yaml", out / "grafana/dashboard.json"]:
            asked = set(re.findall(r"\b((?:mainstay|process)_\w+)\{", path.read_text()))
            for name in asked:
                ok = name in known or name.removesuffix("_bucket") in known
                self.note("shown", ok, f"{path.name} asks for {name}, which the service does not show")
        if self.promtool:
            said = against(self.promtool, "check", "metrics", input=text)
            self.note("promtool metrics", not said, said)

    @staticmethod
    def is_of_others(path):
        """Whether a file is an object of a kind with a schema of others."""
        if "templates" in path.parts or "patches" in path.parts:
            return False
        loaded = pyyaml.safe_load(path.read_text())
        return isinstance(loaded, dict) and loaded.get("kind") in KINDS

    def bad_ones(self, good, work):
        """Each checker refuses what it is there for; `good` is a spec's folder."""
        unwritten = {"services": {"a": {"read_only": True, "secrets": ["k"]}}, "secrets": {"k": {"environment": "K"}}}
        self.note("can-fail", not_started(unwritten) == ["a"], "a secret that cannot be written is not seen")
        folder = pathlib.Path(work) / "bad"
        folder.mkdir(exist_ok=True)
        path = folder / "object.yaml"
        if self.node:
            rule = pyyaml.safe_load((good / "alerts/prometheus-rule.yaml").read_text())
            monitor = pyyaml.safe_load((good / "alerts/pod-monitor.yaml").read_text())
            bad = [
                ("a rule without a query", rule, lambda o: o["spec"]["groups"][0]["rules"][0].pop("expr")),
                ("endpoints that are no list", monitor, lambda o: o["spec"].update(podMetricsEndpoints={})),
                ("a kind that nobody knows", monitor, lambda o: o.update(kind="PodMonitr")),
            ]
            for what, object_, change in bad:
                changed = copy.deepcopy(object_)
                change(changed)
                path.write_text(pyyaml.safe_dump(changed))
                self.note("can-fail", self.objects([path]), f"kubernetes-models accepts {what}")
            for what, text in [
                ("a weight that is a text", ROUTE),
                ("a number of replicas that is a text", SCALED),
            ]:
                path.write_text(text)
                self.note("can-fail", self.objects([path]), f"kubernetes-models accepts {what}")
        if self.promtool:
            self.bad_queries(good, folder)

    def bad_queries(self, good, folder):
        """What promtool and Compose must refuse."""
        rules, trials = folder / "rules.yaml", folder / "rules_test.yaml"
        text = (good / "alerts/rules.yaml").read_text()
        rules.write_text(text.replace("sum by (", "sum bye (", 1))
        self.note("can-fail", self.rules(rules), "promtool accepts a query that is none")
        trials.write_text((good / "alerts/rules_test.yaml").read_text())
        # An alert that never fires, and one that always does.
        for what, change in [("never fires", "1 > 2"), ("always fires", "vector(1) * 0 == 0")]:
            loaded = pyyaml.safe_load(text)
            down = next(r for g in loaded["groups"] for r in g["rules"] if r.get("alert") == "MainstayFull")
            down["expr"] = change if "vector" in change else f"{down['expr']} and on () vector(1) > 2"
            rules.write_text(pyyaml.safe_dump(loaded))
            self.note("can-fail", self.trials(trials), f"promtool does not see that an alert {what}")
        panel = {"id": 1, "targets": [{"expr": "rate(mainstay_ready[$__rate_interval)"}]}
        self.note("can-fail", self.queries({"panels": [panel]}, folder), "promtool accepts a panel's broken query")
        (folder / "prometheus.yaml").write_text("scrape_configs: [{ job_name: a, metrics_paht: /x }]\n")
        self.note("can-fail", self.scraping(folder / "prometheus.yaml", folder), "promtool accepts a misspelt key")
        (folder / "compose.yaml").write_text("services: { a: { image: x, read_only: perhaps } }\n")
        said, _ = self.composed(folder, folder)
        self.note("can-fail", said, "Compose accepts a truth that is none")


def answered(url, body=None):
    """What a service that was started just now answers."""
    data = None if body is None else json.dumps(body).encode()
    deadline = time.monotonic() + 60
    while True:
        try:
            request = urllib.request.Request(url, data, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: a }
spec: { rules: [{ backendRefs: [{ name: a, port: 80, weight: "ninety" }] }] }
"""
SCALED = """
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: a }
spec: { scaleTargetRef: { name: a }, maxReplicaCount: ten, triggers: [{ type: cpu, metadata: { value: "1" } }] }
"""
