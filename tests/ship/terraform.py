"""Terraform modules: parsed by Terraform's own parser, held against the schemas of the providers (`node-terraform/`), in the
form that HCL's own formatter gives, and in agreement with the files for Kubernetes; by Terraform itself where it is at hand
(`terraform_cli.py`). A tool that is not given is said to be not run."""

import copy
import json
import pathlib
import re
import shutil
import subprocess

import agreement
import terraform_cli
import yaml as pyyaml

HERE = pathlib.Path(__file__).parent
ENVIRONMENTS = ["dev", "staging", "prod"]
# Specs whose modules Terraform itself makes on a made-up cloud, and for which environments: each takes seconds.
MADE = {"declared": ENVIRONMENTS, "legacy": ["prod"]}
MIB = 1 << 20


def plain(value):
    """A text as it was before the parser escaped what would begin an expression."""
    return value.replace("$${", "${").replace("%%{", "%{") if isinstance(value, str) else value


def only(value):
    """What a block that stands once holds."""
    (one,) = value
    return one


def resource(module, kind):
    """The one resource of a kind."""
    return only(only(module["main.tf"]["resource"][kind].values()))


def of_cloud_run(module, values):
    """Google Cloud Run."""
    template = only(resource(module, "google_cloud_run_v2_service")["template"])
    container = only(template["containers"])
    path = lambda probe: only(only(container[probe])["http_get"])["path"]
    return {
        "cpu": int(values["cpu"]) * 1000,
        "memory": int(values["memory"].removesuffix("Mi")) * MIB,
        "port": only(container["ports"])["container_port"],
        "alive": path("liveness_probe"),
        # Nothing but the start asks whether it is ready.
        "ready": path("startup_probe"),
    }


def of_express(module, values):
    """Amazon ECS Express Mode."""
    service = resource(module, "aws_ecs_express_gateway_service")
    return {
        "cpu": values["cpu"] * 1000 // 1024,
        "memory": values["memory"] * MIB,
        "port": only(service["primary_container"])["container_port"],
        "alive": None,
        "ready": service["health_check_path"],
    }


def of_fargate(module, values):
    """Amazon ECS on Fargate."""
    text = resource(module, "aws_ecs_task_definition")["container_definitions"]
    target = resource(module, "aws_lb_target_group")
    return {
        "cpu": values["cpu"] * 1000 // 1024,
        "memory": values["memory"] * MIB,
        "port": int(re.search(r"containerPort\s*=\s*(\d+)", text).group(1)),
        "alive": "/health" if '"healthcheck", "--live"' in text else None,
        "ready": only(target["health_check"])["path"],
        "user": re.search(r'user\s*=\s*"([0-9:]+)"', text).group(1),
        "stop": int(re.search(r"stopTimeout\s*=\s*(\d+)", text).group(1)),
    }


def of_app_runner(module, values):
    """AWS App Runner."""
    service = resource(module, "aws_apprunner_service")
    image = only(only(only(service["source_configuration"])["image_repository"])["image_configuration"])
    return {
        "cpu": values["cpu"] * 1000 // 1024,
        "memory": values["memory"] * MIB,
        "port": int(image["port"]),
        "alive": None,
        "ready": only(service["health_check_configuration"])["path"],
    }


def of_container_apps(module, values):
    """Azure Container Apps."""
    template = only(resource(module, "azurerm_container_app")["template"])
    container = only(template["container"])
    return {
        "cpu": round(values["cpu"] * 1000),
        "memory": round(float(values["memory"].removesuffix("Gi")) * 1024) * MIB,
        "port": only(resource(module, "azurerm_container_app")["ingress"])["target_port"],
        "alive": only(container["liveness_probe"])["path"],
        "ready": only(container["readiness_probe"])["path"],
        "stop": template["termination_grace_period_seconds"],
    }


PLATFORMS = {
    "aws-app-runner": of_app_runner,
    "aws-ecs-express": of_express,
    "aws-fargate": of_fargate,
    "azure-container-apps": of_container_apps,
    "gcp-cloud-run": of_cloud_run,
}


def of_terraform(platform, module, environment):
    """What a module gives an environment, in the words that those of Kubernetes are in."""
    values = module[f"{environment}.tfvars"]
    variables = module["variables.tf"]["variable"]
    return {
        "image": only(variables["image"])["default"],
        "plain variables": {name: plain(value) for name, value in values["variables"].items()},
        "secret variables": {one["variable"] for one in values.get("secret_variables", [])},
        "secret files": {f"{one['folder']}/{one['file']}" for one in values.get("secret_files", [])},
        "keys": set(module["account.tfvars.example"].get("secrets", {})),
        "replicas": (values["replicas_min"], values["replicas_max"]),
        "in flight": values["in_flight"],
        **PLATFORMS[platform](module, values),
    }


