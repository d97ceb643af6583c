import type { ICMPField, PortProtocol } from "../api/v2/rule.ts";

/** Names of types (pkg/policy/api/icmp.go). */
const IPV4_TYPES: Readonly<Record<string, number>> = {
  EchoReply: 0,
  DestinationUnreachable: 3,
  Redirect: 5,
  Echo: 8,
  EchoRequest: 8,
  RouterAdvertisement: 9,
  RouterSelection: 10,
  TimeExceeded: 11,
  ParameterProblem: 12,
  Timestamp: 13,
  TimestampReply: 14,
  Photuris: 40,
  ExtendedEchoRequest: 42,
  ExtendedEchoReply: 43,
};

const IPV6_TYPES: Readonly<Record<string, number>> = {
  DestinationUnreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  EchoRequest: 128,
  EchoReply: 129,
  MulticastListenerQuery: 130,
  MulticastListenerReport: 131,
  MulticastListenerDone: 132,
  RouterSolicitation: 133,
  RouterAdvertisement: 134,
  NeighborSolicitation: 135,
  NeighborAdvertisement: 136,
  RedirectMessage: 137,
  RouterRenumbering: 138,
  ICMPNodeInformationQuery: 139,
  ICMPNodeInformationResponse: 140,
  InverseNeighborDiscoverySolicitation: 141,
  InverseNeighborDiscoveryAdvertisement: 142,
  HomeAgentAddressDiscoveryRequest: 144,
  HomeAgentAddressDiscoveryReply: 145,
  MobilePrefixSolicitation: 146,
  MobilePrefixAdvertisement: 147,
  DuplicateAddressRequestCodeSuffix: 157,
  DuplicateAddressConfirmationCodeSuffix: 158,
  ExtendedEchoRequest: 160,
  ExtendedEchoReply: 161,
};

/** `undefined` where the family has no type of that name. */
export function icmpType({ family, type }: ICMPField): number | undefined {
  const text = String(type);
  if (/^[0-9]+$/.test(text)) return Number(text);
  const types = family === "IPv6" ? IPV6_TYPES : IPV4_TYPES;
  return Object.hasOwn(types, text) ? types[text] : undefined;
}

/** A type is the port of ICMP in policy maps. */
export function icmpPort(field: ICMPField): PortProtocol {
  return {
    port: String(icmpType(field) ?? 0),
    protocol: field.family === "IPv6" ? "ICMPv6" : "ICMP",
  };
}
