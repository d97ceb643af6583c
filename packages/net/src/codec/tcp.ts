import { TcpSegment } from "../tcp.ts";
import { dataOf, requireOctets, slice } from "./octets.ts";
import { PacketSyntaxError } from "./packet-syntax-error.ts";

export const TCP_CHECKSUM_FIELD = 16;

const HEADER_LENGTH = 20;

// Options (RFC 9293 section 3.2)
const TCPOPT_EOL = 0;
const TCPOPT_NOP = 1;
const TCPOPT_MSS = 2;
const TCPOLEN_MSS = 4;

/** Writes a header (RFC 9293) but for its checksum. */
export function writeTcpHeader(octets: DataView, segment: TcpSegment): void {
  octets.setUint16(0, segment.srcPort);
  octets.setUint16(2, segment.dstPort);
  octets.setUint32(4, segment.seq);
  octets.setUint32(8, segment.ack);
  octets.setUint8(12, (segment.headerLength / 4) << 4);
  octets.setUint8(13, segment.flags);
  octets.setUint16(14, segment.window);
  if (segment.mss === 0) return;
  octets.setUint8(HEADER_LENGTH, TCPOPT_MSS);
  octets.setUint8(HEADER_LENGTH + 1, TCPOLEN_MSS);
  octets.setUint16(HEADER_LENGTH + 2, segment.mss);
}

/** A segment. Options other than the maximum segment size and the urgent pointer are dropped. */
export function readTcp(octets: DataView): TcpSegment {
  requireOctets(octets, HEADER_LENGTH, "TCP");
  const headerLength = (octets.getUint8(12) >> 4) * 4;
  if (headerLength < HEADER_LENGTH) {
    throw new PacketSyntaxError("TCP", "bad header length", `a header of ${headerLength} bytes`);
  }
  requireOctets(octets, headerLength, "TCP");
  const segment = new TcpSegment(
    octets.getUint16(0),
    octets.getUint16(2),
    octets.getUint8(13),
    octets.getUint32(4),
    octets.getUint32(8),
    dataOf(slice(octets, headerLength)),
  );
  segment.window = octets.getUint16(14);
  segment.mss = readMss(slice(octets, HEADER_LENGTH, headerLength));
  return segment;
}

/** As kernel net/ipv4/tcp_input.c tcp_parse_options: what follows a malformed option is ignored. */
function readMss(options: DataView): number {
  let mss = 0;
  for (let at = 0; at < options.byteLength; ) {
    const kind = options.getUint8(at);
    if (kind === TCPOPT_EOL) break;
    if (kind === TCPOPT_NOP) {
      at++;
      continue;
    }
    if (at + 2 > options.byteLength) break;
    const length = options.getUint8(at + 1);
    if (length < 2 || at + length > options.byteLength) break;
    if (kind === TCPOPT_MSS && length === TCPOLEN_MSS) mss = options.getUint16(at + 2);
    at += length;
  }
  return mss;
}