def of_kubernetes(objects):
    """The same of the files for Kubernetes."""
    by_kind = {kind: one for (kind, _), one in objects.items()}
    workload = by_kind.get("StatefulSet") or by_kind["Deployment"]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    hpa = by_kind.get("HorizontalPodAutoscaler", {}).get("spec")
    keda = by_kind.get("ScaledObject", {}).get("spec")
    replicas = (workload["spec"].get("replicas"),) * 2
    in_flight = None
    if hpa:
        replicas = (hpa["minReplicas"], hpa["maxReplicas"])
        in_flight = int(hpa["metrics"][0]["pods"]["target"]["averageValue"])
    elif keda:
        replicas = (keda["minReplicaCount"], keda["maxReplicaCount"])
        in_flight = int(keda["triggers"][0]["metadata"]["threshold"])
    cpu = container["resources"]["requests"]["cpu"]
    own = agreement.of_kubernetes(objects)
    return {
        **{what: own[what] for what in ["image", "plain variables", "secret variables", "secret files", "port", "memory", "user"]},
        "cpu": int(cpu[:-1]) if cpu.endswith("m") else int(cpu) * 1000,
        "keys": {
            one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"] if "secretKeyRef" in one.get("valueFrom", {})
        },
        "replicas": replicas,
        "in flight": in_flight,
        "alive": container["livenessProbe"]["httpGet"]["path"],
        "ready": container["readinessProbe"]["httpGet"]["path"],
        "stop": own["seconds to stop"],
    }


def disagreements(terraform, kubernetes):
    """In what a module and the objects of a cluster differ, a line each."""
    found = []
    for what, value in terraform.items():
        other = kubernetes[what]
        if value is None or other is None:
            continue
        # Platforms have sizes: the next one is taken, never a smaller one, nor a keyhole of another environment's secrets.
        fits = value >= other if what in ("cpu", "memory", "keys") else value == other
        if not fits:
            found.append(f"{what}: Terraform has {value!r}, Kubernetes {other!r}")
    return found


