export type { ImportedFile } from "./corefile/corefile.ts";
export { CorefileError } from "./corefile/corefile-error.ts";
export * from "./message/message.ts";
export { messageLength, truncate } from "./message/message-length.ts";
export {
  addressOfReverseName,
  fqdn,
  isDomainName,
  isSubdomain,
  labelsOf,
  reverseName,
} from "./message/name.ts";
export { dataWords, parseRecordData } from "./message/record-data.ts";
export { RCODES, typeName, typeNumber } from "./message/record-types.ts";
export * from "./resolver/resolv-conf.ts";
export type * from "./resolver/resolver-types.ts";
export {
  CoreDns,
  type CoreDnsOptions,
  type DnsClient,
  type DnsListener,
  type DnsLogLine,
} from "./server/core-dns.ts";
export * from "./server/local-transport.ts";
export type { PluginOrder } from "./server/plugin-list.ts";
export type * from "./transport.ts";
