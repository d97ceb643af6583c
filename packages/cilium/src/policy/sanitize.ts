import type { LabelSelector } from "@cnilab/core";
import { FieldError, type FieldPath, formatPath, selector } from "@cnilab/core/validation";
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
import { refuse } from "./refusal.ts";

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
    refuse(
      path,
      "must have a rule in ingress, ingressDeny, egress or egressDeny",
      "rule must have at least one of Ingress, IngressDeny, Egress, EgressDeny",
    );
  }
  const subject = (["endpointSelector", "nodeSelector"] as const).filter(
    (name) => rule[name] !== undefined,
  );
  if (subject.length !== 1) {
    refuse(
      path,
      "must have exactly one of endpointSelector, nodeSelector",
      subject.length === 0
        ? "rule must have one of EndpointSelector or NodeSelector"
        : "rule cannot have both EndpointSelector and NodeSelector",
    );
  }
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
    // Which two, and in which order, is chance with the real one.
    const [x, y] = given.map(upperFirst).sort();
    refuse(
      [...path, given[1] as string],
      `cannot stand beside ${given[0]}; make it a rule of its own`,
      `combining ${x} and ${y} is not supported yet`,
    );
  }
  const nodes = side === "ingress" ? "fromNodes" : "toNodes";
  if ((rule[nodes]?.length ?? 0) > 0 && !settings.nodeSelectorLabels) {
    refuse(
      [...path, nodes],
      "needs the setting nodeSelectorLabels: true",
      'FromNodes/ToNodes rules can only be applied when the "enable-node-selector-labels" flag is set',
    );
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
    if (isEntity(each)) return;
    refuse([...path, entities, i], `is no entity: ${each}`, `unsupported entity: ${each}`);
  });
  if (!isDeny) checkL7Support(rule, path, where);
  if ((rule.icmps?.length ?? 0) > 0 && (rule.toPorts?.length ?? 0) > 0) {
    refuse(
      [...path, "icmps"],
      "cannot stand beside toPorts; make it a rule of its own",
      "the ICMPs block may only be present without ToPorts. Define a separate rule to use ToPorts",
    );
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
    if (side === "ingress" && isNode) {
      const agentMessage = "L7 policy is not supported on host ingress yet";
      refuse(at, "cannot be for what comes in to nodes", agentMessage);
    }
    if (!settings.l7Proxy) {
      const agentMessage = "L7 policy is not supported since L7 proxy is not enabled";
      refuse(at, "needs the setting l7Proxy: true", agentMessage);
    }
    const refused: readonly (keyof L7Rules)[] =
      side === "ingress" ? ["dns"] : isNode ? ["http", "kafka"] : [];
    const kind = refused.find((name) => ((rules[name] as readonly unknown[])?.length ?? 0) > 0);
    if (kind !== undefined) {
      refuse(
        [...at, kind],
        `cannot be for ${side}${isNode ? " of nodes" : ""}`,
        `L7 protocol ${L7_NAMES[kind] ?? kind} is not supported on ${isNode ? "host " : ""}${side} yet`,
      );
    }
  });
}

/** With sources in its keys it must still be a selector of Kubernetes. */
function checkSelector(given: LabelSelector, path: FieldPath): void {
  const { matchLabels, matchExpressions } = EndpointSelector.fromPolicy(given);
  asRefusal("invalid label selector: ", () =>
    selector({ matchLabels: Object.fromEntries(matchLabels), matchExpressions }, [...path]),
  );
}

/** A range, or one address. */
function checkCidr(text: string, path: FieldPath): void {
  if (tryParseInterfaceAddress(text) !== undefined || tryParseIp(text) !== undefined) return;
  refuse(
    path,
    `must be a range such as 10.0.0.0/8 or an address, not ${JSON.stringify(text)}`,
    text === "" ? "IP must be specified" : `unable to parse CIDR: ${addressError(text)}`,
  );
}

