export * from "./arp.ts";
export {
  type BadChecksum,
  type Decoded,
  type DecodeOptions,
  decodeEthernet,
  decodeIp,
  GENEVE_PORT,
  VXLAN_PORTS,
} from "./codec/decode.ts";
export { encodeEthernet, encodeIp, hasRightChecksum } from "./codec/encode.ts";
export * from "./codec/packet-syntax-error.ts";
export * from "./esp.ts";
export * from "./ethernet.ts";
export * from "./geneve.ts";
export * from "./icmp.ts";
export * from "./ip-address.ts";
export { IPOPT_COPY, type IpOption, NO_IP_OPTIONS } from "./ip-option.ts";
export * from "./ip-packet.ts";
export * from "./ipv6-address.ts";
export * from "./lpm-table.ts";
export * from "./mac.ts";
export * from "./payload.ts";
export * from "./pcapng.ts";
export * from "./prefix.ts";
export * from "./sctp.ts";
export * from "./sleeve.ts";
export * from "./tcp.ts";
export * from "./udp.ts";
export * from "./vxlan.ts";
export * from "./wireguard.ts";
