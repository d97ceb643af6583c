import {
  decrypted,
  EspPacket,
  GenevePacket,
  IpPacket,
  type NetworkPacket,
  type Payload,
  SleevePacket,
  UdpDatagram,
  VxlanPacket,
  WireguardData,
} from "@cnilab/net";

/** One header that stands around what a sender made. */
export interface OuterHeader {
  /** As `IP`, `UDP`, `VXLAN`, `inner Ethernet`. */
  readonly name: string;
  readonly bytes: number;
}

/**
 * What stands around the packet that its sender made, from the outside in; nothing where no tunnel took it. Bytes are those from the
 * network header on, as an MTU counts them.
 */
export function outerHeaders(packet: NetworkPacket): OuterHeader[] {
  const headers: OuterHeader[] = [];
  let layer: Layer | undefined = inside(packet);
  while (layer !== undefined) {
    headers.push(...layer.headers);
    layer = inside(layer.inner);
  }
  return headers;
}

/** How many bytes they are. */
export function outerBytes(headers: readonly OuterHeader[]): number {
  return headers.reduce((sum, { bytes }) => sum + bytes, 0);
}

interface Layer {
  readonly headers: readonly OuterHeader[];
  readonly inner: NetworkPacket;
}

/** One tunnel taken off; `undefined` where there is none. */
function inside(packet: NetworkPacket): Layer | undefined {
  if (!(packet instanceof IpPacket)) return undefined;
  const { payload } = packet;
  if (payload instanceof EspPacket) return sealed(packet, payload);
  const ip = { name: "IP", bytes: packet.length - payload.length };
  if (payload instanceof IpPacket) return { headers: [ip], inner: payload };
  if (!(payload instanceof UdpDatagram)) return undefined;
  const carried = carriedBy(payload.payload);
  if (carried === undefined) return undefined;
  const udp = { name: "UDP", bytes: payload.length - payload.payload.length };
  return { headers: [ip, udp, ...carried.headers], inner: carried.inner };
}

/** ESP in transport mode stands between an IP header and what this had carried in the clear. */
function sealed(packet: IpPacket, payload: EspPacket): Layer {
  const esp = { name: "ESP", bytes: payload.length - payload.carried.length };
  const plain = decrypted(packet, payload);
  const layer = inside(plain);
  if (layer === undefined) return { headers: [esp], inner: plain };
  return { headers: layer.headers.toSpliced(1, 0, esp), inner: layer.inner };
}

function carriedBy(payload: Payload): Layer | undefined {
  if (payload instanceof IpPacket) return { headers: [], inner: payload };
  if (payload instanceof WireguardData) return around("WireGuard", payload, payload.packet);
  if (payload instanceof VxlanPacket) return framed("VXLAN", payload, payload.frame);
  if (payload instanceof GenevePacket) return framed("Geneve", payload, payload.frame);
  if (payload instanceof SleevePacket) {
    const [first] = payload.frames;
    return first && framed("sleeve", payload, first.frame);
  }
  return undefined;
}

function framed(
  name: string,
  payload: Payload,
  frame: { readonly length: number; readonly payload: NetworkPacket },
): Layer {
  const ethernet = { name: "inner Ethernet", bytes: frame.length - frame.payload.length };
  return {
    headers: [{ name, bytes: payload.length - frame.length }, ethernet],
    inner: frame.payload,
  };
}

function around(name: string, payload: Payload, inner: NetworkPacket): Layer {
  return { headers: [{ name, bytes: payload.length - inner.length }], inner };
}
