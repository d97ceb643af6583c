import type { KubeObject } from "@cnilab/core";
import { parseManifests } from "../src/index.ts";

/** Objects out of YAML written in a test. */
export function yaml(text: string): KubeObject[] {
  return parseManifests(text, "test.yaml").objects;
}

/** A Deployment and the Service before it, of one port. */
export function app(name: string, replicas: number, more: { strategy?: string } = {}): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: ${replicas}
  ${more.strategy === undefined ? "" : `strategy: ${more.strategy}`}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {containers: [{name: main, image: "${name}:1", ports: [{containerPort: 8080, name: http}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: ${name}}, ports: [{port: 80, targetPort: http}]}
---
`;
}
