import { InputError } from "@cnilab/core";
import { RESERVED_NAMES } from "../identity/reserved-identities.ts";
import { dropReasonNames } from "./drop-reasons.ts";
import {
  type FlowHttpHeader,
  type FlowWorkload,
  TCP_FLAGS,
  type TcpFlags,
  VERDICTS,
} from "./flow.ts";
import type { EventTypeFilter, FlowFilter } from "./flow-filter.ts";
import {
  MESSAGE_TYPE,
  type MessageTypeName,
  TRACE_POINTS,
  type TracePoint,
} from "./monitor-messages.ts";

/** A flag of `hubble observe` that filters. */
export interface FilterFlag {
  readonly name: string;
  readonly short?: string;
  /** What stands for its value in a help text; without one it takes none. */
  readonly value?: string;
  readonly about: string;
}

/** The flags, in the order in which hubble lists them. */
export const FILTER_FLAGS: readonly FilterFlag[] = [
  { name: "not", about: "reverse the next filter" },
  { name: "uuid", value: "uuid", about: "the one flow with this identifier" },
  { name: "node-name", value: "pattern", about: 'seen on these nodes ("k8s*", "cluster/node1")' },
  { name: "node-label", value: "selector", about: "seen on nodes with these labels" },
  { name: "from-cluster", value: "name", about: "from this cluster" },
  { name: "cluster", value: "name", about: "from or to this cluster" },
  { name: "to-cluster", value: "name", about: "to this cluster" },
  {
    name: "protocol",
    value: "name",
    about: "tcp, udp, sctp, icmp, icmpv4, icmpv6, dns, http, kafka",
  },
  { name: "tcp-flags", value: "flags", about: "with these TCP flags, as syn,ack" },
  {
    name: "type",
    short: "t",
    value: "type[:subtype]",
    about: "drop, trace[:to-endpoint …], policy-verdict, l7, trace-sock, capture",
  },
  { name: "verdict", value: "verdict", about: VERDICTS.slice(1).join(", ") },
  { name: "drop-reason-desc", value: "name", about: "dropped for this reason, as POLICY_DENIED" },
  { name: "http-status", value: "code", about: "with this HTTP status, or its start as 4+" },
  { name: "http-method", value: "method", about: "with this HTTP method" },
  { name: "http-path", value: "regex", about: "whose HTTP path matches" },
  { name: "http-url", value: "regex", about: "whose URL matches" },
  { name: "http-header", value: "key:value", about: "with this HTTP header" },
  { name: "trace-id", value: "id", about: "of this distributed trace" },
  { name: "from-fqdn", value: "pattern", about: "from this name of DNS" },
  { name: "fqdn", value: "pattern", about: "from or to this name of DNS" },
  { name: "to-fqdn", value: "pattern", about: "to this name of DNS" },
  { name: "from-ip", value: "ip", about: "from this address or range" },
  { name: "snat-ip", value: "ip", about: "translated to this source" },
  { name: "ip", value: "ip", about: "from or to this address or range" },
  { name: "to-ip", value: "ip", about: "to this address or range" },
  { name: "ipv4", short: "4", about: "IPv4 only" },
  { name: "ipv6", short: "6", about: "IPv6 only" },
  { name: "ip-version", value: "version", about: "none, v4 or v6" },
  { name: "from-pod", value: "pod", about: "from pods whose name starts so ([namespace/]name)" },
  { name: "pod", value: "pod", about: "from or to pods whose name starts so" },
  { name: "to-pod", value: "pod", about: "to pods whose name starts so" },
  { name: "from-namespace", value: "namespace", about: "from this namespace" },
  { name: "namespace", short: "n", value: "namespace", about: "from or to this namespace" },
  { name: "to-namespace", value: "namespace", about: "to this namespace" },
  { name: "from-all-namespaces", about: "from pods of any namespace" },
  { name: "all-namespaces", short: "A", about: "from or to pods of any namespace" },
  { name: "to-all-namespaces", about: "to pods of any namespace" },
  { name: "from-label", value: "selector", about: "from endpoints with these labels" },
  { name: "label", short: "l", value: "selector", about: "from or to endpoints with these labels" },
  { name: "to-label", value: "selector", about: "to endpoints with these labels" },
  { name: "from-service", value: "service", about: "from the address of such a Service" },
  { name: "service", value: "service", about: "from or to the address of such a Service" },
  { name: "to-service", value: "service", about: "to the address of such a Service" },
  { name: "from-port", value: "port", about: "from this port" },
  { name: "port", value: "port", about: "from or to this port" },
  { name: "to-port", value: "port", about: "to this port" },
  { name: "from-workload", value: "[kind/]name", about: "from this workload" },
  { name: "workload", value: "[kind/]name", about: "from or to this workload" },
  { name: "to-workload", value: "[kind/]name", about: "to this workload" },
  {
    name: "from-identity",
    value: "identity",
    about: "from this identity, a number or a name as host",
  },
  { name: "identity", value: "identity", about: "from or to this identity" },
  { name: "to-identity", value: "identity", about: "to this identity" },
  { name: "traffic-direction", value: "direction", about: "ingress or egress" },
  { name: "interface", value: "name", about: "seen at this device" },
];

