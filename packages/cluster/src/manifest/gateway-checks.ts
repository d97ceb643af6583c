import {
  type Check,
  describe,
  dnsLabel,
  fail,
  list,
  map,
  matching,
  oneOf,
  port,
  selector,
  strictObject,
  string,
  unread,
} from "@cnilab/core/validation";
import { tryParseIp } from "@cnilab/net";
import { EXPERIMENTAL_GROUP, gatewayKind } from "./gateway-kind.ts";
import { GATEWAY_ROUTE_CHECKS } from "./gateway-route-checks.ts";
import { controllerName, hostOrWildcard } from "./ingress-checks.ts";
import { type KindChecks, kind } from "./kind-checks.ts";
import {
  group,
  kindName,
  objectName,
  objectReference,
  preciseHost,
  sectionName,
} from "./reference-checks.ts";

// As the CustomResourceDefinitions of Gateway API v1.6.1 check them (apis/v1, validation markers and CEL rules).

const texts = map(() => undefined, string);

const classReference = strictObject({ group, kind: kindName, name: string, namespace: dnsLabel }, [
  "group",
  "kind",
  "name",
]);

const gatewayClassSpec = strictObject(
  {
    controllerName,
    parametersRef: classReference,
    description: matching(/^/, 64, "at most 64 characters"),
  },
  ["controllerName"],
);

const namespaces = (...from: readonly string[]): Check =>
  strictObject({ from: oneOf(...from), selector });

const listenerFields = strictObject(
  {
    name: sectionName,
    hostname: (value, path) => {
      if (value !== "") hostOrWildcard(value, path);
    },
    port,
    protocol: matching(
      /^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$/,
      255,
      "HTTP, HTTPS, TLS, TCP, UDP, or a domain and a name",
    ),
    tls: strictObject({
      mode: oneOf("Terminate", "Passthrough"),
      certificateRefs: list(objectReference, 0, 64),
      options: texts,
      frontendValidation: unread,
    }),
    allowedRoutes: strictObject({
      namespaces: namespaces("All", "Selector", "Same"),
      kinds: list(strictObject({ group, kind: kindName }, ["kind"]), 0, 8),
    }),
  },
  ["name", "port", "protocol"],
);

interface ListenerShape {
  readonly name: string;
  readonly hostname?: string;
  readonly port: number;
  readonly protocol: string;
  readonly tls?: {
    readonly mode?: string;
    readonly certificateRefs?: readonly unknown[];
    readonly options?: object;
  };
}

const listener: Check = (value, path) => {
  listenerFields(value, path);
  const { protocol, hostname = "", tls } = value as ListenerShape;
  if (tls !== undefined && ["HTTP", "TCP", "UDP"].includes(protocol)) {
    fail([...path, "tls"], `must be left out for protocol ${protocol}`);
  }
  if (protocol === "HTTPS" && (tls?.mode ?? "Terminate") !== "Terminate") {
    fail(
      [...path, "tls", "mode"],
      "must be Terminate for protocol HTTPS; bytes pass by protocol TLS",
    );
  }
  if (protocol === "TLS" && tls?.mode === undefined) {
    fail([...path, "tls", "mode"], "is required for protocol TLS: Terminate or Passthrough");
  }
  if (hostname !== "" && (protocol === "TCP" || protocol === "UDP")) {
    fail([...path, "hostname"], `must be left out for protocol ${protocol}, which has no names`);
  }
  if (tls !== undefined && (tls.mode ?? "Terminate") === "Terminate") {
    const { certificateRefs = [], options = {} } = tls;
    if (certificateRefs.length === 0 && Object.keys(options).length === 0) {
      fail([...path, "tls", "certificateRefs"], "must name a Secret for mode Terminate");
    }
  }
};

const listeners: Check = (value, path) => {
  list(listener, 1, 64)(value, path);
  const names = new Set<string>();
  const places = new Set<string>();
  (value as readonly ListenerShape[]).forEach(
    ({ name, port: number, protocol, hostname = "" }, i) => {
      if (names.has(name)) fail([...path, i, "name"], `is ${describe(name)} a second time`);
      names.add(name);
      const place = `${protocol} ${number} ${hostname}`.trimEnd();
      if (places.has(place)) {
        fail(
          [...path, i],
          `is ${place} a second time; listeners differ in port, protocol or hostname`,
        );
      }
      places.add(place);
    },
  );
};

