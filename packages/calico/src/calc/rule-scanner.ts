import type { ModelPolicy, ModelRule, ModelRuleSide } from "../conversion/model.ts";
import { normaliseSelector, type Selector } from "../selector/selector.ts";
import {
  type IpSetDefinition,
  type NamedPortProtocol,
  namedPortIpSet,
  portProtocol,
  selectorIpSet,
  serviceIpSet,
} from "./ip-set-definition.ts";
import type {
  HttpMatch,
  IcmpTypeAndCode,
  IpVersionName,
  Policy,
  PolicyId,
  PortRange,
  Profile,
  Rule,
  RuleProtocol,
  ServiceAccountMatch,
} from "./messages.ts";
import { withRuleIds } from "./rule-ids.ts";

/** Reads a selector; whoever scans many rules keeps those that were read. @throws SelectorError */
export type ReadSelector = (text: string) => Selector;

/** Rules in which IP sets stand for selectors, and those sets. */
export interface Scanned<T> {
  readonly message: T;
  /** Each once. */
  readonly ipSets: readonly IpSetDefinition[];
}

/** `felix/calc/rule_scanner.go` OnPolicyActive. @throws SelectorError */
export function scanPolicy(id: PolicyId, policy: ModelPolicy, read: ReadSelector): Scanned<Policy> {
  const ipSets = new Map<string, IpSetDefinition>();
  const inbound = policy.inboundRules.map((rule) => scanRule(rule, read, ipSets));
  const outbound = policy.outboundRules.map((rule) => scanRule(rule, read, ipSets));
  return {
    message: {
      ...(policy.namespace !== undefined && { namespace: policy.namespace }),
      tier: policy.tier,
      // Whatever the tier is: the seeds are older than tiers (`felix/calc/event_sequencer.go`).
      inboundRules: withRuleIds(inbound, `pol-in-default/${id.name}`),
      outboundRules: withRuleIds(outbound, `pol-out-default/${id.name}`),
      ...(policy.doNotTrack && { untracked: true }),
      ...(policy.preDnat && { preDnat: true }),
      originalSelector: normaliseSelector(policy.selector),
      ...(policy.performanceHints.length > 0 && { perfHints: policy.performanceHints }),
    },
    ipSets: [...ipSets.values()],
  };
}

/** `felix/calc/rule_scanner.go` OnProfileActive. @throws SelectorError */
export function scanProfile(
  name: string,
  {
    inboundRules,
    outboundRules,
  }: { readonly inboundRules: readonly ModelRule[]; readonly outboundRules: readonly ModelRule[] },
  read: ReadSelector,
): Scanned<Profile> {
  const ipSets = new Map<string, IpSetDefinition>();
  const inbound = inboundRules.map((rule) => scanRule(rule, read, ipSets));
  const outbound = outboundRules.map((rule) => scanRule(rule, read, ipSets));
  return {
    message: {
      inboundRules: withRuleIds(inbound, `prof-in-${name}`),
      outboundRules: withRuleIds(outbound, `prof-out-${name}`),
    },
    ipSets: [...ipSets.values()],
  };
}

type RuleFields = { -readonly [K in keyof Rule]?: Rule[K] };

/** `felix/calc/rule_scanner.go` ruleToParsedRule and `rule_convert.go` parsedRuleToProtoRule. */
function scanRule(
  rule: ModelRule,
  read: ReadSelector,
  ipSets: Map<string, IpSetDefinition>,
): Omit<Rule, "ruleId"> {
  const protocol: NamedPortProtocol =
    rule.protocol === undefined ? "any" : portProtocol(rule.protocol);
  const src = scanSide(rule.source, protocol, read);
  const dst = scanSide(rule.destination, protocol, read);
  const { source, destination } = rule;
  const dstService = destination.service && serviceIpSet(serviceKey(destination.service), true);
  const srcService = source.service && serviceIpSet(serviceKey(source.service), false);
  const ids = (...sets: readonly (readonly IpSetDefinition[])[]): readonly string[] => {
    const list = sets.flat();
    for (const set of list) ipSets.set(set.id, set);
    return list.map(({ id }) => id);
  };
  const fields: RuleFields = { action: rule.action };
  set(fields, "ipVersion", ipVersionOf(rule));
  set(fields, "protocol", rule.protocol);
  list(fields, "srcNet", source.nets);
  list(fields, "srcPorts", src.ports);
  list(fields, "srcNamedPortIpSetIds", ids(src.namedPorts));
  list(fields, "dstNet", destination.nets);
  list(fields, "dstPorts", dst.ports);
  list(fields, "dstNamedPortIpSetIds", ids(dst.namedPorts));
  icmp(fields, "icmpType", "icmpTypeCode", rule.icmpType, rule.icmpCode);
  list(fields, "srcIpSetIds", ids(src.selectors, srcService === undefined ? [] : [srcService]));
  list(fields, "dstIpSetIds", ids(dst.selectors));
  list(fields, "dstIpPortSetIds", ids(dstService === undefined ? [] : [dstService]));
  set(fields, "notProtocol", rule.notProtocol);
  list(fields, "notSrcNet", source.notNets);
  list(fields, "notSrcPorts", src.notPorts);
  list(fields, "notDstNet", destination.notNets);
  list(fields, "notDstPorts", dst.notPorts);
  icmp(fields, "notIcmpType", "notIcmpTypeCode", rule.notIcmpType, rule.notIcmpCode);
  list(fields, "notSrcIpSetIds", ids(src.notSelectors));
  list(fields, "notDstIpSetIds", ids(dst.notSelectors));
  list(fields, "notSrcNamedPortIpSetIds", ids(src.notNamedPorts));
  list(fields, "notDstNamedPortIpSetIds", ids(dst.notNamedPorts));
  set(fields, "originalSrcSelector", source.originalSelector);
  set(fields, "originalDstSelector", destination.originalSelector);
  set(fields, "originalSrcNamespaceSelector", source.originalNamespaceSelector);
  set(fields, "originalDstNamespaceSelector", destination.originalNamespaceSelector);
  set(fields, "originalNotSrcSelector", source.originalNotSelector);
  set(fields, "originalNotDstSelector", destination.originalNotSelector);
  set(fields, "originalSrcService", source.service?.name);
  set(fields, "originalSrcServiceNamespace", source.service?.namespace || undefined);
  set(fields, "originalDstService", destination.service?.name);
  set(fields, "originalDstServiceNamespace", destination.service?.namespace || undefined);
  set(fields, "srcServiceAccountMatch", serviceAccountsOf(source));
  set(fields, "dstServiceAccountMatch", serviceAccountsOf(destination));
  set(fields, "httpMatch", httpOf(rule));
  set(fields, "metadata", rule.annotations && { annotations: rule.annotations });
  return fields as Omit<Rule, "ruleId">;
}

