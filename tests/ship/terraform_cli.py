"""Terraform itself, where it is installed: the form of every module, and, where the provider's plugin lies in one of the
folders for them, `validate` with the real provider and an apply of each environment on a made-up cloud. Nothing is fetched."""

import json
import os
import pathlib
import re
import shutil
import subprocess

# Where Terraform looks for plugins by itself, and where machines without a network keep them.
PLACES = [pathlib.Path.home() / ".terraform.d/plugins", *map(pathlib.Path, ["/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"])]
# What a made-up cloud says of what it made, where a provider looks at the form of it.
ARN = "arn:aws:{service}:eu-central-1:111122223333:{rest}"
MADE = {
    "aws_iam_role": ("iam", "role/made"),
    "aws_lb": ("elasticloadbalancing", "loadbalancer/app/made/0123456789abcdef"),
    "aws_lb_target_group": ("elasticloadbalancing", "targetgroup/made/0123456789abcdef"),
    "aws_ecs_cluster": ("ecs", "cluster/made"),
    "aws_apprunner_auto_scaling_configuration_version": ("apprunner", "autoscalingconfiguration/made/1/0123456789abcdef"),
    "aws_apprunner_observability_configuration": ("apprunner", "observabilityconfiguration/made/1/0123456789abcdef"),
    "aws_apprunner_vpc_connector": ("apprunner", "vpcconnector/made/1/0123456789abcdef"),
}


def mirrors():
    """Folders that hold plugins as Terraform's mirrors have them."""
    found = [*PLACES, *pathlib.Path("/opt").glob("*")]
    return [one for one in found if (one / "registry.terraform.io").is_dir()]


def plugins():
    """Providers at hand, by source: the folder that has them, and the newest version."""
    found = {}
    for mirror in mirrors():
        for version in (mirror / "registry.terraform.io").glob("*/*/*"):
            source = "/".join(version.parts[-3:-1])
            number = tuple(int(part) for part in re.findall(r"\d+", version.name)[:3])
            if number > found.get(source, ((), None))[0]:
                found[source] = (number, mirror)
    return found


