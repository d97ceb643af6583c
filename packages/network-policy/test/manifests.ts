import { type KubeObject, withNamespaceLabel } from "@cnilab/core";
import { loadAll } from "js-yaml";

/** Objects out of YAML, as the API server would store them. */
export function objectsOf(yaml: string): readonly KubeObject[] {
  return (loadAll(yaml) as KubeObject[]).map(withNamespaceLabel);
}

/** A Deployment with one container, whose pods are labelled `app: NAME`. */
export function deployment(name: string, container = "{name: c}", namespace = "default"): string {
  return `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {containers: [${container}]}
`;
}

export function service(
  name: string,
  port: number,
  targetPort: number | string = port,
  spec = "",
): string {
  return `
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {selector: {app: ${name}}, ports: [{port: ${port}, targetPort: ${targetPort}}]${spec}}
`;
}

export function networkPolicy(name: string, spec: string, namespace = "default"): string {
  return `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
`;
}
