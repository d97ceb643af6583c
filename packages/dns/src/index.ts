export {
  type DigBegin,
  type DigContext,
  type DigSetback,
  digFailureText,
  digText,
} from "./message/dig-text.ts";
export {
  addressOfReverseName,
  domainNameProblem,
  isDomainName,
  isSubdomain,
  labelsOf,
  reverseName,
} from "./message/name.ts";
export { parseRecordData } from "./message/record-data.ts";
export { CORE_DNS_PROGRAM } from "./pods/core-dns-program.ts";
export { kubeadmCorefile } from "./pods/kubeadm-corefile.ts";
export { NODE_CACHE_PROGRAM } from "./pods/node-cache-program.ts";
export { nodeLocalAddress } from "./pods/node-local-objects.ts";
export { type CoreDnsRegistration, registerCoreDns } from "./pods/register.ts";
export { HostsTable } from "./resolver/hosts-table.ts";
export { type PodDns, type PodDnsOptions, podResolvConf } from "./resolver/pod-resolv-conf.ts";
export * from "./resolver/resolv-conf.ts";
export { Resolver, type ResolverOptions } from "./resolver/resolver.ts";
export type * from "./resolver/resolver-types.ts";
export * from "./server.ts";
export * from "./sockets/serve-dns.ts";
export * from "./sockets/socket-transport.ts";
export { DnsWireMessage } from "./sockets/wire-message.ts";