function checkCidrRule(rule: CIDRRule, path: FieldPath): void {
  const given = (["cidr", "cidrGroupRef", "cidrGroupSelector"] as const).filter((name) =>
    Boolean(rule[name]),
  );
  if (given.length !== 1) {
    refuse(
      path,
      "must have exactly one of cidr, cidrGroupRef, cidrGroupSelector",
      given.length === 0
        ? "one of cidr, cidrGroupRef, or cidrGroupSelector is required"
        : "more than one of cidr, cidrGroupRef, or cidrGroupSelector may not be set",
    );
  }
  if (rule.cidrGroupSelector !== undefined) {
    const { matchLabels, matchExpressions } = EndpointSelector.withPrefix(
      rule.cidrGroupSelector,
      "cidrgroup.",
    );
    asRefusal("failed to parse cidrGroupSelector: ", () =>
      selector({ matchLabels: Object.fromEntries(matchLabels), matchExpressions }, [
        ...path,
        "cidrGroupSelector",
      ]),
    );
  }
  if (given[0] !== "cidr") return;
  const text = rule.cidr as string;
  const range = tryParseInterfaceAddress(text);
  if (range === undefined) {
    refuse(
      [...path, "cidr"],
      `must be a range such as 10.0.0.0/8, not ${JSON.stringify(text)}`,
      `unable to parse CIDRRule ${JSON.stringify(text)}: ${prefixError(text)}`,
    );
  }
  const { address, length } = range as InterfaceAddress;
  const whole = new Prefix(address, length);
  rule.except?.forEach((each, i) => {
    const hole = tryParseInterfaceAddress(each);
    if (hole !== undefined && whole.contains(hole.address)) return;
    refuse(
      [...path, "except", i],
      `must lie in cidr ${text}, not ${JSON.stringify(each)}`,
      hole === undefined
        ? prefixError(each)
        : `allow CIDR prefix ${text} does not contain exclude CIDR prefix ${each}`,
    );
  });
}

function checkPortRule(rule: PortRule & PortDenyRule, path: FieldPath, where: Where): void {
  const { rules, ports = [], listener, serverNames = [], terminatingTLS } = rule;
  const isIngress = where.side === "ingress";
  const forDns = !where.isDeny && (rules?.dns?.length ?? 0) > 0;
  const forProxy = !where.isDeny && hasL7Rules(rules);
  if (serverNames.length > 0 && forProxy && terminatingTLS === undefined) {
    refuse(
      [...path, "serverNames"],
      "cannot stand beside rules without terminatingTLS",
      "ServerNames are not allowed with L7 rules without TLS termination",
    );
  }
  const unnamed = serverNames.indexOf("");
  if (unnamed >= 0) {
    refuse(
      [...path, "serverNames", unnamed],
      "must not be empty",
      "empty server name is not allowed",
    );
  }
  if (ports.length > MAX_PORTS) {
    refuse(
      [...path, "ports"],
      `must have at most ${MAX_PORTS} items, not ${ports.length}`,
      `too many ports, the max is ${MAX_PORTS}`,
    );
  }
  let hasZero = false;
  ports.forEach((each, i) => {
    const at = [...path, "ports", i];
    if (checkPort(each, at, forDns)) hasZero = true;
    const protocol = protocolOf(each);
    if (forProxy && !forDns && protocol !== "TCP") {
      refuse(
        [...at, "protocol"],
        `must be TCP beside rules, not ${protocol}`,
        `L7 rules can only apply to TCP (not ${protocol}) except for DNS rules`,
      );
    }
  });
  if (listener !== undefined) {
    const at = [...path, "listener"];
    const { name } = listener;
    if (isIngress) {
      refuse(at, "can be for egress alone", `Listener is not allowed on ingress (${name})`);
    }
    if (forProxy) {
      refuse(at, "cannot stand beside rules", `Listener is not allowed with L7 rules (${name})`);
    }
  }
  if (!forProxy) return;
  if (hasZero) {
    refuse(
      [...path, "rules"],
      "cannot be for port 0, which is every port",
      "L7 rules can not be used when a port is 0",
    );
  }
  checkL7Rules(rules as L7Rules, ports, [...path, "rules"]);
}

/** @returns whether it is port 0: all of them */
function checkPort(given: PortProtocol, path: FieldPath, forDns: boolean): boolean {
  const { port, endPort = 0 } = given;
  if (port === "") refuse([...path, "port"], "must not be empty", "Port must be specified");
  const number = isPortName(port) ? undefined : parsePort(port);
  if (number === undefined && !isPortName(port)) {
    const reason = /^[0-9]+$/.test(port) ? "value out of range" : "invalid syntax";
    refuse(
      [...path, "port"],
      `must be a port or the name of one, not ${JSON.stringify(port)}`,
      `unable to parse port: strconv.ParseUint: parsing ${JSON.stringify(port)}: ${reason}`,
    );
  }
  if (forDns && number !== undefined && endPort > number) {
    refuse(
      [...path, "endPort"],
      "cannot stand beside rules for DNS",
      "DNS rules do not support port ranges",
    );
  }
  const protocol = protocolOf(given);
  if (!["ANY", "TCP", "UDP", "SCTP"].includes(protocol)) {
    refuse(
      [...path, "protocol"],
      `must be TCP, UDP, SCTP or ANY, not ${JSON.stringify(protocol)}`,
      `invalid protocol ${JSON.stringify(protocol)}, must be { tcp | udp | sctp | any }`,
    );
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
      if (name !== "") return;
      const at = [...path, "http", i, "headerMatches", j, "name"];
      refuse(at, "must not be empty", "Header name missing");
    });
  });
  if (rules.dns !== undefined && ports.length === 0) {
    refuse([...path, "dns"], "needs port 53 beside it", "port 53 must be specified for DNS rules");
  }
  rules.dns?.forEach((each, i) => {
    checkFqdn(each, [...path, "dns", i], false);
  });
  if (rules.l7 !== undefined && !rules.l7proto) {
    refuse(
      [...path, "l7"],
      "needs l7proto beside it",
      "'l7' may only be specified when a 'l7proto' is also specified",
    );
  }
  rules.l7?.forEach((each, i) => {
    if (!Object.hasOwn(each, "")) return;
    refuse([...path, "l7", i], "must have no key that is empty", "Empty key not allowed");
  });
  if (kinds.length > 1) {
    refuse(
      [...path, kinds[1] as string],
      `cannot stand beside ${kinds[0]}; make it a rule of its own`,
      "multiple L7 protocol rule types specified in single rule",
    );
  }
}