/** Flags that one filter cannot have together. */
const CONFLICTS: readonly (readonly string[])[] = [
  [
    "from-fqdn",
    "from-ip",
    "ip",
    "fqdn",
    "from-namespace",
    "namespace",
    "from-all-namespaces",
    "all-namespaces",
  ],
  ["from-fqdn", "from-ip", "ip", "fqdn", "from-pod", "pod"],
  [
    "to-fqdn",
    "to-ip",
    "ip",
    "fqdn",
    "to-namespace",
    "namespace",
    "to-all-namespaces",
    "all-namespaces",
  ],
  ["to-fqdn", "to-ip", "ip", "fqdn", "to-pod", "pod"],
  ["to-pod", "namespace", "all-namespaces"],
  ["from-pod", "namespace", "all-namespaces"],
  ["to-service", "namespace", "all-namespaces"],
  ["from-service", "namespace", "all-namespaces"],
  ["label", "from-label"],
  ["label", "to-label"],
  ["service", "from-service"],
  ["service", "to-service"],
  ["port", "to-port"],
  ["port", "from-port"],
  ["identity", "to-identity"],
  ["identity", "from-identity"],
  ["workload", "to-workload"],
  ["workload", "from-workload"],
];

interface Setting {
  readonly field: keyof FlowFilter;
  readonly read: (value: string) => unknown;
}

const asIs = (value: string) => value;

/** Flags that say something of the flow as a whole, as opposed to one of its ends. */
const SETTINGS: Readonly<Record<string, Setting>> = {
  uuid: { field: "uuid", read: asIs },
  "node-name": { field: "node_name", read: asIs },
  "node-label": { field: "node_labels", read: asIs },
  protocol: { field: "protocol", read: asIs },
  "tcp-flags": { field: "tcp_flags", read: tcpFlags },
  type: { field: "event_type", read: eventType },
  verdict: { field: "verdict", read: (value) => oneOf(VERDICTS, value, "verdict") },
  "drop-reason-desc": {
    field: "drop_reason_desc",
    read: (value) => oneOf(dropReasonNames(), value, "drop-reason-desc"),
  },
  "http-status": { field: "http_status_code", read: asIs },
  "http-method": { field: "http_method", read: asIs },
  "http-path": { field: "http_path", read: asIs },
  "http-url": { field: "http_url", read: asIs },
  "http-header": { field: "http_header", read: httpHeader },
  "trace-id": { field: "trace_id", read: asIs },
  "snat-ip": { field: "source_ip_xlated", read: asIs },
  ipv4: { field: "ip_version", read: () => "IPv4" },
  ipv6: { field: "ip_version", read: () => "IPv6" },
  "ip-version": { field: "ip_version", read: ipVersion },
  "traffic-direction": {
    field: "traffic_direction",
    read: (value) => oneOf(["INGRESS", "EGRESS"], value.toUpperCase(), "traffic-direction"),
  },
  interface: { field: "interface", read: (name) => ({ name }) },
};