class Cli:
    """Terraform, if it is installed, and the plugins at hand."""

    def __init__(self, note):
        self.program, self.note = shutil.which("terraform"), note
        self.plugins = plugins()
        self.left_out = set()

    def not_run(self):
        """What could not be run."""
        missing = [f"Terraform's registry ({one})" for one in sorted(self.left_out)]
        return missing if self.program else ["Terraform (the program)"]

    def run(self, folder, *words):
        """Runs Terraform in a folder; gives whether it was content, and what it said."""
        # Settings of the machine's user have nothing to say here.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        made = subprocess.run(
            [self.program, *words], cwd=folder, env={**environment, "CHECKPOINT_DISABLE": "1"}, capture_output=True, text=True, timeout=300
        )
        return made.returncode == 0, made.stdout + made.stderr

    def modules(self, name, out, work, environments=()):
        """Judges the modules of a spec: their form, and with environments what the real providers say."""
        for folder in sorted(path for path in (out / "terraform").iterdir() if path.is_dir()) if self.program else []:
            good, said = self.run(folder, "fmt", "-check", "-diff", "-no-color")
            self.note("terraform-fmt", good, f"{name} {folder.name}: {said}")
            if not environments:
                continue
            copy, found = self.prepared(folder, work / f"terraform-cli/{name}-{folder.name}")
            if copy:
                self.note("terraform-validate", not found, f"{name} {folder.name}: {found}")
                for environment in environments:
                    said = self.applied(copy, environment)
                    self.note("terraform-apply", not said, f"{name} {folder.name} {environment}: {said}")

    def prepared(self, folder, copy):
        """A copy of a module with its providers, of the version that is at hand, and what `validate` finds in it; no copy where one
        is missing."""
        asked = re.findall(r'^    (\S+) = \{\n      source\s*= "([^"]+)"', (folder / "versions.tf").read_text(), re.MULTILINE)
        assert asked, folder
        missing = [source for _, source in asked if source not in self.plugins]
        self.left_out.update(missing)
        if missing:
            return None, []
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        version = lambda source: ".".join(map(str, self.plugins[source][0]))
        versions = [f'{name} = {{\n source = "{source}"\n version = "{version(source)}"\n}}\n' for name, source in asked]
        (copy / "version_override.tf").write_text(f"terraform {{\nrequired_providers {{\n{''.join(versions)}}}\n}}\n")
        (copy / "made.tftest.hcl").write_text("".join(made_up(name) for name, _ in asked) + 'run "made" {\n  command = apply\n}\n')
        places = [f"-plugin-dir={one}" for one in {self.plugins[source][1] for _, source in asked}]
        good, said = self.run(copy, "init", "-backend=false", "-input=false", "-no-color", *places)
        assert good, said
        # A module for a newer version of a provider may be about what the one at hand has never heard of.
        found = self.validated(copy)
        unknown = re.findall(r'does not support resource type "(\w+)"', "\n".join(found))
        self.left_out.update(f"a newer plugin, for {kind}" for kind in unknown)
        return (None if unknown else copy), found

    def validated(self, folder):
        """What `validate` finds in a module that is prepared."""
        said = json.loads(self.run(folder, "validate", "-json")[1])
        return [f"{one['summary']}: {one['detail']}" for one in said["diagnostics"]]

    def applied(self, folder, environment, *words):
        """What is said where an environment of a module cannot be made on a made-up cloud."""
        # Terraform takes no values from a file of the example's name.
        shutil.copy(folder / "account.tfvars.example", folder / "account.tfvars")
        files = [f"-var-file={environment}.tfvars", "-var-file=account.tfvars"]
        good, said = self.run(folder, "test", "-no-color", *files, *words)
        return "" if good and "1 passed, 0 failed" in said else said

    def bad_ones(self, out, work):
        """What Terraform must refuse, each in a module that it is else content with."""
        folder = out / "terraform/aws-fargate"
        if not self.program:
            return
        ugly = work / "terraform-cli/ugly"
        ugly.mkdir(parents=True, exist_ok=True)
        (ugly / "main.tf").write_text("locals {\n  a = 1\n  bcd = 2\n}\n")
        self.note("can-fail", not self.run(ugly, "fmt", "-check")[0], "terraform fmt accepts what it would change")
        good, _ = self.prepared(folder, work / "terraform-cli/good")
        if not good:
            return
        for what, old, new in [
            ("a misspelt attribute", "requires_compatibilities", "requires_compatibility"),
            ("a variable that is not there", "var.replicas_min", "var.replicas_mni"),
        ]:
            self.refused(good, what, "main.tf", old, new, self.validated)
        for what, old, new in [
            ("fewer replicas than none", r"(replicas_min +=) \d+", r"\1 -1"),
            ("an environment that is not there", r'(environment +=) "prod"', r'\1 "live"'),
            ("a value of another type", r"(replicas_max +=) \d+", r'\1 "ten"'),
        ]:
            self.refused(good, what, "prod.tfvars", old, new, lambda copy: self.applied(copy, "prod"))
        said = self.applied(good, "prod", "-var=image=registry.example.com/acme/desk:latest")
        self.note("can-fail", "never by `latest`" in " ".join(said.split()), f"an image called latest is applied: {said}")

    def refused(self, good, what, name, old, new, judge):
        """Whether a change of a file is seen."""
        path = good / name
        text = path.read_text()
        bad = re.sub(old, new, text, count=1)
        assert bad != text, what
        path.write_text(bad)
        self.note("can-fail", judge(good), f"Terraform accepts {what}")
        path.write_text(text)


def made_up(name):
    """A provider that makes nothing and says that it did."""
    kinds = {kind: ARN.format(service=service, rest=rest) for kind, (service, rest) in MADE.items() if kind.startswith(f"{name}_")}
    blocks = [f'  mock_resource "{kind}" {{\n    defaults = {{\n      arn = "{arn}"\n    }}\n  }}\n' for kind, arn in kinds.items()]
    return f'mock_provider "{name}" {{\n{"".join(blocks)}}}\n'
