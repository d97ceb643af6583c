import {
  type AddressRange,
  type BgpOptions,
  type CloudOptions,
  type Layer2Options,
  registerBgp,
  registerCloud,
  registerLayer2,
} from "@cnilab/cloud";
import { type DependencyContainer, InputError } from "@cnilab/core";
import { compareIp, familyOf, tryParseIp, tryParsePrefix } from "@cnilab/net";
import { type Command, Option } from "commander";

/** Who gives Services of type LoadBalancer their addresses. */
export const LOAD_BALANCERS = ["cloud", "l2", "bgp", "none"] as const;

export interface LoadBalancerFlags {
  readonly loadBalancer: (typeof LOAD_BALANCERS)[number];
  readonly loadBalancerSet: readonly string[];
}

const FLAG = "--load-balancer-set";

export function addLoadBalancerFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--load-balancer <who>",
        "who serves Services of type LoadBalancer: a cloud, the nodes by ARP (l2) or by telling their router (bgp) as MetalLB does, nobody",
      )
        .choices(LOAD_BALANCERS)
        .default("cloud"),
    )
    .addOption(
      new Option(
        "--load-balancer-set <key=value>",
        "pool=CIDR or FIRST-LAST, class=NAME; for cloud source=preserved|translated, latency=SECONDS, health=kube-proxy|node-port; for bgp myASN=N, peerASN=N; repeatable",
      )
        .argParser((value: string, before: readonly string[]) => [...before, value])
        .default([], "none"),
    );
}

/** @throws InputError */
export function readLoadBalancer({
  loadBalancer,
  loadBalancerSet,
}: LoadBalancerFlags): (root: DependencyContainer) => void {
  const settings = loadBalancerSet.map((text) => split(text, loadBalancer));
  const ranges = settings.filter(([key]) => key === "pool").map(([, value]) => readRange(value));
  const common = {
    ...(ranges.length === 0 ? {} : { pools: [{ name: "default", ranges }] }),
    ...Object.fromEntries(
      settings.filter(([key]) => key === "class").map(([, name]) => ["loadBalancerClass", name]),
    ),
  };
  switch (loadBalancer) {
    case "cloud": {
      const options: Partial<CloudOptions> = { ...common, ...cloudOptions(settings) };
      return (root) => registerCloud(root, options);
    }
    case "l2": {
      const options: Partial<Layer2Options> = common;
      return (root) => registerLayer2(root, options);
    }
    case "bgp": {
      const options: Partial<BgpOptions> = { ...common, ...bgpOptions(settings) };
      return (root) => registerBgp(root, options);
    }
    case "none":
      return () => {};
  }
}

const KEYS: Readonly<Record<LoadBalancerFlags["loadBalancer"], readonly string[]>> = {
  cloud: ["pool", "class", "source", "latency", "health"],
  l2: ["pool", "class"],
  bgp: ["pool", "class", "myASN", "peerASN"],
  none: [],
};

function split(text: string, provider: LoadBalancerFlags["loadBalancer"]): [string, string] {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  const known = KEYS[provider];
  if (equals >= 0 && known.includes(key)) return [key, text.slice(equals + 1)];
  const has = known.length === 0 ? "" : `; it has ${known.map((k) => `${k}=…`).join(", ")}`;
  throw new InputError(`load balancer ${provider} has no option "${text}"${has}`, FLAG);
}

function cloudOptions(settings: readonly (readonly [string, string])[]): Partial<CloudOptions> {
  const options: {
    sourcePreserving?: boolean;
    latencyMs?: number;
    healthCheck?: CloudOptions["healthCheck"];
  } = {};
  for (const [key, value] of settings) {
    if (key === "source") {
      if (value !== "preserved" && value !== "translated") {
        throw new InputError(`source must be preserved or translated, not "${value}"`, FLAG);
      }
      options.sourcePreserving = value === "preserved";
    }
    if (key === "health") {
      if (value !== "kube-proxy" && value !== "node-port") {
        throw new InputError(`health must be kube-proxy or node-port, not "${value}"`, FLAG);
      }
      options.healthCheck = value;
    }
    if (key === "latency") {
      if (!/^\d{1,5}(\.\d+)?$/.test(value)) {
        throw new InputError(`latency must be a number of seconds, not "${value}"`, FLAG);
      }
      options.latencyMs = Number(value) * 1000;
    }
  }
  return options;
}

function bgpOptions(settings: readonly (readonly [string, string])[]): Partial<BgpOptions> {
  const options: { myAsn?: number; peerAsn?: number } = {};
  for (const [key, value] of settings) {
    if (key !== "myASN" && key !== "peerASN") continue;
    const number = /^\d{1,10}$/.test(value) ? Number(value) : 0;
    if (number < 1 || number > 4_294_967_295) {
      throw new InputError(`${key} must be an AS number, 1 to 4294967295, not "${value}"`, FLAG);
    }
    options[key === "myASN" ? "myAsn" : "peerAsn"] = number;
  }
  return options;
}

/** `198.51.100.0/24`, or `198.51.100.10-198.51.100.20`. */
function readRange(text: string): AddressRange {
  const prefix = tryParsePrefix(text);
  if (prefix !== undefined) return { first: prefix.address, last: prefix.last };
  const [from = "", to = ""] = text.split("-");
  const first = tryParseIp(from.trim());
  const last = tryParseIp(to.trim());
  if (
    first === undefined ||
    last === undefined ||
    familyOf(first) !== familyOf(last) ||
    compareIp(first, last) > 0
  ) {
    throw new InputError(
      `"${text}" is no pool; write a CIDR, or its first and last address with a dash between`,
      FLAG,
    );
  }
  return { first, last };
}