function checkExpression(text: string | undefined, path: FieldPath): void {
  if (text === undefined || text === "") return;
  try {
    goExpression(text);
  } catch {
    refuse(
      path,
      `must be a regular expression, not ${JSON.stringify(text)}`,
      `error parsing regexp: ${text}`,
    );
  }
}

function checkIcmp({ fields = [] }: ICMPRule, path: FieldPath): void {
  if (fields.length > MAX_PORTS) {
    refuse(
      [...path, "fields"],
      `must have at most ${MAX_PORTS} items, not ${fields.length}`,
      `too many types, the max is ${MAX_PORTS}`,
    );
  }
  fields.forEach((field, i) => {
    const { family = "IPv4", type } = field;
    if (family !== "IPv4" && family !== "IPv6") {
      refuse(
        [...path, "fields", i, "family"],
        `must be IPv4 or IPv6, not ${family}`,
        `wrong family: ${family}`,
      );
    }
    if (icmpType(field) === undefined) {
      refuse(
        [...path, "fields", i, "type"],
        `is no type of ICMP for ${family}: ${type}`,
        `ICMP type ${type} not found in ${field.family ?? ""}`,
      );
    }
  });
}

function checkFqdn(given: FQDNSelector, path: FieldPath, onlyOne: boolean): void {
  const { matchName = "", matchPattern = "" } = given;
  if (onlyOne && matchName !== "" && matchPattern !== "") {
    refuse(
      [...path, "matchPattern"],
      "cannot stand beside matchName",
      "only one of MatchName or MatchPattern is allowed in an FQDNSelector",
    );
  }
  if (matchName !== "" && !/^[-a-zA-Z0-9_.]+$/.test(matchName)) {
    refuse(
      [...path, "matchName"],
      `must be a name of DNS, not ${JSON.stringify(matchName)}`,
      `Invalid characters in MatchName: "${matchName}". Only 0-9, a-z, A-Z and . and - characters are allowed`,
    );
  }
  if (matchPattern !== "" && !/^[-a-zA-Z0-9_.*]+$/.test(matchPattern)) {
    refuse(
      [...path, "matchPattern"],
      `must be a pattern of names of DNS, not ${JSON.stringify(matchPattern)}`,
      `Invalid characters in MatchPattern: "${matchPattern}". Only 0-9, a-z, A-Z and ., - and * characters are allowed`,
    );
  }
}

const L7_NAMES: Readonly<Partial<Record<keyof L7Rules, string>>> = {
  dns: "DNS",
  http: "HTTP",
  kafka: "Kafka",
};

function upperFirst(name: string): string {
  return `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
}

/** What the field checks of selectors say is said as the agent says it. @throws RefusedRuleError */
function asRefusal(before: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    const message = error.message.slice(formatPath(error.path).length + 1);
    refuse(error.path, message, `${before}${error.message}`);
  }
}

/** As Go's net/netip says it of the forms that people write. */
function addressError(text: string): string {
  const slash = text.indexOf("/");
  const isAddress = tryParseIp(slash < 0 ? text : text.slice(0, slash)) !== undefined;
  const reason =
    isAddress && slash >= 0
      ? `unexpected character (at ${JSON.stringify(text.slice(slash))})`
      : "unable to parse IP";
  return `ParseAddr(${JSON.stringify(text)}): ${reason}`;
}

function prefixError(text: string): string {
  const slash = text.indexOf("/");
  const quoted = JSON.stringify(text);
  if (slash < 0) return `netip.ParsePrefix(${quoted}): no '/'`;
  const address = text.slice(0, slash);
  const length = text.slice(slash + 1);
  if (tryParseIp(address) === undefined) {
    return `netip.ParsePrefix(${quoted}): ${addressError(address)}`;
  }
  const reason = /^[0-9]{1,3}$/.test(length)
    ? "prefix length out of range"
    : "bad bits after slash: ";
  return `netip.ParsePrefix(${quoted}): ${reason}${reason.endsWith(" ") ? JSON.stringify(length) : ""}`;
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