/** A pair of fields of a filter, for flags with `from-`, with `to-` and with neither. */
type EndField =
  | "pod"
  | "ip"
  | "fqdn"
  | "label"
  | "service"
  | "port"
  | "workload"
  | "identity"
  | "cluster_name";

type MutableFilter = { -readonly [Field in keyof FlowFilter]: FlowFilter[Field] };

/** Filters as flags on a command line say them (hubble/cmd/observe flows_filter.go): in order, as `--not` turns the next. */
export class FilterFlags {
  readonly #allow = new FilterPair();
  readonly #deny = new FilterPair();
  #negated = false;

  /** @throws InputError */
  add(flag: string, value: string): void {
    if (flag === "not") {
      if (this.#negated) throw new InputError("stands twice in a row", "--not");
      this.#negated = true;
      return;
    }
    const pair = this.#negated ? this.#deny : this.#allow;
    this.#negated = false;
    pair.add(flag, value);
  }

  /** Filters one of which must match, and filters none of which may. @throws InputError */
  filters(): { readonly allow: readonly FlowFilter[]; readonly deny: readonly FlowFilter[] } {
    if (this.#negated) throw new InputError("has no filter after it", "--not");
    return { allow: this.#allow.filters(), deny: this.#deny.filters() };
  }
}

/** What must be so of the source or else of the destination: two filters, which are one where both are equal. */
class FilterPair {
  readonly #from: MutableFilter = {};
  readonly #to: MutableFilter = {};
  readonly #namespaces: string[] = [];
  readonly #fromNamespaces: string[] = [];
  readonly #toNamespaces: string[] = [];
  readonly #given = new Set<string>();

  add(flag: string, value: string): void {
    this.#given.add(flag);
    for (const group of CONFLICTS) {
      if (!group.includes(flag)) continue;
      const other = group.find((each) => each !== flag && this.#given.has(each));
      if (other !== undefined)
        throw new InputError(`cannot be combined with --${other}`, `--${flag}`);
    }
    this.#set(flag, value);
  }

  #set(flag: string, value: string): void {
    const setting = SETTINGS[flag];
    const namespaces = {
      "": this.#namespaces,
      "from-": this.#fromNamespaces,
      "to-": this.#toNamespaces,
    };
    const [, side = "", all] = /^(from-|to-)?(all-namespaces|namespace)$/.exec(flag) ?? [];
    if (all !== undefined) {
      namespaces[side as keyof typeof namespaces].push(all === "namespace" ? value : "");
    } else if (setting !== undefined) {
      const read = setting.read(value);
      push(this.#from, setting.field, read);
      push(this.#to, setting.field, read);
    } else this.#ends(flag, value);
  }

  #ends(flag: string, text: string): void {
    const [, side, what = ""] = /^(from-|to-)?(.*)$/.exec(flag) ?? [];
    const field = (what === "cluster" ? "cluster_name" : what) as EndField;
    const value =
      field === "identity" ? identity(text, flag) : field === "workload" ? workload(text) : text;
    if (side !== "to-") push(this.#from, `source_${field}`, value);
    if (side === "from-") push(this.#to, `source_${field}`, value);
    if (side === "to-") push(this.#from, `destination_${field}`, value);
    if (side !== "from-") push(this.#to, `destination_${field}`, value);
  }

  filters(): readonly FlowFilter[] {
    if (this.#given.size === 0) return [];
    const [from, to] = [{ ...this.#from }, { ...this.#to }];
    for (const filter of [from, to]) {
      within(filter, "destination", this.#toNamespaces);
      within(filter, "source", this.#fromNamespaces);
    }
    within(from, "source", this.#namespaces);
    within(to, "destination", this.#namespaces);
    return JSON.stringify(from) === JSON.stringify(to) ? [from] : [from, to];
  }
}

function push(filter: MutableFilter, field: keyof FlowFilter, value: unknown): void {
  const lists = filter as Record<string, readonly unknown[]>;
  lists[field] = [...(lists[field] ?? []), value];
}

/** Puts names of pods and Services into namespaces; without a name every pod there counts. */
function within(
  filter: MutableFilter,
  end: "source" | "destination",
  namespaces: readonly string[],
): void {
  if (namespaces.length === 0) return;
  const [pods, services] = [`${end}_pod`, `${end}_service`] as const;
  if (filter[pods] === undefined && filter[services] === undefined) filter[pods] = [""];
  for (const field of [pods, services]) {
    const names = filter[field];
    if (names === undefined) continue;
    filter[field] = names.flatMap((name) => {
      if (!name.includes("/")) return namespaces.map((namespace) => `${namespace}/${name}`);
      const [namespace] = name.split("/");
      if (namespaces.some((each) => each !== namespace)) {
        throw new InputError(
          `"${name}" is not in the namespace ${namespaces.join(", ")} that is asked for`,
          `--${end === "source" ? "from" : "to"}-${field === pods ? "pod" : "service"}`,
        );
      }
      return [name];
    });
  }
}

function oneOf<T extends string>(known: readonly T[], value: string, flag: string): T {
  const found = known.find((each) => each === value);
  if (found !== undefined) return found;
  throw new InputError(`"${value}" is none of ${known.join(", ")}`, `--${flag}`);
}

function ipVersion(text: string): "IPv4" | "IPv6" | "IP_NOT_USED" {
  if (/^(4|v4|ipv4|ip4)$/i.test(text)) return "IPv4";
  return /^(6|v6|ipv6|ip6)$/i.test(text) ? "IPv6" : "IP_NOT_USED";
}

function httpHeader(text: string): FlowHttpHeader {
  const colon = text.indexOf(":");
  if (colon < 0) throw new InputError(`"${text}" must be key:value`, "--http-header");
  return { key: text.slice(0, colon), value: text.slice(colon + 1) };
}

function tcpFlags(text: string): TcpFlags {
  const flags = text.split(",").map((flag) => oneOf(TCP_FLAGS, flag.toUpperCase(), "tcp-flags"));
  return Object.fromEntries(flags.map((flag) => [flag, true]));
}

function eventType(text: string): EventTypeFilter {
  const [name = "", subType] = text.split(/:(.*)/);
  const type = MESSAGE_TYPE[name as MessageTypeName] ?? number(name);
  if (type === undefined) {
    throw new InputError(
      `"${name}" is no type of event; there are ${Object.keys(MESSAGE_TYPE).join(", ")}`,
      "--type",
    );
  }
  if (subType === undefined) return { type };
  const point = type === MESSAGE_TYPE.trace ? TRACE_POINTS.indexOf(subType as TracePoint) : -1;
  const sub_type = point < 0 ? number(subType) : point;
  if (sub_type === undefined) {
    throw new InputError(
      `"${subType}" is no number, and none of trace's ${TRACE_POINTS.join(", ")}`,
      "--type",
    );
  }
  return { type, match_sub_type: true, sub_type };
}

function number(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function identity(text: string, flag: string): number {
  for (const [id, name] of RESERVED_NAMES) if (name === text && id !== 0) return id;
  const id = number(text);
  if (id !== undefined) return id;
  throw new InputError(
    `"${text}" is no number, and none of ${[...RESERVED_NAMES.values()].join(", ")}`,
    `--${flag}`,
  );
}

/** `name`, `Kind/name` or `Kind/`. */
function workload(text: string): FlowWorkload {
  const slash = text.indexOf("/");
  return slash < 0
    ? { kind: "", name: text }
    : { kind: text.slice(0, slash), name: text.slice(slash + 1) };
}