const address: Check = (value, path) => {
  strictObject({ type: string, value: matching(/^/, 253, "at most 253 characters") })(value, path);
  const { type = "IPAddress", value: text = "" } = value as {
    readonly type?: string;
    readonly value?: string;
  };
  if (text === "") return;
  if (type === "IPAddress" && tryParseIp(text) === undefined) {
    fail([...path, "value"], `must be an IP address, not ${describe(text)}`);
  }
  if (type === "Hostname") hostOrWildcard(text, [...path, "value"]);
};

const gatewaySpec = strictObject(
  {
    gatewayClassName: objectName,
    listeners,
    addresses: list(address, 0, 16),
    infrastructure: strictObject({
      labels: texts,
      annotations: texts,
      parametersRef: classReference,
    }),
    allowedListeners: strictObject({ namespaces: namespaces("All", "Selector", "Same", "None") }),
    tls: unread,
    backendTLS: unread,
    defaultScope: oneOf("All", "None"),
  },
  ["gatewayClassName", "listeners"],
);

const listenerSetSpec = strictObject({ parentRef: objectReference, listeners }, [
  "parentRef",
  "listeners",
]);

const referenceGrantSpec = strictObject(
  {
    from: list(
      strictObject({ group, kind: kindName, namespace: dnsLabel }, ["group", "kind", "namespace"]),
      1,
      16,
    ),
    to: list(strictObject({ group, kind: kindName, name: objectName }, ["group", "kind"]), 1, 16),
  },
  ["from", "to"],
);

const subjectAltName: Check = (value, path) => {
  strictObject({ type: oneOf("Hostname", "URI"), hostname: hostOrWildcard, uri: string }, ["type"])(
    value,
    path,
  );
  const { type, hostname, uri } = value as {
    readonly type: string;
    readonly hostname?: string;
    readonly uri?: string;
  };
  const [field, given, other] =
    type === "Hostname" ? ["hostname", hostname, uri] : ["uri", uri, hostname];
  if (given === undefined) fail([...path, field as string], `is required for type ${type}`);
  if (other !== undefined) fail(path, `must have ${field} alone for type ${type}`);
};

const validation: Check = (value, path) => {
  strictObject(
    {
      caCertificateRefs: list(
        strictObject({ group, kind: kindName, name: objectName }, ["group", "kind", "name"]),
        0,
        8,
      ),
      wellKnownCACertificates: string,
      hostname: preciseHost,
      subjectAltNames: list(subjectAltName, 0, 5),
    },
    ["hostname"],
  )(value, path);
  const { caCertificateRefs = [], wellKnownCACertificates = "" } = value as {
    readonly caCertificateRefs?: readonly unknown[];
    readonly wellKnownCACertificates?: string;
  };
  if (caCertificateRefs.length > 0 === (wellKnownCACertificates === "")) return;
  fail(path, "must have exactly one of caCertificateRefs and wellKnownCACertificates");
};

const backendTlsPolicySpec = strictObject(
  {
    targetRefs: list(
      strictObject({ group, kind: kindName, name: objectName, sectionName }, [
        "group",
        "kind",
        "name",
      ]),
      1,
      16,
    ),
    validation,
    options: texts,
  },
  ["targetRefs", "validation"],
);

export const GATEWAY_CHECKS: Readonly<Record<string, KindChecks>> = {
  GatewayClass: gatewayKind(gatewayClassSpec, "v1beta1", "v1alpha2"),
  Gateway: gatewayKind(gatewaySpec, "v1beta1", "v1alpha2"),
  ListenerSet: gatewayKind(listenerSetSpec),
  XListenerSet: {
    ...kind(EXPERIMENTAL_GROUP, { spec: listenerSetSpec }),
    version: "v1alpha1",
  },
  ReferenceGrant: gatewayKind(referenceGrantSpec, "v1beta1", "v1alpha2"),
  BackendTLSPolicy: gatewayKind(backendTlsPolicySpec, "v1alpha3"),
  ...GATEWAY_ROUTE_CHECKS,
};
