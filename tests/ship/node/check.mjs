// Judges files with packages that others wrote: `objects FILE…` with the schemas of kinds that Kubernetes itself does not
// know. Prints a line for each finding; ends with 1 where there is one.

import { readFileSync } from "node:fs";

import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { parse } from "yaml";

const KINDS = { HTTPRoute, PodMonitor, PrometheusRule, ScaledObject };

const judges = {
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
