import { formatIp, formatMac, type IpFamily, type Mac } from "@cnilab/net";
import { sha1 } from "@noble/hashes/legacy.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import type { VxlanTunnelEndpoint } from "../messages.ts";
import type { NodeFacts } from "./node-facts.ts";

/**
 * The MAC of a node's VXLAN device, which everybody knows from its name (`felix/calc/vxlan_resolver.go` vtepMACForHost): an `f`, and
 * five bytes of the name's SHA-1.
 */
export function vtepMac(node: string, family: IpFamily): Mac {
  const hash = sha1(utf8ToBytes(family === 4 ? node : `${node}-v6`));
  let mac = "f".charCodeAt(0);
  for (const byte of hash.subarray(0, 5)) mac = mac * 256 + byte;
  return mac;
}

const macs: Readonly<Record<IpFamily, WeakMap<NodeFacts, Mac>>> = {
  4: new WeakMap(),
  6: new WeakMap(),
};

export function macOfVtep(node: NodeFacts, family: IpFamily): Mac {
  let mac = macs[family].get(node);
  if (mac === undefined) {
    mac = node[family].vxlanMac ?? vtepMac(node.name, family);
    macs[family].set(node, mac);
  }
  return mac;
}

/** Whether others can send to a node by VXLAN: where is it, and what address has the tunnel. */
export function hasVtep(node: NodeFacts, family: IpFamily): boolean {
  const { address, vxlanAddress } = node[family];
  return node.hasBgpAddress && address !== undefined && vxlanAddress !== undefined;
}

/** As the calculation graph sends it; `undefined` for a node that is no endpoint. */
export function vxlanTunnelEndpoint(node: NodeFacts): VxlanTunnelEndpoint | undefined {
  const has4 = hasVtep(node, 4);
  const has6 = hasVtep(node, 6);
  if (!has4 && !has6) return undefined;
  const text = (address: NodeFacts[4]["address"]) =>
    address === undefined ? "" : formatIp(address);
  return {
    node: node.name,
    ...(has4 && {
      mac: formatMac(macOfVtep(node, 4)),
      ipv4Addr: text(node[4].vxlanAddress),
      parentDeviceIp: text(node[4].address),
    }),
    ...(has6 && {
      macV6: formatMac(macOfVtep(node, 6)),
      ipv6Addr: text(node[6].vxlanAddress),
      parentDeviceIpv6: text(node[6].address),
    }),
  };
}
