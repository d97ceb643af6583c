import { Prefix } from "@cnilab/net";
import { failure } from "./failure.ts";
import { parseCidr } from "./parsed-result.ts";

/** What flanneld tells the CNI plugin of its node: `/run/flannel/subnet.env`. */
export interface SubnetEnv {
  /** All pods' networks, IPv4 first. */
  readonly networks: readonly Prefix[];
  readonly subnet: Prefix | undefined;
  readonly ipv6Subnet: Prefix | undefined;
  readonly mtu: number;
  /** Whether flanneld masquerades by itself. */
  readonly ipMasq: boolean;
}

/** @param text the file's contents @throws CniError naming what is wrong or missing */
export function loadSubnetEnv(file: string, text: string | undefined): SubnetEnv {
  if (text === undefined) throw failure(`open ${file}: no such file or directory`);
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const at = line.indexOf("=");
    if (at > 0) values.set(line.slice(0, at), line.slice(at + 1));
  }
  const networks = list(values.get("FLANNEL_NETWORK"));
  const ipv6Networks = list(values.get("FLANNEL_IPV6_NETWORK"));
  const subnet = one(values.get("FLANNEL_SUBNET"));
  const ipv6Subnet = one(values.get("FLANNEL_IPV6_SUBNET"));
  const mtu = values.get("FLANNEL_MTU");
  const ipMasq = values.get("FLANNEL_IPMASQ");
  if (mtu !== undefined && !/^[0-9]+$/.test(mtu)) {
    throw failure(`strconv.ParseUint: parsing ${JSON.stringify(mtu)}: invalid syntax`);
  }
  const missing: string[] = [];
  if (networks.length + ipv6Networks.length === 0) {
    missing.push("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK");
  }
  if (subnet === undefined && ipv6Subnet === undefined) {
    missing.push("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET");
  }
  if (mtu === undefined) missing.push("FLANNEL_MTU");
  if (ipMasq === undefined) missing.push("FLANNEL_IPMASQ");
  if (missing.length > 0) throw failure(`${file} is missing ${missing.join(", ")}`);
  return {
    networks: [...networks, ...ipv6Networks],
    subnet,
    ipv6Subnet,
    mtu: Number(mtu),
    ipMasq: ipMasq === "true",
  };
}

/** Networks with commas between them; one that is there twice counts once. */
function list(text: string | undefined): Prefix[] {
  const networks: Prefix[] = [];
  for (const item of text?.split(",") ?? []) {
    const network = one(item);
    if (network !== undefined && !networks.some((n) => n.equals(network))) networks.push(network);
  }
  return networks;
}

function one(text: string | undefined): Prefix | undefined {
  if (text === undefined) return undefined;
  const { address, length } = parseCidr(text);
  return new Prefix(address, length);
}
