"""Programs of others, and what they say against a file."""

import subprocess


def run(*words, **options):
    """Runs a program; gives its exit code and what it said."""
    made = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, **options)
    return made.returncode, made.stdout + made.stderr


def against(*words, **options):
    """What a program says where it is not content, and nothing where it is."""
    code, said = run(*words, **options)
    return "" if code == 0 else said or f"it ended with {code}"


def kubernetes(bin_, paths, version):
    """What strict schemas of a version of Kubernetes say against files."""
    return against(bin_ / "kubernetes-validate", "-k", version, "--strict", "--quiet", *paths)


def schema(bin_, name, path):
    """What a schema that check-jsonschema brings along says against a file."""
    return against(bin_ / "check-jsonschema", "--builtin-schema", name, path)
