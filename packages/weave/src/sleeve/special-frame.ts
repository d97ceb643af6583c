import { Data, ETHERNET_HEADER_LENGTH, EthernetFrame } from "@cnilab/net";

// Frames that peers make themselves: all zero where others have addresses. What they are for tells their length alone (router/sleeve.go
// handleSpecialFrame).

/** `FragTestSize`: a frame that the machines on the way must cut, and the other end put together. */
const FRAGMENTATION_TEST_LENGTH = 60_001;
/** `PMTUDiscoverySize`: one that no link takes, so that the kernel says what it does take. */
const DISCOVERY_LENGTH = 60_000;
const UID_LENGTH = 8;

export type SpecialFrame =
  | { readonly kind: "heartbeat"; readonly connectionUid: bigint }
  | { readonly kind: "fragmentation test" }
  /** Whether so many bytes get through. */
  | { readonly kind: "mtu test"; readonly mtu: number };

export function heartbeatFrame(connectionUid: bigint): EthernetFrame {
  const bytes = new Uint8Array(UID_LENGTH);
  new DataView(bytes.buffer).setBigUint64(0, connectionUid);
  return special(Data.of(bytes));
}

export function fragmentationTestFrame(): EthernetFrame {
  return special(new Data(FRAGMENTATION_TEST_LENGTH - ETHERNET_HEADER_LENGTH));
}

export function discoveryFrame(): EthernetFrame {
  return special(new Data(DISCOVERY_LENGTH - ETHERNET_HEADER_LENGTH));
}

export function mtuTestFrame(mtu: number): EthernetFrame {
  return special(new Data(Math.max(mtu, 0)));
}

/** `undefined` for a frame of the network. */
export function readSpecialFrame(frame: EthernetFrame): SpecialFrame | undefined {
  const { dst, src, etherType, payload, length } = frame;
  if (dst !== 0 || src !== 0 || etherType !== 0) return undefined;
  if (length === FRAGMENTATION_TEST_LENGTH) return { kind: "fragmentation test" };
  if (length !== ETHERNET_HEADER_LENGTH + UID_LENGTH) {
    return { kind: "mtu test", mtu: payload.length & 0xffff };
  }
  const bytes = payload instanceof Data ? payload.bytes : undefined;
  const uid = bytes && new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0);
  return { kind: "heartbeat", connectionUid: uid ?? 0n };
}

function special(payload: Data): EthernetFrame {
  return new EthernetFrame(0, 0, 0, payload);
}
