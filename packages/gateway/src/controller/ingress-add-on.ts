import {
  type AddOn,
  type ApiClient,
  DEFAULT_CLASS_ANNOTATION,
  type IngressClass,
  type KubeObject,
} from "@cnilab/core";
import { runsIngressNginx } from "./ingress-program.ts";

export const INGRESS_NAMESPACE = "ingress-nginx";
export const INGRESS_CONTROLLER = "ingress-nginx-controller";

const LABELS = {
  "app.kubernetes.io/component": "controller",
  "app.kubernetes.io/instance": "ingress-nginx",
  "app.kubernetes.io/name": "ingress-nginx",
};

/** The class of Ingresses that name none, where the input has no classes of its own. */
export const NGINX_CLASS: IngressClass = {
  apiVersion: "networking.k8s.io/v1",
  kind: "IngressClass",
  metadata: {
    name: "nginx",
    labels: LABELS,
    annotations: { [DEFAULT_CLASS_ANNOTATION]: "true" },
  },
  spec: { controller: "k8s.io/ingress-nginx" },
};

/**
 * ingress-nginx as its manifest for clouds installs it (deploy/static/provider/cloud/deploy.yaml), without what is not about
 * traffic. It comes where there is an Ingress, and no ingress-nginx of the input's own.
 */
export const INGRESS_ADD_ON: AddOn = {
  name: "ingress-nginx",
  objects: (api) => {
    if (api.list("Ingress").length === 0 || bringsItsOwn(api)) return [];
    const classes = api.list("IngressClass").length === 0 ? [NGINX_CLASS] : [];
    return [...classes, ...OBJECTS];
  },
};

function bringsItsOwn(api: ApiClient): boolean {
  return [...api.list("Deployment"), ...api.list("DaemonSet")].some(
    ({ metadata, spec }) =>
      `${metadata.namespace}/${metadata.name}` !== `${INGRESS_NAMESPACE}/${INGRESS_CONTROLLER}` &&
      spec.template.spec.containers.some(runsIngressNginx),
  );
}

const OBJECTS: readonly KubeObject[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: INGRESS_NAMESPACE, labels: LABELS } },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: INGRESS_CONTROLLER, namespace: INGRESS_NAMESPACE, labels: LABELS },
    spec: {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      selector: LABELS,
      ports: [
        { name: "http", appProtocol: "http", protocol: "TCP", port: 80, targetPort: "http" },
        { name: "https", appProtocol: "https", protocol: "TCP", port: 443, targetPort: "https" },
      ],
    },
  } as KubeObject,
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: INGRESS_CONTROLLER, namespace: INGRESS_NAMESPACE, labels: LABELS },
    spec: {
      replicas: 1,
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: {
          nodeSelector: { "kubernetes.io/os": "linux" },
          containers: [
            {
              name: "controller",
              image: "ingress-nginx/controller:v1.14.0",
              args: [
                "/nginx-ingress-controller",
                `--publish-service=$(POD_NAMESPACE)/${INGRESS_CONTROLLER}`,
                "--controller-class=k8s.io/ingress-nginx",
                "--ingress-class=nginx",
              ],
              ports: [
                { name: "http", containerPort: 80, protocol: "TCP" },
                { name: "https", containerPort: 443, protocol: "TCP" },
              ],
              readinessProbe: {
                httpGet: { path: "/healthz", port: 10_254, scheme: "HTTP" },
                initialDelaySeconds: 10,
                periodSeconds: 10,
                failureThreshold: 3,
              },
            },
          ],
        },
      },
    },
  } as KubeObject,
];
