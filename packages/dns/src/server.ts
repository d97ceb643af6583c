// CoreDNS alone, without pods and sockets of a cluster: whoever only answers does not load a kernel.
export type { ImportedFile } from "./corefile/corefile.ts";
export { CorefileError } from "./corefile/corefile-error.ts";
export * from "./message/message.ts";
export { messageLength, truncate } from "./message/message-length.ts";
export { fqdn } from "./message/name.ts";
export { dataWords } from "./message/record-data.ts";
export { RCODES, typeName, typeNumber } from "./message/record-types.ts";
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
export type * from "./transport.ts";
