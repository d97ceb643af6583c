import { parsePrefix, tryParsePrefix } from "@cnilab/net";
import {
  type Check,
  cidr,
  describe,
  fail,
  list,
  oneOf,
  port,
  portOrName,
  strictObject,
} from "./field-check.ts";
import { selector } from "./label-selector-check.ts";

// NetworkPolicy as the API server checks it (pkg/apis/networking/validation/validation.go, v1.35).

const protocol = oneOf("TCP", "UDP", "SCTP");

const policyPort: Check = (value, path) => {
  strictObject({ protocol, port: portOrName, endPort: port })(value, path);
  const { port: first, endPort } = value as { readonly port?: unknown; readonly endPort?: number };
  if (endPort === undefined) return;
  if (typeof first !== "number") fail([...path, "endPort"], "needs a numeric port beside it");
  if (endPort < (first as number)) {
    fail([...path, "endPort"], `must not be less than port ${first}, but is ${endPort}`);
  }
};

const ipBlock: Check = (value, path) => {
  strictObject({ cidr, except: list(cidr) }, ["cidr"])(value, path);
  const block = value as { readonly cidr: string; readonly except?: readonly string[] };
  const whole = parsePrefix(block.cidr);
  block.except?.forEach((text, i) => {
    const hole = tryParsePrefix(text);
    if (hole !== undefined && whole.covers(hole) && hole.length > whole.length) return;
    fail([...path, "except", i], `must be a part of cidr ${block.cidr}, not ${describe(text)}`);
  });
};

const policyPeer: Check = (value, path) => {
  strictObject({ podSelector: selector, namespaceSelector: selector, ipBlock })(value, path);
  const peer = value as Readonly<Record<string, unknown>>;
  const labelled = peer["podSelector"] !== undefined || peer["namespaceSelector"] !== undefined;
  if (peer["ipBlock"] === undefined) {
    if (!labelled) fail(path, "must have podSelector, namespaceSelector or ipBlock");
  } else if (labelled) {
    fail(
      [...path, "ipBlock"],
      "cannot stand beside podSelector or namespaceSelector; make it a peer of its own",
    );
  }
};

/** Fields of a NetworkPolicy's `spec`. */
export const networkPolicyFields: Readonly<Record<string, Check>> = {
  podSelector: selector,
  policyTypes: list(oneOf("Ingress", "Egress"), 0, 2),
  ingress: list(strictObject({ from: list(policyPeer), ports: list(policyPort) })),
  egress: list(strictObject({ to: list(policyPeer), ports: list(policyPort) })),
};
