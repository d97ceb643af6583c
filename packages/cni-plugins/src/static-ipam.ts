import type { CniCall, CniDns, CniIp, CniPlugin, CniResult, CniRoute } from "@cnilab/core";
import {
  formatIp,
  type IpAddress,
  Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
} from "@cnilab/net";
import { readCniArgs } from "./cni-args.ts";
import { failure } from "./failure.ts";
import { parseAddress, parseGoIp } from "./parsed-result.ts";
import { asVersion, CURRENT_VERSION, isDnsSet } from "./result-version.ts";

interface StaticAddress {
  readonly address: string;
  readonly gateway?: string;
}

interface StaticSection {
  readonly addresses?: readonly StaticAddress[];
  readonly routes?: readonly CniRoute[];
  readonly dns?: CniDns;
}

/** Gives the addresses that are configured, and remembers nothing (plugins/ipam/static). */
export const staticIpam: CniPlugin = {
  type: "static",

  add(call: CniCall): CniResult {
    const addresses = loadAddresses(call);
    const { routes, dns } = call.config.ipam as StaticSection;
    const result: CniResult = {
      cniVersion: CURRENT_VERSION,
      ips: addresses.map(
        ({ address, gateway }): CniIp => ({ address, ...(gateway && { gateway }) }),
      ),
      ...(routes !== undefined && { routes }),
      ...(isDnsSet(dns) && { dns }),
    };
    return asVersion(result, call.config.cniVersion);
  },

  del(): void {},

  check(call: CniCall): void {
    const addresses = loadAddresses(call);
    const result = call.config.prevResult;
    if (result === undefined) throw failure("Required prevResult missing");
    for (const wanted of addresses) {
      const { address, gateway } = parseAddress(wanted);
      const there = (result.ips ?? []).map(parseAddress).find((ip) => ip.address === address);
      if (there !== undefined && gateway !== undefined && gateway !== there.gateway) {
        throw failure(
          `static: Failed to match addr ${formatIp(address)} on interface ${call.ifName}`,
        );
      }
    }
  },
};

/** `CNI_ARGS` adds to the configured ones; `args.cni.ips` and the `ips` capability replace them. @throws CniError */
function loadAddresses({ config, args }: CniCall): StaticAddress[] {
  const section = config.ipam as StaticSection | undefined;
  if (section === undefined) throw failure("IPAM config missing 'ipam' key");
  let addresses: StaticAddress[] = [...(section.addresses ?? [])];
  if (args !== "") {
    const { IP, GATEWAY } = readCniArgs(args, ["IP", "GATEWAY"]);
    let asked: StaticAddress[] = [];
    for (const text of IP ? IP.split(",").map((item) => item.trim()) : []) {
      expectCidr(text, (t) => `the 'ip' field is expected to be in CIDR notation, got: '${t}'`);
      asked.push({ address: text });
    }
    for (const text of GATEWAY ? GATEWAY.split(",") : []) {
      const gateway = tryParseIp(text.trim());
      if (gateway === undefined) throw failure(`invalid gateway address: ${text}`);
      asked = asked.map((a) => withGateway(a, gateway));
    }
    addresses.push(...asked);
  }
  for (const list of [config.args?.cni?.["ips"], config.runtimeConfig?.["ips"]]) {
    const ips = (list as readonly string[] | undefined) ?? [];
    if (ips.length === 0) continue;
    for (const text of ips) {
      expectCidr(text, (t) => `an entry in the 'ips' field is NOT in CIDR notation, got: '${t}'`);
    }
    addresses = ips.map((address) => ({ address }));
  }
  for (const { address, gateway } of addresses) {
    expectCidr(
      address,
      (t) => `the 'address' field is expected to be in CIDR notation, got: '${t}'`,
    );
    if (gateway !== undefined) parseGoIp(gateway);
  }
  return addresses;
}

function expectCidr(text: string, message: (text: string) => string): void {
  if (tryParseInterfaceAddress(text) === undefined) throw failure(message(text));
}

/** A gateway belongs to the addresses whose network it is in. */
function withGateway(address: StaticAddress, gateway: IpAddress): StaticAddress {
  const parsed = tryParseInterfaceAddress(address.address);
  const near = parsed !== undefined && new Prefix(parsed.address, parsed.length).contains(gateway);
  return near ? { ...address, gateway: formatIp(gateway) } : address;
}
