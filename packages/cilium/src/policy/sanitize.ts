import type { LabelSelector } from "@cnilab/core";
import { type FieldPath, fail, selector } from "@cnilab/core/validation";
import { type InterfaceAddress, Prefix, tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";
import type {
  CIDRRule,
  EgressRule,
  FQDNSelector,
  ICMPRule,
  IngressRule,
  L4Proto,
  L7Rules,
  PortDenyRule,
  PortProtocol,
  PortRule,
  Rule,
} from "../api/v2/rule.ts";
import { EndpointSelector } from "../labels/endpoint-selector.ts";
import { goExpression } from "../labels/go-expression.ts";
import { isEntity } from "./entities.ts";
import { icmpType } from "./icmp-types.ts";
import { hasL7Rules } from "./l7-rules.ts";
import type { PolicySettings } from "./policy-settings.ts";
import { isPortName, parsePort } from "./port-text.ts";

// What an agent refuses of a rule that the API server took (pkg/policy/api/rule_validation.go). An object with such a rule counts
// for nothing, and its condition Valid is False.

type Side = "ingress" | "egress";
type AnyRule = IngressRule & EgressRule;

const MAX_PORTS = 40;

/** @param path of the rule, such as `spec`. @throws FieldError */
export function checkRule(rule: Rule, path: FieldPath, settings: PolicySettings): void {
  const sections = [
    ["ingress", rule.ingress, "ingress", false],
    ["ingressDeny", rule.ingressDeny, "ingress", true],
    ["egress", rule.egress, "egress", false],
    ["egressDeny", rule.egressDeny, "egress", true],
  ] as const;
  if (sections.every(([, rules]) => (rules?.length ?? 0) === 0)) {
    fail(path, "must have a rule in ingress, ingressDeny, egress or egressDeny");
  }
  const subject = (["endpointSelector", "nodeSelector"] as const).filter(
    (name) => rule[name] !== undefined,
  );
  if (subject.length !== 1) fail(path, "must have exactly one of endpointSelector, nodeSelector");
  const name = subject[0] as "endpointSelector" | "nodeSelector";
  checkSelector(rule[name] as LabelSelector, [...path, name]);
  for (const [section, rules = [], side, isDeny] of sections) {
    rules.forEach((each, i) => {
      checkPeerRule(each as AnyRule, [...path, section, i], {
        side,
        isDeny,
        isNode: name === "nodeSelector",
        settings,
      });
    });
  }
}

interface Where {
  readonly side: Side;
  readonly isDeny: boolean;
  readonly isNode: boolean;
  readonly settings: PolicySettings;
}

const KINDS_OF_PEERS = {
  ingress: ["fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities", "fromNodes", "fromGroups"],
  egress: [
    "toEndpoints",
    "toCIDR",
    "toCIDRSet",
    "toEntities",
    "toServices",
    "toGroups",
    "toNodes",
    "toFQDNs",
  ],
} as const;

function checkPeerRule(rule: AnyRule, path: FieldPath, where: Where): void {
  const { side, isDeny, settings } = where;
  const given = KINDS_OF_PEERS[side].filter((name) => (rule[name]?.length ?? 0) > 0);
  if (given.length > 1) {
    fail(
      [...path, given[1] as string],
      `cannot stand beside ${given[0]}; make it a rule of its own`,
    );
  }
  const nodes = side === "ingress" ? "fromNodes" : "toNodes";
  if ((rule[nodes]?.length ?? 0) > 0 && !settings.nodeSelectorLabels) {
    fail([...path, nodes], "needs the setting nodeSelectorLabels: true");
  }
  const selectors =
    side === "ingress"
      ? (["fromEndpoints", "fromRequires", "fromNodes"] as const)
      : (["toEndpoints", "toRequires", "toNodes"] as const);
  for (const name of selectors) {
    rule[name]?.forEach((each, i) => {
      checkSelector(each, [...path, name, i]);
    });
  }
  const cidrs = side === "ingress" ? "fromCIDR" : "toCIDR";
  rule[cidrs]?.forEach((each, i) => {
    checkCidr(each, [...path, cidrs, i]);
  });
  const sets = side === "ingress" ? "fromCIDRSet" : "toCIDRSet";
  rule[sets]?.forEach((each, i) => {
    checkCidrRule(each, [...path, sets, i]);
  });
  const entities = side === "ingress" ? "fromEntities" : "toEntities";
  rule[entities]?.forEach((each, i) => {
    if (!isEntity(each)) fail([...path, entities, i], `is no entity: ${each}`);
  });
  if (!isDeny) checkL7Support(rule, path, where);
  if ((rule.icmps?.length ?? 0) > 0 && (rule.toPorts?.length ?? 0) > 0) {
    fail([...path, "icmps"], "cannot stand beside toPorts; make it a rule of its own");
  }
  rule.toPorts?.forEach((each, i) => {
    checkPortRule(each, [...path, "toPorts", i], where);
  });
  rule.icmps?.forEach((each, i) => {
    checkIcmp(each, [...path, "icmps", i]);
  });
  rule.toFQDNs?.forEach((each, i) => {
    checkFqdn(each, [...path, "toFQDNs", i], true);
  });
}

/** Which proxies there are for which side; a node has that of DNS alone. */
function checkL7Support(rule: AnyRule, path: FieldPath, { side, isNode, settings }: Where): void {
  rule.toPorts?.forEach(({ rules }, i) => {
    if (!hasL7Rules(rules)) return;
    const at = [...path, "toPorts", i, "rules"];
    if (!settings.l7Proxy) fail(at, "needs the setting l7Proxy: true");
    if (side === "ingress" && isNode) fail(at, "cannot be for what comes in to nodes");
    const refused: readonly (keyof L7Rules)[] =
      side === "ingress" ? ["dns"] : isNode ? ["http", "kafka"] : [];
    const kind = refused.find((name) => ((rules[name] as readonly unknown[])?.length ?? 0) > 0);
    if (kind !== undefined) {
      fail([...at, kind], `cannot be for ${side}${isNode ? " of nodes" : ""}`);
    }
  });
}

/** With sources in its keys it must still be a selector of Kubernetes. */
function checkSelector(given: LabelSelector, path: FieldPath): void {
  const { matchLabels, matchExpressions } = EndpointSelector.fromPolicy(given);
  selector({ matchLabels: Object.fromEntries(matchLabels), matchExpressions }, [...path]);
}

/** A range, or one address. */
function checkCidr(text: string, path: FieldPath): void {
  if (tryParseInterfaceAddress(text) !== undefined || tryParseIp(text) !== undefined) return;
  fail(path, `must be a range such as 10.0.0.0/8 or an address, not ${JSON.stringify(text)}`);
}

function checkCidrRule(rule: CIDRRule, path: FieldPath): void {
  const given = (["cidr", "cidrGroupRef", "cidrGroupSelector"] as const).filter((name) =>
    Boolean(rule[name]),
  );
  if (given.length !== 1) {
    fail(path, "must have exactly one of cidr, cidrGroupRef, cidrGroupSelector");
  }
  if (rule.cidrGroupSelector !== undefined) {
    const { matchLabels, matchExpressions } = EndpointSelector.withPrefix(
      rule.cidrGroupSelector,
      "cidrgroup.",
    );
    selector({ matchLabels: Object.fromEntries(matchLabels), matchExpressions }, [
      ...path,
      "cidrGroupSelector",
    ]);
  }
  if (given[0] !== "cidr") return;
  const text = rule.cidr as string;
  const range = tryParseInterfaceAddress(text);
  if (range === undefined) {
    fail([...path, "cidr"], `must be a range such as 10.0.0.0/8, not ${JSON.stringify(text)}`);
  }
  const { address, length } = range as InterfaceAddress;
  const whole = new Prefix(address, length);
  rule.except?.forEach((each, i) => {
    const hole = tryParseInterfaceAddress(each);
    if (hole !== undefined && whole.contains(hole.address)) return;
    fail([...path, "except", i], `must lie in cidr ${text}, not ${JSON.stringify(each)}`);
  });
}

function checkPortRule(rule: PortRule & PortDenyRule, path: FieldPath, where: Where): void {
  const { rules, ports = [], listener, serverNames = [], terminatingTLS } = rule;
  const isIngress = where.side === "ingress";
  const forDns = !where.isDeny && (rules?.dns?.length ?? 0) > 0;
  const forProxy = !where.isDeny && hasL7Rules(rules);
  if (serverNames.length > 0 && forProxy && terminatingTLS === undefined) {
    fail([...path, "serverNames"], "cannot stand beside rules without terminatingTLS");
  }
  const unnamed = serverNames.indexOf("");
  if (unnamed >= 0) fail([...path, "serverNames", unnamed], "must not be empty");
  if (ports.length > MAX_PORTS) {
    fail([...path, "ports"], `must have at most ${MAX_PORTS} items, not ${ports.length}`);
  }
  let hasZero = false;
  ports.forEach((each, i) => {
    const at = [...path, "ports", i];
    if (checkPort(each, at, forDns)) hasZero = true;
    const protocol = protocolOf(each);
    if (forProxy && !forDns && protocol !== "TCP") {
      fail([...at, "protocol"], `must be TCP beside rules, not ${protocol}`);
    }
  });
  if (listener !== undefined) {
    if (isIngress) fail([...path, "listener"], "can be for egress alone");
    if (forProxy) fail([...path, "listener"], "cannot stand beside rules");
  }
  if (!forProxy) return;
  if (hasZero) fail([...path, "rules"], "cannot be for port 0, which is every port");
  checkL7Rules(rules as L7Rules, ports, [...path, "rules"]);
}

/** @returns whether it is port 0: all of them */
function checkPort(given: PortProtocol, path: FieldPath, forDns: boolean): boolean {
  const { port, endPort = 0 } = given;
  if (port === "") fail([...path, "port"], "must not be empty");
  const number = isPortName(port) ? undefined : parsePort(port);
  if (number === undefined && !isPortName(port)) {
    fail([...path, "port"], `must be a port or the name of one, not ${JSON.stringify(port)}`);
  }
  if (forDns && number !== undefined && endPort > number) {
    fail([...path, "endPort"], "cannot stand beside rules for DNS");
  }
  const protocol = protocolOf(given);
  if (!["ANY", "TCP", "UDP", "SCTP"].includes(protocol)) {
    fail([...path, "protocol"], `must be TCP, UDP, SCTP or ANY, not ${JSON.stringify(protocol)}`);
  }
  return number === 0;
}

function protocolOf({ protocol }: PortProtocol): L4Proto {
  return ((protocol as string | undefined) || "ANY").toUpperCase() as L4Proto;
}

function checkL7Rules(rules: L7Rules, ports: readonly PortProtocol[], path: FieldPath): void {
  const kinds = [
    rules.http !== undefined && "http",
    rules.kafka !== undefined && "kafka",
    rules.dns !== undefined && "dns",
    Boolean(rules.l7proto) && "l7proto",
  ].filter((kind) => kind !== false);
  rules.http?.forEach((each, i) => {
    for (const field of ["path", "method"] as const) {
      checkExpression(each[field], [...path, "http", i, field]);
    }
    each.headerMatches?.forEach(({ name }, j) => {
      if (name === "") fail([...path, "http", i, "headerMatches", j, "name"], "must not be empty");
    });
  });
  if (rules.dns !== undefined && ports.length === 0) {
    fail([...path, "dns"], "needs port 53 beside it");
  }
  rules.dns?.forEach((each, i) => {
    checkFqdn(each, [...path, "dns", i], false);
  });
  if (rules.l7 !== undefined && !rules.l7proto) {
    fail([...path, "l7"], "needs l7proto beside it");
  }
  rules.l7?.forEach((each, i) => {
    if (Object.hasOwn(each, "")) fail([...path, "l7", i], "must have no key that is empty");
  });
  if (kinds.length > 1) {
    fail(
      [...path, kinds[1] as string],
      `cannot stand beside ${kinds[0]}; make it a rule of its own`,
    );
  }
}

function checkExpression(text: string | undefined, path: FieldPath): void {
  if (text === undefined || text === "") return;
  try {
    goExpression(text);
  } catch {
    fail(path, `must be a regular expression, not ${JSON.stringify(text)}`);
  }
}

function checkIcmp({ fields = [] }: ICMPRule, path: FieldPath): void {
  if (fields.length > MAX_PORTS) {
    fail([...path, "fields"], `must have at most ${MAX_PORTS} items, not ${fields.length}`);
  }
  fields.forEach((field, i) => {
    const { family = "IPv4", type } = field;
    if (family !== "IPv4" && family !== "IPv6") {
      fail([...path, "fields", i, "family"], `must be IPv4 or IPv6, not ${family}`);
    }
    if (icmpType(field) === undefined) {
      fail([...path, "fields", i, "type"], `is no type of ICMP for ${family}: ${type}`);
    }
  });
}

function checkFqdn(given: FQDNSelector, path: FieldPath, onlyOne: boolean): void {
  const { matchName = "", matchPattern = "" } = given;
  if (onlyOne && matchName !== "" && matchPattern !== "") {
    fail([...path, "matchPattern"], "cannot stand beside matchName");
  }
  if (matchName !== "" && !/^[-a-zA-Z0-9_.]+$/.test(matchName)) {
    fail([...path, "matchName"], `must be a name of DNS, not ${JSON.stringify(matchName)}`);
  }
  if (matchPattern !== "" && !/^[-a-zA-Z0-9_.*]+$/.test(matchPattern)) {
    fail(
      [...path, "matchPattern"],
      `must be a pattern of names of DNS, not ${JSON.stringify(matchPattern)}`,
    );
  }
}

/** Ports as the agent keeps them: names in lower case, a protocol always. */
export function sanitizePorts(
  rules: readonly (PortRule | PortDenyRule)[] | undefined,
): readonly PortRule[] {
  return (rules ?? []).map((rule) => ({
    ...rule,
    ...(rule.ports !== undefined && {
      ports: rule.ports.map((each) => {
        const { port, endPort } = each;
        return {
          port: isPortName(port) ? port.toLowerCase() : port,
          ...(endPort && { endPort }),
          protocol: protocolOf(each),
        };
      }),
    }),
  }));
}
