"""A repository full of faults, and by which of its rules each tool must find those that it is there for."""

import pathlib

FILES = {
    "docker/Dockerfile": """\
FROM debian:latest
ENV API_TOKEN=abc
RUN cd /x && sudo apt-get install curl
CMD run
""",
    "compose/compose.yaml": """\
services:
  web:
    image: nginx
    privileged: true
    ports: ["8080:80", "8080:81"]
    volumes: ["/var/run/docker.sock:/var/run/docker.sock"]
""",
    ".github/workflows/bad.yaml": """\
on: { workflow_dispatch: { inputs: { x: { type: string } } } }
permissions: write-all
jobs:
  a:
    runs-on: ubuntu-24.04
    env: { ACTIONS_ALLOW_UNSECURE_COMMANDS: "true" }
    steps:
      - run: echo "${{ steps.nowhere.outputs.x }}"
""",
    ".gitlab-ci.yml": """\
a:
  script:
    - curl --data "$CI_JOB_TOKEN" https://example.com
  rules:
    - if: $CI_PIPELINE_SOURCE == "push"
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
""",
    "terraform/aws-fargate/main.tf": """\
resource "aws_security_group" "tasks" {
  description = "Anyone may log in"
  ingress {
    description = "ssh"
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_ecs_service" "service" {
  launch_type = "FARGATE"
  network_configuration {
    assign_public_ip = true
  }
}
""",
    "objects-prod/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata: { name: a, namespace: b }
spec:
  replicas: 1
  selector: { matchLabels: { app: a } }
  template:
    metadata: { labels: { app: a } }
    spec:
      hostNetwork: true
      containers:
        - { name: a, image: nginx, securityContext: { privileged: true }, imagePullPolcy: Always }
""",
    "shipped/bad.yaml": "a: 1\na: 2\nb: on\nc: 012\n",
    "helm/Chart.yaml": "apiVersion: v2\nname: bad\nversion: 1.0.0\n",
    "helm/values.yaml": "replicas: two\n",
    "helm/values.schema.json": """\
{ "type": "object", "properties": { "replicas": { "type": "integer" } }, "required": "replicas" }
""",
    "helm/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { a: {{ .Values.b | quote }}\n",
}
EXPECTED = {
    "checkov": [
        # No limit of memory, a privileged container, the host's network; an image without a user.
        "CKV_K8S_13", "CKV_K8S_16", "CKV_K8S_19", "CKV_DOCKER_3",
        # Commands that change the environment of later steps; a secret sent away; a pipeline that runs twice.
        "CKV_GHA_1", "CKV_GITLABCI_1", "CKV_GITLABCI_2",
        # Anyone may log in; a task that the whole world reaches.
        "CKV_AWS_24", "CKV_AWS_333",
    ],
    "tally": ["hadolint/DL3004"],
    "compose-lint": ["CL-0001", "CL-0002"],
    "dclint": ["no-duplicate-exported-ports"],
    "yamllint": ["key-duplicates", "truthy", "octal-values"],
    "check-jsonschema": ["metaschema", "values"],
    "kubeconform": ["statusInvalid"],
    "kube-score": [
        "container-resources: Memory limit is not set",
        "container-security-context-privileged: The container is privileged",
        "pod-networkpolicy: The pod does not have a matching NetworkPolicy",
    ],
    "helm": ["lint", "template"],
    "actionlint": ["expression"],
}


def write(to):
    """Writes the repository."""
    for name, text in FILES.items():
        path = pathlib.Path(to) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
