export * from "./message/message.ts";
export type * from "./resolver/resolv-conf.ts";
export type * from "./resolver/resolver-types.ts";
export type * from "./server/core-dns.ts";
export type * from "./transport.ts";
