import { Skb } from "@cnilab/linux";
import { Data, ETHERNET_HEADER_LENGTH } from "@cnilab/net";

// Frames of the peers' own have zeros for both MACs (router/fastdp.go sendHeartbeat).

/** 64 bits of the connection, 16 of the frame's own length. */
const CONTENT_LENGTH = 10;

/** As long as a frame of the network may be, so that what answers has room for those. */
export function heartbeatFrame(connectionUid: bigint, mtu: number): Skb {
  const bytes = new Uint8Array(CONTENT_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, connectionUid);
  view.setUint16(8, (ETHERNET_HEADER_LENGTH + mtu) & 0xffff);
  return new Skb(0, new Data(mtu, bytes), undefined);
}

/** Whether it is a whole heartbeat of this connection. */
export function isHeartbeat({ packet }: Skb, connectionUid: bigint): boolean {
  const bytes = packet instanceof Data ? packet.bytes : undefined;
  if (bytes === undefined || bytes.length < CONTENT_LENGTH) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = (ETHERNET_HEADER_LENGTH + packet.length) & 0xffff;
  return view.getBigUint64(0) === connectionUid && view.getUint16(8) === length;
}
