import { ADD_ONS, CONTAINER_PROGRAMS, type DependencyContainer, NAME_LOOKUP } from "@cnilab/core";
import { programLookup } from "../resolver/program-lookup.ts";
import { coreDnsObjects } from "./core-dns-objects.ts";
import { CORE_DNS_PROGRAM } from "./core-dns-program.ts";
import { NODE_CACHE_PROGRAM } from "./node-cache-program.ts";
import { nodeLocalObjects } from "./node-local-objects.ts";

export interface CoreDnsRegistration {
  /** Whether the cluster brings CoreDNS along where the input does not; it does unless this is false. */
  readonly coreDns?: boolean;
  /** Whether it brings NodeLocal DNSCache, too. */
  readonly nodeLocal?: boolean;
}

/** Lets containers run CoreDNS and NodeLocal DNSCache, and a cluster bring them along. */
export function registerCoreDns(
  container: DependencyContainer,
  { coreDns = true, nodeLocal = false }: CoreDnsRegistration = {},
): void {
  container.register(NAME_LOOKUP, { useValue: programLookup });
  container.register(CONTAINER_PROGRAMS, { useValue: CORE_DNS_PROGRAM });
  container.register(CONTAINER_PROGRAMS, { useValue: NODE_CACHE_PROGRAM });
  if (coreDns)
    container.register(ADD_ONS, { useValue: { name: "coredns", objects: coreDnsObjects } });
  if (nodeLocal) {
    container.register(ADD_ONS, { useValue: { name: "nodelocaldns", objects: nodeLocalObjects } });
  }
}
