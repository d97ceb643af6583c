import { type ClusterConfig, type CniOption, type CniOptionValues, InputError } from "@cnilab/core";
import { type Prefix, parsePrefix, tryParseMac, tryParsePrefix } from "@cnilab/net";
import type { IpallocInit, WeaverConfig } from "./weaver/weaver-config.ts";

const DEFAULT_RANGE = "10.32.0.0/12";
/** An address for hosts at least, beside the subnet's own two (ipam/allocator.go MinSubnetSize). */
const LONGEST_RANGE = 30;
/** Nodes take nothing that comes from there (kernel net/ipv4/route.c ip_route_input_slow). */
const MULTICAST = parsePrefix("224.0.0.0/4");
/** What Ethernet devices take. */
const MTU = { least: 576, most: 65_535 } as const;
/** `--conn-limit`. */
const CONNECTION_LIMIT = 200;

/** Flags of weaver, by their names, and of weave-kube's environment. */
export const MODEL_OPTIONS: readonly CniOption[] = [
  {
    key: "ipalloc-range",
    type: "string",
    default: DEFAULT_RANGE,
    description: "all addresses that pods and nodes' bridges get (IPALLOC_RANGE)",
  },
  {
    key: "ipalloc-init",
    type: "string",
    description:
      "how the range is first split: consensus[=NODES], seed=PEER,PEER or observer; consensus of the nodes there are unless given",
  },
  {
    key: "fastdp",
    type: "boolean",
    default: true,
    description: "Open vSwitch datapath where it can be; false is sleeve alone (WEAVE_NO_FASTDP)",
  },
  {
    key: "encryption",
    type: "string",
    description:
      "password: what goes between nodes is encrypted with a key from it (WEAVE_PASSWORD)",
  },
  {
    key: "trusted-subnets",
    type: "string",
    description: "nodes' networks, separated by commas, between which nothing is encrypted",
  },
  {
    key: "mtu",
    type: "integer",
    description:
      "MTU of the bridge: 1376 with fastdp, to fit encrypted into links of 1460; 65535 without (WEAVE_MTU)",
  },
  {
    key: "conn-limit",
    type: "integer",
    default: CONNECTION_LIMIT,
    description: "connections that a peer may have; 0 for any number (CONN_LIMIT)",
  },
  {
    key: "no-masq-local",
    type: "boolean",
    default: true,
    description: "requests from outside to pods of the node keep their source (NO_MASQ_LOCAL)",
  },
  {
    key: "expect-npc",
    type: "boolean",
    default: true,
    description: "weave-npc runs and enforces NetworkPolicies (EXPECT_NPC)",
  },
  {
    key: "no-discovery",
    type: "boolean",
    default: false,
    description: "peers connect to those alone that they were started with",
  },
];

/** The range of pods' addresses. @throws InputError */
export function ipallocRange(options: CniOptionValues): Prefix {
  const text = String(options["ipalloc-range"] ?? DEFAULT_RANGE);
  const range = tryParsePrefix(text);
  if (range === undefined) {
    throw wrong("ipalloc-range", `${text || '""'} is no range; write it as ${DEFAULT_RANGE}`);
  }
  if (range.family !== 4) {
    throw wrong(
      "ipalloc-range",
      `${range} is IPv6, which Weave has not; choose one as ${DEFAULT_RANGE}`,
    );
  }
  if (String(range) !== text) {
    throw wrong("ipalloc-range", `${text} has bits behind its mask; write ${range}`);
  }
  if (range.overlaps(MULTICAST)) {
    throw wrong("ipalloc-range", `${range} has addresses for multicast; choose a range for hosts`);
  }
  if (range.length > LONGEST_RANGE) {
    throw wrong(
      "ipalloc-range",
      `${range} has no room for pods; choose one of /${LONGEST_RANGE} or larger`,
    );
  }
  return range;
}

/** @throws InputError for values that make no sense, or do not fit the cluster */
export function weaverConfig(options: CniOptionValues, cluster: ClusterConfig): WeaverConfig {
  if (cluster.ipFamilies.some((family) => family !== 4)) {
    throw new InputError("Weave has no IPv6; use ipv4 alone", "--ip-families");
  }
  const range = ipallocRange(options);
  for (const service of cluster.serviceCidrs) {
    if (!service.overlaps(range)) continue;
    throw wrong(
      "ipalloc-range",
      `${range} overlaps Service range ${service}; choose two ranges without a common address`,
    );
  }
  const password = options["encryption"];
  const init = options["ipalloc-init"];
  const mtu = options["mtu"];
  if (password === "")
    throw wrong("encryption", "an empty password encrypts nothing; give one, or leave it out");
  return {
    ipallocRange: range,
    fastdp: options["fastdp"] !== false,
    trustedSubnets: trustedSubnets(options["trusted-subnets"]),
    connectionLimit: connectionLimit(options["conn-limit"]),
    noMasqLocal: options["no-masq-local"] !== false,
    expectNpc: options["expect-npc"] !== false,
    discovery: options["no-discovery"] !== true,
    ...(password !== undefined && { password: String(password) }),
    ...(init !== undefined && { ipallocInit: ipallocInit(String(init)) }),
    ...(mtu !== undefined && { mtu: checkedMtu(Number(mtu)) }),
  };
}

/** prog/weaver/main.go parseMode. */
function ipallocInit(text: string): IpallocInit {
  const [mode, ...rest] = text.split("=");
  const parameter = rest.length === 0 ? undefined : rest.join("=");
  if (mode === "consensus") {
    const peers = parameter === undefined ? 0 : Number(parameter);
    if (parameter === "" || !Number.isInteger(peers) || peers < 0) {
      throw wrong(
        "ipalloc-init",
        `consensus=${parameter} names no number of nodes; write it as consensus=3`,
      );
    }
    return { kind: "consensus", peers };
  }
  if (mode === "seed") {
    const peers = (parameter ?? "").split(",");
    const bad = peers.find((peer) => tryParseMac(peer) === undefined);
    if (bad === undefined) return { kind: "seed", peers: peers.map((peer) => peer.toLowerCase()) };
    throw wrong("ipalloc-init", `"${bad}" is no peer's name; names are as 7a:9f:eb:b6:0c:6e`);
  }
  if (mode === "observer" && parameter === undefined) return { kind: "observer" };
  throw wrong(
    "ipalloc-init",
    `there is no mode "${text}"; take consensus[=NODES], seed=PEER,PEER or observer`,
  );
}

function trustedSubnets(value: CniOptionValues[string]): readonly Prefix[] {
  if (value === undefined || value === "") return [];
  return String(value)
    .split(",")
    .map((text) => {
      const subnet = tryParsePrefix(text);
      if (subnet !== undefined) return subnet;
      throw wrong("trusted-subnets", `${text || '""'} is no subnet; write it as 192.168.0.0/16`);
    });
}

function connectionLimit(value: CniOptionValues[string]): number {
  const limit = Number(value ?? CONNECTION_LIMIT);
  if (limit >= 0) return limit;
  throw wrong("conn-limit", `${limit} connections cannot be; give 0 for any number`);
}

function checkedMtu(mtu: number): number {
  if (mtu >= MTU.least && mtu <= MTU.most) return mtu;
  throw wrong("mtu", `an MTU of ${mtu} cannot be; give ${MTU.least} to ${MTU.most}`);
}

function wrong(key: string, problem: string): InputError {
  return new InputError(problem, `Weave's option "${key}"`);
}
