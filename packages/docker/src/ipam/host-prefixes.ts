import type { Random } from "@cnilab/core";
import { type Kernel, RT_SCOPE_LINK, RT_TABLE_MAIN } from "@cnilab/linux";
import { bigIntToIpv6, isLinkLocal, Prefix } from "@cnilab/net";
import { ResolvConfFile } from "../dns/resolv-conf-file.ts";
import type { NetworkToSplit } from "./address-space.ts";

/** What a host itself reaches on a link, and its name servers (netutils `InferReservedNetworks`). */
export function reservedPrefixes({ files, initNs }: Kernel): readonly Prefix[] {
  const { nameservers } = ResolvConfFile.ofHost(files);
  const reserved = nameservers.map((address) => Prefix.host(address));
  for (const { address, prefixLength } of initNs.devices.flatMap((dev) => dev.addresses6)) {
    if (!isLinkLocal(address)) reserved.push(new Prefix(address, prefixLength));
  }
  for (const route of initNs.fib4.table(RT_TABLE_MAIN).routes()) {
    if (route.scope === RT_SCOPE_LINK && route.prefix.length > 0) reserved.push(route.prefix);
  }
  return reserved;
}

/** The host's own range of unique local addresses, in /64s (RFC 4193; daemon.go `deriveULABaseNetwork` makes it of the machine's id). */
export function uniqueLocal(random: Random): NetworkToSplit {
  const own = random.fork("unique local addresses");
  const globalId = (BigInt(own.below(256)) << 32n) | BigInt(own.uint32());
  const base = new Prefix(bigIntToIpv6((0xfdn << 120n) | (globalId << 80n)), 48);
  return { base, size: 64 };
}
