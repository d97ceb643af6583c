import { InputError } from "@cnilab/core";
import { addToIp, type IpAddress, type IpFamily, maskIp, Prefix } from "@cnilab/net";
import { type BackendConf, parseBackend } from "./backend-conf.ts";
import { JsonObject } from "./json-object.ts";

/** net-conf.json of the kube-flannel-cfg ConfigMap, or `/coreos.com/network/config` in etcd (pkg/subnet/config.go). */
export interface NetConf {
  readonly enableIPv4: boolean;
  readonly enableIPv6: boolean;
  readonly enableNFTables: boolean;
  /** The range of all pods; there where its family is enabled. */
  readonly network: Prefix | undefined;
  readonly ipv6Network: Prefix | undefined;
  /** How etcd leases are cut out of the networks. Kubernetes hands out pod ranges itself, and these are ignored. */
  readonly subnets: Readonly<Record<IpFamily, SubnetRange>>;
  readonly backend: BackendConf;
}

export interface SubnetRange {
  readonly length: number | undefined;
  readonly min: IpAddress | undefined;
  readonly max: IpAddress | undefined;
}

/**
 * Reads a network configuration.
 * @param source the text, or the object that it stands for
 * @throws InputError
 */
export function parseNetConf(source: string | object, where = "net-conf.json"): NetConf {
  const json =
    typeof source === "string" ? JsonObject.parse(source, where) : new JsonObject(source, where);
  const enableIPv4 = json.boolean("EnableIPv4") ?? true;
  const enableIPv6 = json.boolean("EnableIPv6") ?? false;
  if (!enableIPv4 && !enableIPv6) {
    throw new InputError('one of "EnableIPv4" and "EnableIPv6" must be true', where);
  }
  const network = json.prefix("Network", 4);
  const ipv6Network = json.prefix("IPv6Network", 6);
  if (enableIPv4 && network === undefined) throw missing("Network", "EnableIPv4", where);
  if (enableIPv6 && ipv6Network === undefined) throw missing("IPv6Network", "EnableIPv6", where);
  return {
    enableIPv4,
    enableIPv6,
    enableNFTables: json.boolean("EnableNFTables") ?? false,
    network,
    ipv6Network,
    subnets: {
      4: {
        length: json.integer("SubnetLen", 0, 32) || undefined,
        min: json.address("SubnetMin", 4),
        max: json.address("SubnetMax", 4),
      },
      6: {
        length: json.integer("IPv6SubnetLen", 0, 128) || undefined,
        min: json.address("IPv6SubnetMin", 6),
        max: json.address("IPv6SubnetMax", 6),
      },
    },
    backend: parseBackend(json.object("Backend"), where),
  };
}

/** The network of a family that is in use. */
export function networkOf(conf: NetConf, family: IpFamily): Prefix | undefined {
  if (family === 4) return conf.enableIPv4 ? conf.network : undefined;
  return conf.enableIPv6 ? conf.ipv6Network : undefined;
}

function missing(key: string, because: string, where: string): InputError {
  return new InputError(`"${key}" is missing though "${because}" is true`, where);
}

/** A {@link SubnetRange} with nothing left open. */
export interface CheckedSubnetRange {
  readonly length: number;
  readonly min: Prefix;
  readonly max: Prefix;
}

// Of each family: the longest a host's subnet may be, the longest a network, the usual subnet.
const LIMITS = {
  4: { subnet: 30, network: 28, usual: 24, key: "SubnetLen", prefix: "" },
  6: { subnet: 126, network: 124, usual: 64, key: "IPv6SubnetLen", prefix: "IPv6" },
} as const;

/**
 * Checks and completes the subnets of one family as the etcd manager does (CheckNetworkConfig); the
 * Kubernetes one does not.
 * @throws InputError
 */
export function checkSubnets(
  network: Prefix,
  { length, min, max }: SubnetRange,
  where = "net-conf.json",
): CheckedSubnetRange {
  const limits = LIMITS[network.family];
  const chosen = length ?? Math.max(limits.usual, network.length + 2);
  if (length === undefined && network.length > limits.network) {
    throw new InputError(
      `${network} is too small; a network has at most ${limits.network} bits`,
      where,
    );
  }
  if (chosen > limits.subnet) {
    throw new InputError(`"${limits.key}" must be at most ${limits.subnet}, not ${chosen}`, where);
  }
  if (chosen < network.length + 2) {
    throw new InputError(
      `"${limits.key}" ${chosen} leaves ${network} with less than four subnets`,
      where,
    );
  }
  const count = 1n << BigInt(chosen - network.length);
  const bound = (key: string, given: IpAddress | undefined, index: bigint): Prefix => {
    if (given === undefined) return network.subnet(index, chosen);
    const name = `${limits.prefix}Subnet${key}`;
    if (!network.contains(given)) {
      throw new InputError(`"${name}" is not in the range of the network ${network}`, where);
    }
    if (maskIp(given, chosen) !== given) {
      throw new InputError(`"${name}" is not the first address of a /${chosen}`, where);
    }
    return new Prefix(given, chosen);
  };
  // The first subnet is left out: an interface with the network's own address confuses people and tools.
  return { length: chosen, min: bound("Min", min, 1n), max: bound("Max", max, count - 1n) };
}

/** The first address of a pod range behind its own: `cni0`'s. */
export function firstAddress(subnet: Prefix): IpAddress {
  return addToIp(subnet.address, 1);
}
