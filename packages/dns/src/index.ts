export type { ImportedFile } from "./corefile/corefile.ts";
export { CorefileError } from "./corefile/corefile-error.ts";
export { type DigContext, digFailureText, digText } from "./message/dig-text.ts";
export * from "./message/message.ts";
export { messageLength, truncate } from "./message/message-length.ts";
export {
  addressOfReverseName,
  domainNameProblem,
  fqdn,
  isDomainName,
  isSubdomain,
  labelsOf,
  reverseName,
} from "./message/name.ts";
export { dataWords, parseRecordData } from "./message/record-data.ts";
export { RCODES, typeName, typeNumber } from "./message/record-types.ts";
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
export {
  CoreDns,
  type CoreDnsOptions,
  type DnsClient,
  type DnsListener,
  type DnsLogLine,
  type HiddenZone,
  type ListenersByPort,
} from "./server/core-dns.ts";
export * from "./server/local-transport.ts";
export type { PluginOrder } from "./server/plugin-list.ts";
export * from "./sockets/serve-dns.ts";
export * from "./sockets/socket-transport.ts";
export { DnsWireMessage } from "./sockets/wire-message.ts";
export type * from "./transport.ts";