class Judge:
    """The tools that there are: a folder with the packages of npm and the bindings, and HCL's own formatter."""

    def __init__(self, node, hclfmt, note):
        self.node, self.hclfmt, self.note = node, hclfmt, note
        self.judged = {}
        self.cli = terraform_cli.Cli(note)

    def not_run(self):
        """What could not be run."""
        tools = [("npm's bindings of Terraform", self.node), ("Go (hclfmt)", self.hclfmt)]
        return [name for name, tool in tools if not tool] + self.cli.not_run()

    def modules(self, folders):
        """What the schemas say against modules, and the modules."""
        words = ["node", "check.mjs", *[str(folder.resolve()) for folder in folders]]
        made = subprocess.run(words, capture_output=True, text=True, timeout=300, cwd=self.node)
        assert made.returncode == 0, made.stderr
        return {pathlib.Path(folder).name: one for folder, one in json.loads(made.stdout).items()}

    def formatted(self, folder):
        """Files whose form is not that of HCL's formatter."""
        paths = sorted(path for path in folder.iterdir() if ".tf" in path.name)
        # It tells by its exit code; what it prints is the file as it should be.
        made = [(path, subprocess.run([str(self.hclfmt), "-require-no-change", str(path)], capture_output=True, text=True)) for path in paths]
        return [f"{path.name}: {one.stderr or one.stdout}" for path, one in made if one.returncode != 0]

    def spec(self, name, out, work):
        """Judges what was written of a spec, for each environment."""
        folders = sorted(path for path in (out / "terraform").iterdir() if path.is_dir())
        self.note("terraform", folders, f"{name}: no module")
        self.cli.modules(name, out, work, MADE.get(name, []))
        if self.hclfmt:
            for folder in folders:
                found = self.formatted(folder)
                self.note("hclfmt", not found, f"{name} {folder.name}: {found}")
        if not self.node:
            return
        self.judged[name] = self.modules(folders)
        for platform, one in self.judged[name].items():
            self.note("terraform", not one["found"], f"{name} {platform}: {one['found']}")
            for environment in ENVIRONMENTS if platform in PLATFORMS else []:
                texts = [path.read_text() for path in sorted((work / f"{name}-{environment}/kubernetes").glob("*.yaml"))]
                reference = {(one["kind"], one["metadata"]["name"]): one for one in map(pyyaml.safe_load, texts)}
                found = disagreements(of_terraform(platform, one["files"], environment), of_kubernetes(reference))
                self.note("terraform-agreement", not found, f"{name} {platform} {environment}: {found}")

    def others(self, mainstay, work, ship):
        """Specs of Terraform's alone: platforms that the spec names, and services that platforms refuse."""
        for spec in sorted((HERE / "specs-terraform").iterdir()):
            ship(mainstay, spec, work / spec.name, "terraform")
            for environment in ENVIRONMENTS:
                ship(mainstay, spec, work / f"{spec.name}-{environment}", "kubernetes", "--env", environment)
            self.spec(spec.name, work / spec.name, work)
        made = work / "legacy/terraform/aws-app-runner"
        for path in made.iterdir():
            self.note("terraform", "takes no new customers" in path.read_text(), f"{path.name} does not warn")
        for spec, platform, why in [
            (work / "inside", None, "not written: what `books` (state.embedded) holds"),
            (work / "inside", "gcp-cloud-run", "SHIP_UNSUPPORTED"),
            (HERE / "specs-terraform/files", "azure-container-apps", "SHIP_UNSUPPORTED"),
            (HERE / "specs-terraform/files", "aws-app-runner", "SHIP_UNSUPPORTED"),
        ]:
            asked = work / "refused"
            shutil.rmtree(asked, ignore_errors=True)
            shutil.copytree(spec, asked)
            text = re.sub(r"  terraform: .*\n", "", (asked / "mainstay.yaml").read_text())
            if platform:
                text = text.replace("\ndeploy:\n", f"\ndeploy:\n  terraform: {{ platforms: [{platform}] }}\n")
            (asked / "mainstay.yaml").write_text(text)
            words = [str(mainstay), "ship", "terraform", "--spec", str(asked), "--out", str(asked / "out")]
            made = subprocess.run(words, capture_output=True, text=True, timeout=60)
            said = why in made.stdout + made.stderr and not (asked / "out/terraform/gcp-cloud-run").exists()
            self.note("can-fail", said, f"{spec.name} on {platform}: {made.stderr}")

    def hostile(self, name, wanted):
        """Values that could be read as something else come out of Terraform's parser as they were written."""
        for platform, one in self.judged.get(name, {}).items():
            for environment in ENVIRONMENTS if platform in PLATFORMS else []:
                given = one["files"][f"{environment}.tfvars"]["variables"]
                for key, value in wanted.items():
                    self.note("hostile", plain(given.get(key)) == value, f"{platform}: {value!r} became {given.get(key)!r}")

    def bad_ones(self, out, work):
        """Each checker refuses what it is there for."""
        folder = work / "bad-terraform"
        good = out / "terraform/gcp-cloud-run"
        refused = [
            ("a misspelt attribute", "main.tf", "max_instance_request_concurrency", "max_concurrency"),
            ("an attribute that is a block", "main.tf", "ports {", "ports = {"),
            ("a block that is an attribute", "main.tf", "limits = {", "limits {"),
            ("a text for a number", "main.tf", "container_port = 8080", 'container_port = "http"'),
            ("a missing attribute", "main.tf", re.compile(r" +role += .*\n"), ""),
            ("a variable that is not there", "main.tf", "var.in_flight", "var.in_fligth"),
            ("an attribute of another resource that is not there", "main.tf", "service.email", "service.mail"),
            ("another version of a provider", "versions.tf", re.compile(r'version = "6[^"]*"'), 'version = "5.0.0"'),
            ("a value for no variable", "prod.tfvars", "replicas_max", "replicas_most"),
            ("a value of another type", "prod.tfvars", re.compile(r"replicas_max += \d+"), 'replicas_max = "ten"'),
            ("a block that is not closed", "main.tf", re.compile(r"\}\n\Z"), ""),
        ]
        shutil.rmtree(folder, ignore_errors=True)
        if self.node:
            for n, (what, name, old, new) in enumerate(refused):
                path = shutil.copytree(good, folder / str(n)) / name
                text = path.read_text()
                bad = old.sub(new, text, count=1) if isinstance(old, re.Pattern) else text.replace(old, new, 1)
                assert bad != text, what
                path.write_text(bad)
            judged = self.modules([folder / str(n) for n in range(len(refused))])
            for n, (what, *_) in enumerate(refused):
                self.note("can-fail", judged[str(n)]["found"], f"Terraform's checkers accept {what}")
            self.can_disagree(work)
        if self.hclfmt:
            folder.mkdir(exist_ok=True)
            (folder / "main.tf").write_text("a  = 1\nbb = 2\nccc = 3\n")
            self.note("can-fail", self.formatted(folder), "hclfmt accepts what it would change")
        self.cli.bad_ones(out, work)

    def can_disagree(self, work):
        """Whatever is different is seen."""
        module = self.judged["declared"]["gcp-cloud-run"]["files"]
        texts = [path.read_text() for path in sorted((work / "declared-prod/kubernetes").glob("*.yaml"))]
        reference = of_kubernetes({(one["kind"], one["metadata"]["name"]): one for one in map(pyyaml.safe_load, texts)})
        same = of_terraform("gcp-cloud-run", module, "prod")
        for what, change in [
            ("image", "x:latest"), ("cpu", 1), ("memory", 1), ("replicas", (1, 1)), ("in flight", 1), ("alive", "/"),
            ("ready", "/"), ("port", 1), ("plain variables", {}), ("secret variables", set()), ("keys", set()),
        ]:
            found = disagreements({**copy.deepcopy(same), what: change}, reference)
            self.note("can-fail", len(found) == 1, f"another {what} is not seen: {found}")
