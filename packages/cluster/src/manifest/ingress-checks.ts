import type { Ingress } from "@cnilab/core";
import { INGRESS_CLASS_ANNOTATION } from "@cnilab/core";
import {
  type Check,
  describe,
  dnsLabel,
  dnsSubdomain,
  fail,
  list,
  matching,
  oneField,
  oneOf,
  port,
  portName,
  serviceName,
  strictObject,
  string,
} from "@cnilab/core/validation";
import { tryParseIp } from "@cnilab/net";
import { type KindChecks, kind } from "./kind-checks.ts";

// Ingress and IngressClass as the API server checks them (pkg/apis/networking/validation/validation.go, v1.35).

const serviceBackend: Check = (value, path) => {
  strictObject({ name: serviceName, port: strictObject({ name: portName, number: port }) }, [
    "name",
  ])(value, path);
  const { port: given = {} } = value as {
    readonly port?: { readonly name?: string; readonly number?: number };
  };
  if (given.name !== undefined && given.number !== undefined) {
    fail([...path, "port"], "cannot have both name and number; leave one out");
  }
  if (given.name === undefined && given.number === undefined) {
    fail([...path, "port"], "must have a name or a number");
  }
};

const backend = oneField({
  service: serviceBackend,
  resource: strictObject({ apiGroup: dnsSubdomain, kind: string, name: string }, ["kind", "name"]),
});

/** What proxies would read as another path than the one that stands there. */
const AMBIGUOUS = ["//", "/./", "/../", "%2f", "%2F"];
const AMBIGUOUS_ENDS = ["/..", "/."];

/** A path that is compared as it stands. */
export const absolutePath: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  if (!text.startsWith("/")) fail(path, `must start with "/", not be ${describe(text)}`);
  const part =
    AMBIGUOUS.find((wrong) => text.includes(wrong)) ??
    AMBIGUOUS_ENDS.find((wrong) => text.endsWith(wrong));
  if (part !== undefined) fail(path, `must not contain "${part}", as ${describe(text)} does`);
};

const ingressPath: Check = (value, path) => {
  strictObject(
    {
      path: string,
      pathType: oneOf("Exact", "Prefix", "ImplementationSpecific"),
      backend,
    },
    ["pathType", "backend"],
  )(value, path);
  const { path: text = "", pathType } = value as {
    readonly path?: string;
    readonly pathType: string;
  };
  const at = [...path, "path"];
  if (pathType !== "ImplementationSpecific") absolutePath(text, at);
  else if (text !== "" && !text.startsWith("/")) {
    fail(at, `must start with "/", not be ${describe(text)}`);
  }
};

const HOST = /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** A DNS name, or `*.` and one. */
export const hostOrWildcard: Check = (value, path) => {
  matching(
    HOST,
    253,
    "a DNS name in lower case, such as shop.example.com, or *. and one",
  )(value, path);
  if (tryParseIp(value as string) !== undefined) {
    fail(path, `must be a DNS name, not the address ${value}`);
  }
};

const ingressHost: Check = (value, path) => {
  if (value !== "") hostOrWildcard(value, path);
};

const ingressSpec: Check = (value, path) => {
  strictObject({
    ingressClassName: dnsSubdomain,
    defaultBackend: backend,
    tls: list(strictObject({ hosts: list(hostOrWildcard), secretName: dnsSubdomain })),
    rules: list(
      strictObject({
        host: ingressHost,
        http: strictObject({ paths: list(ingressPath, 1) }, ["paths"]),
      }),
    ),
  })(value, path);
  const { rules = [], defaultBackend } = value as {
    readonly rules?: readonly unknown[];
    readonly defaultBackend?: unknown;
  };
  if (rules.length === 0 && defaultBackend === undefined) {
    fail(path, "must have rules or a defaultBackend");
  }
};

const DOMAIN_PREFIXED = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/;

/** As `k8s.io/ingress-nginx`. */
export const controllerName: Check = matching(
  DOMAIN_PREFIXED,
  253,
  "a domain and a path, as k8s.io/ingress-nginx",
);

const parameters: Check = (value, path) => {
  strictObject(
    {
      apiGroup: dnsSubdomain,
      kind: string,
      name: string,
      scope: oneOf("Cluster", "Namespace"),
      namespace: dnsLabel,
    },
    ["kind", "name"],
  )(value, path);
  const { scope = "Cluster", namespace } = value as {
    readonly scope?: string;
    readonly namespace?: string;
  };
  if ((scope === "Namespace") === (namespace !== undefined)) return;
  fail(
    [...path, "namespace"],
    scope === "Namespace"
      ? "is required for scope Namespace"
      : "must be left out for scope Cluster",
  );
};

/** The class, in the field and in the annotation that was there before it. */
const classes: Check = (value) => {
  const { metadata, spec } = value as Ingress;
  const annotation = metadata.annotations?.[INGRESS_CLASS_ANNOTATION];
  const { ingressClassName } = spec;
  if (annotation === undefined || ingressClassName === undefined) return;
  if (annotation === ingressClassName) return;
  fail(
    ["metadata", "annotations", INGRESS_CLASS_ANNOTATION],
    `must be ${ingressClassName} as spec.ingressClassName is; leave one out`,
  );
};

export const INGRESS_CHECKS: Readonly<Record<string, KindChecks>> = {
  Ingress: { ...kind("networking.k8s.io", { spec: ingressSpec }), whole: classes },
  IngressClass: kind(
    "networking.k8s.io",
    { spec: strictObject({ controller: controllerName, parameters }, ["controller"]) },
    ["spec"],
  ),
};