interface ScannedSide {
  readonly ports: readonly PortRange[];
  readonly notPorts: readonly PortRange[];
  readonly selectors: readonly IpSetDefinition[];
  readonly notSelectors: readonly IpSetDefinition[];
  readonly namedPorts: readonly IpSetDefinition[];
  readonly notNamedPorts: readonly IpSetDefinition[];
}

function scanSide(
  side: ModelRuleSide,
  protocol: NamedPortProtocol,
  read: ReadSelector,
): ScannedSide {
  const { selector = "", notSelector = "", ports = [], notPorts = [] } = side;
  // Among known endpoints, those that must not match are taken out of the set; without a selector strangers match, too.
  const combined =
    selector !== "" && notSelector !== "" ? `(${selector}) && (!(${notSelector}))` : selector;
  const positive = combined === "" ? undefined : read(combined);
  const negative = selector === "" && notSelector !== "" ? read(notSelector) : undefined;
  const numbers = ports.filter((port): port is PortRange => !("name" in port));
  // A named port's set holds only what the selector matches, and stands for it where no port has a number.
  const namedPorts = (list: ModelRuleSide["ports"]) =>
    (list ?? []).flatMap((port) =>
      "name" in port ? [namedPortIpSet(positive ?? read("all()"), port.name, protocol)] : [],
    );
  const named = namedPorts(ports);
  return {
    ports: numbers,
    notPorts: notPorts.filter((port): port is PortRange => !("name" in port)),
    selectors:
      positive !== undefined && (numbers.length > 0 || named.length === 0)
        ? [selectorIpSet(positive)]
        : [],
    notSelectors: negative === undefined ? [] : [selectorIpSet(negative)],
    namedPorts: named,
    notNamedPorts: namedPorts(notPorts),
  };
}

/** Without a namespace it is in none: then no Service has that key. */
function serviceKey({ namespace, name }: NonNullable<ModelRuleSide["service"]>): string {
  return `${namespace}/${name}`;
}

/** What the rule says, or what its protocol tells. */
function ipVersionOf({ ipVersion, protocol }: ModelRule): IpVersionName | undefined {
  if (ipVersion !== undefined) return ipVersion === 4 ? "IPV4" : "IPV6";
  if (protocol === undefined || !("name" in protocol)) return undefined;
  return protocol.name === "icmp" ? "IPV4" : protocol.name === "icmpv6" ? "IPV6" : undefined;
}

function serviceAccountsOf({
  serviceAccountNames = [],
  serviceAccountSelector,
}: ModelRuleSide): ServiceAccountMatch | undefined {
  if (serviceAccountNames.length === 0 && serviceAccountSelector === undefined) return undefined;
  return {
    ...(serviceAccountSelector !== undefined && { selector: serviceAccountSelector }),
    names: serviceAccountNames,
  };
}

function httpOf({ http }: ModelRule): HttpMatch | undefined {
  if (http === undefined) return undefined;
  const paths = (http.paths ?? []).flatMap(({ exact = "", prefix = "" }): HttpMatch["paths"] =>
    exact !== "" ? [{ exact }] : prefix !== "" ? [{ prefix }] : [],
  );
  return { methods: http.methods ?? [], paths };
}

function icmp(
  fields: RuleFields,
  type: "icmpType" | "notIcmpType",
  both: "icmpTypeCode" | "notIcmpTypeCode",
  icmpType: number | undefined,
  code: number | undefined,
): void {
  if (icmpType === undefined) return;
  if (code === undefined) fields[type] = icmpType;
  else fields[both] = { type: icmpType, code } satisfies IcmpTypeAndCode;
}

function set<K extends keyof RuleFields>(
  fields: RuleFields,
  key: K,
  value: RuleFields[K] | undefined,
): void {
  if (value !== undefined) fields[key] = value;
}

function list<K extends keyof RuleFields>(
  fields: RuleFields,
  key: K,
  value: (RuleFields[K] & readonly (string | PortRange | RuleProtocol)[]) | undefined,
): void {
  if (value !== undefined && value.length > 0) fields[key] = value;
}
