// The capture format of Wireshark and tcpdump: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html

/** Packets start with an Ethernet header: {@link encodeEthernet}. */
export const LINKTYPE_ETHERNET = 1;
/** Packets start with an IPv4 or IPv6 header, as those of a TUN device or an IP tunnel: {@link encodeIp}. */
export const LINKTYPE_RAW = 101;

/** A device that packets are captured at. */
export interface PcapngDevice {
  readonly name: string;
  /** {@link LINKTYPE_ETHERNET} or {@link LINKTYPE_RAW}. */
  readonly linkType: number;
  readonly description?: string;
}

/** A packet as it passed a device. */
export interface PcapngPacket {
  /** What {@link PcapngWriter.addDevice} returned. */
  readonly device: number;
  /** Virtual milliseconds; kept to the nanosecond. Time 0 is the start of 1970. */
  readonly timeMs: number;
  readonly bytes: Uint8Array;
  /** As the device's own machine sees it. */
  readonly direction?: "inbound" | "outbound";
  readonly comment?: string;
}

// Block types (sections 4.1 to 4.3)
const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const ENHANCED_PACKET = 6;

// Options (sections 3.5 and 4.1 to 4.3)
const OPT_ENDOFOPT = 0;
const OPT_COMMENT = 1;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;
/** The most that an option's 16-bit length can say. */
const OPTION_MAX = 0xffff;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const UNKNOWN_LENGTH = 0xffffffff;
const NANOSECONDS = 9;
const NANOSECONDS_PER_MS = 1e6;

// In every runtime, but in no library of the language itself.
declare const TextEncoder: new () => { encode(text: string): Uint8Array };
const utf8 = new TextEncoder();

/**
 * Builds a capture block by block. Devices and packets may come in any order, but a device before its
 * packets. A long capture is written piece by piece: {@link take} hands over what is there so far.
 */
export class PcapngWriter {
  #bytes: Uint8Array = new Uint8Array(4096);
  #view: DataView = new DataView(this.#bytes.buffer);
  #length = 0;
  #devices = 0;

  /** @param application name of the program, which readers show */
  constructor(application = "cnilab") {
    const start = this.#begin(SECTION_HEADER);
    this.#uint32(BYTE_ORDER_MAGIC);
    this.#uint16(1); // version 1.0
    this.#uint16(0);
    this.#uint32(UNKNOWN_LENGTH); // of the section, low and high half
    this.#uint32(UNKNOWN_LENGTH);
    this.#text(SHB_USERAPPL, application);
    this.#end(start, true);
  }

  /** @returns the number that packets of this device name it by */
  addDevice({ name, linkType, description }: PcapngDevice): number {
    const start = this.#begin(INTERFACE_DESCRIPTION);
    this.#uint16(linkType);
    this.#uint16(0);
    this.#uint32(0); // packets are never cut
    this.#text(IF_NAME, name);
    this.#text(IF_DESCRIPTION, description);
    this.#option(IF_TSRESOL, Uint8Array.of(NANOSECONDS));
    this.#end(start, true);
    return this.#devices++;
  }

  /** @throws RangeError for a device that was not added */
  addPacket({ device, timeMs, bytes, direction, comment }: PcapngPacket): void {
    if (!(device >= 0 && device < this.#devices)) {
      throw new RangeError(`no device ${device}: ${this.#devices} were added`);
    }
    const time = BigInt(Math.round(timeMs * NANOSECONDS_PER_MS));
    const start = this.#begin(ENHANCED_PACKET);
    this.#uint32(device);
    this.#uint32(Number(time >> 32n));
    this.#uint32(Number(time & 0xffffffffn));
    this.#uint32(bytes.length);
    this.#uint32(bytes.length);
    this.#padded(bytes);
    this.#text(OPT_COMMENT, comment);
    if (direction !== undefined) {
      this.#option(EPB_FLAGS, Uint8Array.of(direction === "inbound" ? 1 : 2, 0, 0, 0));
    }
    this.#end(start, direction !== undefined || comment !== undefined);
  }

  /** The bytes since the last call: all pieces together are the file. */
  take(): Uint8Array {
    const bytes = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  /** Starts a block. @returns where it starts */
  #begin(type: number): number {
    const start = this.#length;
    this.#uint32(type);
    this.#uint32(0); // its length, once that is known
    return start;
  }

  #end(start: number, hasOptions: boolean): void {
    if (hasOptions) this.#uint32(OPT_ENDOFOPT);
    const length = this.#length + 4 - start;
    this.#uint32(length);
    this.#view.setUint32(start + 4, length, true);
  }

  #text(code: number, text: string | undefined): void {
    if (text !== undefined) this.#option(code, utf8.encode(text).subarray(0, OPTION_MAX));
  }

  #option(code: number, value: Uint8Array): void {
    this.#uint16(code);
    this.#uint16(value.length);
    this.#padded(value);
  }

  /** Bytes, and zeros up to a multiple of four. */
  #padded(bytes: Uint8Array): void {
    const end = this.#length + Math.ceil(bytes.length / 4) * 4;
    this.#reserve(end);
    this.#bytes.set(bytes, this.#length);
    this.#bytes.fill(0, this.#length + bytes.length, end);
    this.#length = end;
  }

  #uint16(value: number): void {
    this.#reserve(this.#length + 2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
  }

  #uint32(value: number): void {
    this.#reserve(this.#length + 4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}
