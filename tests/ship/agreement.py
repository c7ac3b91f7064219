"""Whether Compose and Kubernetes run the same container: one image, user, port and memory, the same variables and secrets,
probes that ask the same, the same time to stop. What differs by design is said here, and nothing else may."""

import yaml as pyyaml

# What a pod is told of itself.
OF_A_POD = {"NAMESPACE", "POD_NAME"}
# What `mainstay healthcheck` asks.
HEALTHCHECK = ["CMD", "/usr/local/bin/mainstay", "healthcheck"]


def of_compose(text):
    """The container that a Compose file describes."""
    loaded = pyyaml.safe_load(text)
    service = loaded["services"][loaded["name"]]
    plain, secret = {}, set()
    for name, value in service["environment"].items():
        if value.startswith("${"):
            secret.add(name)
        else:
            plain[name] = value.replace("$$", "$")
    limits = service["deploy"]["resources"]["limits"]
    probe = service["healthcheck"]
    return {
        "image": service["image"],
        "user": service["user"],
        "port": int(service["ports"][0].split(":")[-1]),
        "read only": service["read_only"],
        "capabilities": service["cap_drop"],
        "memory": int(limits["memory"]),
        "processor limit": "cpus" in limits,
        "plain variables": plain,
        "secret variables": secret,
        "secret files": {one["target"] for one in service.get("secrets", [])},
        "data folder": {one.split(":")[1] for one in service["volumes"]},
        "asked for readiness": "/ready" if probe["test"] == HEALTHCHECK else probe["test"],
        "seconds to start": seconds(probe["start_period"]),
        "seconds to stop": seconds(service["stop_grace_period"]),
    }


def of_kubernetes(objects):
    """The container that the objects of a cluster describe."""
    by_kind = {kind: one for (kind, _), one in objects.items()}
    workload = by_kind.get("StatefulSet") or by_kind["Deployment"]
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    own, limits = container["securityContext"], container["resources"]["limits"]
    start = container["startupProbe"]
    mounts = container["volumeMounts"]
    return {
        "image": container["image"],
        "user": f"{own['runAsUser']}:{own['runAsGroup']}",
        "port": container["ports"][0]["containerPort"],
        "read only": own["readOnlyRootFilesystem"],
        "capabilities": own["capabilities"]["drop"],
        "memory": size(limits["memory"]),
        "processor limit": "cpu" in limits,
        "plain variables": by_kind["ConfigMap"]["data"],
        "secret variables": {one["name"] for one in container["env"]} - OF_A_POD,
        "secret files": {one["mountPath"] for one in mounts if one["name"] == "secrets"},
        # Compose keeps it in any case, a cluster where the spec gives it storage.
        "data folder": {one["mountPath"] for one in mounts if one["name"] == "data"},
        "asked for readiness": container["readinessProbe"]["httpGet"]["path"],
        "seconds to start": start["periodSeconds"] * start["failureThreshold"],
        "seconds to stop": pod["terminationGracePeriodSeconds"],
    }


def seconds(text):
    """A duration of Compose, in whole seconds."""
    assert text.endswith("s") and text[:-1].isdigit(), text
    return int(text[:-1])


def size(text):
    """Bytes of a quantity of Kubernetes."""
    for unit, factor in [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40)]:
        if text.endswith(unit):
            return int(text[: -len(unit)]) * factor
    return int(text)


def disagreements(compose, kubernetes):
    """In what two containers differ, a line each."""
    return [
        f"{what}: Compose has {compose[what]!r}, Kubernetes {kubernetes[what]!r}"
        for what in compose
        if compose[what] != kubernetes[what] and not (what == "seconds to start" and near(compose, kubernetes))
    ]


def near(compose, kubernetes):
    """Kubernetes counts whole periods of five seconds."""
    return 0 <= kubernetes["seconds to start"] - compose["seconds to start"] < 5
