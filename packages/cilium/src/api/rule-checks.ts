import {
  boolean,
  type Check,
  describe,
  fail,
  integer,
  list,
  map,
  matching,
  oneOf,
  strictObject,
  string,
} from "@cnilab/core/validation";
import { cidr, selectorSchema, withOneOf } from "./field-checks.ts";

// A rule as the API server checks it (pkg/k8s/apis/cilium.io/client/crds/v2/ciliumnetworkpolicies.yaml); what the agent
// refuses beyond that is told by policy/sanitize.ts.

/** `world-ipv4` and `world-ipv6` are known to the agent alone. */
const entity = oneOf(
  "all",
  "world",
  "cluster",
  "host",
  "init",
  "ingress",
  "unmanaged",
  "remote-node",
  "health",
  "none",
  "kube-apiserver",
);

const cidrRule = withOneOf(
  strictObject({
    cidr,
    cidrGroupRef: matching(
      /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
      253,
      "the name of a CiliumCIDRGroup",
    ),
    cidrGroupSelector: selectorSchema,
    except: list(cidr),
  }),
  "cidr",
  "cidrGroupRef",
  "cidrGroupSelector",
);

/** Without the repeated groups of the schema's pattern: the same texts, whatever their length, at once. */
const matchName = matching(
  /^[-a-zA-Z0-9_](?:[-a-zA-Z0-9_]|\.(?!\.))*$/,
  255,
  "a name of DNS, such as www.example.com",
);
const matchPattern = matching(
  /^[-a-zA-Z0-9_*](?:[-a-zA-Z0-9_*]|\.(?!\.))*$/,
  255,
  "a pattern of names of DNS, such as *.example.com",
);
const fqdn = withOneOf(strictObject({ matchName, matchPattern }), "matchName", "matchPattern");

const texts = map(() => undefined, string);
const groups = strictObject({
  aws: strictObject({
    labels: texts,
    region: string,
    securityGroupsIds: list(string),
    securityGroupsNames: list(string),
  }),
});

const service = strictObject({
  k8sService: strictObject({ namespace: string, serviceName: string }),
  k8sServiceSelector: strictObject({ namespace: string, selector: selectorSchema }, ["selector"]),
});

const NUMBER_AT_START = /^[0-9]/;
const NAME_AT_END = /[a-zA-Z](?:-?[a-zA-Z0-9])*$/;

const port: Check = (value, path) => {
  string(value, path);
  const text = value as string;
  if (NUMBER_AT_START.test(text) || NAME_AT_END.test(text)) return;
  fail(path, `must be a port such as "80", or the name of one, not ${describe(value)}`);
};

const ports = list(
  strictObject(
    { port, endPort: integer(0, 65_535), protocol: oneOf("TCP", "UDP", "SCTP", "ANY") },
    ["port"],
  ),
  0,
  40,
);

const secret = strictObject({ name: string, namespace: string }, ["name"]);
const tls = strictObject({ secret, trustedCA: string, certificate: string, privateKey: string }, [
  "secret",
]);

const someText: Check = (value, path) => {
  string(value, path);
  if (value === "") fail(path, "must not be empty");
};

const listener = strictObject(
  {
    envoyConfig: strictObject(
      { kind: oneOf("CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"), name: someText },
      ["name"],
    ),
    name: someText,
    priority: integer(1, 100),
  },
  ["envoyConfig", "name"],
);

const l7Rules = withOneOf(
  strictObject({
    http: list(
      strictObject({
        path: string,
        method: string,
        host: string,
        headers: list(string),
        headerMatches: list(
          strictObject(
            {
              name: someText,
              value: string,
              secret,
              mismatch: oneOf("LOG", "ADD", "DELETE", "REPLACE"),
            },
            ["name"],
          ),
        ),
      }),
    ),
    kafka: list(
      strictObject({
        role: oneOf("produce", "consume"),
        apiKey: string,
        apiVersion: string,
        clientID: string,
        topic: matching(/^[\s\S]*$/, 255, "at most 255 characters long"),
      }),
    ),
    dns: list(fqdn),
    l7proto: string,
    l7: list(texts),
  }),
  "http",
  "kafka",
  "dns",
  "l7proto",
);

