import { Data, type Payload } from "./payload.ts";

export class UdpDatagram implements Payload {
  srcPort: number;
  dstPort: number;
  payload: Payload;
  /** A zero checksum, as VXLAN over IPv4 without `udpcsum` sends it. */
  noChecksum = false;

  constructor(srcPort: number, dstPort: number, payload: Payload = Data.empty) {
    this.srcPort = srcPort;
    this.dstPort = dstPort;
    this.payload = payload;
  }

  get length(): number {
    return 8 + this.payload.length;
  }

  clone(): UdpDatagram {
    const copy = new UdpDatagram(this.srcPort, this.dstPort, this.payload.clone());
    copy.noChecksum = this.noChecksum;
    return copy;
  }
}
