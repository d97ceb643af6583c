/** What takes room in the packets of a network (pkg/mtu/mtu.go). */
export interface MtuFeatures {
  /** VXLAN or Geneve. */
  readonly encapsulation: boolean;
  /** The outer header is IPv6. */
  readonly tunnelOverIpv6: boolean;
  readonly wireguard: boolean;
  /** Bytes of IPsec's key for authentication, where there is IPsec. */
  readonly ipsecKeyLength?: number;
}

export interface RouteMtu {
  /** Of pods' devices. */
  readonly device: number;
  /** Of routes to pods elsewhere. */
  readonly route: number;
  /** Of the same once IPsec is done with a packet. */
  readonly routePostEncrypt: number;
}

const ETHERNET_MTU = 1500;
/** Outer IP, UDP, VXLAN or Geneve, inner Ethernet. */
const TUNNEL_OVERHEAD = { 4: 50, 6: 70 } as const;
const WIREGUARD_OVERHEAD = 80;
/** With a key of 16 bytes. */
const IPSEC_OVERHEAD = 77;
const IPSEC_USUAL_KEY = 16;

/** @param base what the node's own devices let through; 0 where that is not known */
export function routeMtu(base: number, features: MtuFeatures): RouteMtu {
  const { encapsulation, tunnelOverIpv6, wireguard, ipsecKeyLength } = features;
  const device = base === 0 ? ETHERNET_MTU : base;
  const tunnel = encapsulation ? TUNNEL_OVERHEAD[tunnelOverIpv6 ? 6 : 4] : 0;
  const routePostEncrypt = base === tunnel ? ETHERNET_MTU - tunnel : base - tunnel;
  return {
    device,
    route: wireguard
      ? device - WIREGUARD_OVERHEAD - tunnel
      : routeWithout(base, device, tunnel, ipsecKeyLength),
    routePostEncrypt: encapsulation ? routePostEncrypt : device,
  };
}

function routeWithout(
  base: number,
  device: number,
  tunnel: number,
  keyLength: number | undefined,
): number {
  if (tunnel === 0 && keyLength === undefined) return device;
  const ipsec = keyLength === undefined ? 0 : IPSEC_OVERHEAD + keyLength - IPSEC_USUAL_KEY;
  const route = base - tunnel - ipsec;
  const usual = ETHERNET_MTU - tunnel - (keyLength === undefined ? 0 : IPSEC_OVERHEAD);
  // With IPsec alone the agent falls back for exactly nothing left, with a tunnel for less, too.
  return (tunnel === 0 ? route === 0 : route <= 0) ? usual : route;
}