const serverName = matching(
  /^(?:\*?\*\.)?[-a-zA-Z0-9_](?:[-a-zA-Z0-9_]|\.(?!\.))*$/,
  255,
  "the name of a server, such as www.example.com or *.example.com",
);

const toPorts = list(
  strictObject({
    ports,
    terminatingTLS: tls,
    originatingTLS: tls,
    serverNames: list(serverName, 1),
    listener,
    rules: l7Rules,
  }),
);
const toDenyPorts = list(strictObject({ ports }));

const ICMP_TYPE_NAMES =
  "EchoReply DestinationUnreachable Redirect Echo RouterAdvertisement RouterSelection TimeExceeded ParameterProblem \
Timestamp TimestampReply Photuris ExtendedEchoRequest PacketTooBig EchoRequest MulticastListenerQuery \
MulticastListenerReport MulticastListenerDone RouterSolicitation NeighborSolicitation NeighborAdvertisement \
RedirectMessage RouterRenumbering ICMPNodeInformationQuery ICMPNodeInformationResponse \
InverseNeighborDiscoverySolicitation InverseNeighborDiscoveryAdvertisement HomeAgentAddressDiscoveryRequest \
HomeAgentAddressDiscoveryReply MobilePrefixSolicitation MobilePrefixAdvertisement DuplicateAddressRequestCodeSuffix \
DuplicateAddressConfirmationCodeSuffix".split(" ");

const icmpType: Check = (value, path) => {
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text === "string") {
    if (/^(?:0|[1-9][0-9]{0,2})$/.test(text) && Number(text) <= 255) return;
    if (ICMP_TYPE_NAMES.includes(text)) return;
  }
  fail(
    path,
    `must be a number from 0 to 255 or a name such as EchoRequest, not ${describe(value)}`,
  );
};

const icmps = list(
  strictObject({
    fields: list(strictObject({ family: oneOf("IPv4", "IPv6"), type: icmpType }, ["type"]), 0, 40),
  }),
);

const authentication = strictObject({ mode: oneOf("disabled", "required", "test-always-fail") }, [
  "mode",
]);

const from = {
  fromEndpoints: list(selectorSchema),
  fromRequires: list(selectorSchema),
  fromCIDR: list(cidr),
  fromCIDRSet: list(cidrRule),
  fromEntities: list(entity),
  fromGroups: list(groups),
  fromNodes: list(selectorSchema),
  icmps,
};

const to = {
  toEndpoints: list(selectorSchema),
  toRequires: list(selectorSchema),
  toCIDR: list(cidr),
  toCIDRSet: list(cidrRule),
  toEntities: list(entity),
  toServices: list(service),
  toGroups: list(groups),
  toNodes: list(selectorSchema),
  icmps,
};

const ruleFields = strictObject({
  endpointSelector: selectorSchema,
  nodeSelector: selectorSchema,
  ingress: list(strictObject({ ...from, toPorts, authentication })),
  ingressDeny: list(strictObject({ ...from, toPorts: toDenyPorts })),
  egress: list(strictObject({ ...to, toFQDNs: list(fqdn), toPorts, authentication })),
  egressDeny: list(strictObject({ ...to, toPorts: toDenyPorts })),
  labels: list(strictObject({ key: string, value: string, source: string }, ["key"])),
  enableDefaultDeny: strictObject({ ingress: boolean, egress: boolean }),
  description: string,
  log: strictObject({
    value: matching(/^\P{C}*$/u, 32, "at most 32 characters, none of them a control character"),
  }),
});

const SECTIONS = ["ingress", "ingressDeny", "egress", "egressDeny"] as const;

/** `spec`, and each item of `specs`. */
export const ruleSchema: Check = (value, path) => {
  withOneOf(ruleFields, "endpointSelector", "nodeSelector")(value, path);
  const rule = value as Readonly<Record<string, unknown>>;
  if (SECTIONS.some((name) => rule[name] !== undefined)) return;
  fail(path, `must have one of ${SECTIONS.join(", ")}`);
};
