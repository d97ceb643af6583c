import {
  type GeneveOption,
  IPOPT_COPY,
  type IpAddress,
  type IpOption,
  Ipv6Address,
} from "@cnilab/net";

// How a backend's node is told which service a client asked for (bpf/lib/common.h, nodeport.h, tunnel.h).

/** `DSR_IPV4_OPT_TYPE`: in all fragments. */
const DSR_IPV4_OPT_TYPE = IPOPT_COPY | 0x1a;
const DSR_IPV6_OPT_TYPE = 0x1b;
const DSR_GENEVE_OPT_CLASS = 0x014b;
/** `GENEVE_OPT_TYPE_CRIT | 0x01` */
const DSR_GENEVE_OPT_TYPE = 0x81;

/** A service as an option names it. */
export interface DsrService {
  readonly address: IpAddress;
  readonly port: number;
}

/**
 * `struct dsr_opt_v4`, `dsr_opt_v6`. Port and address of IPv4 are turned around on their way into the header, so that there
 * they stand as the machine has numbers: its least byte first.
 */
export function dsrIpOption({ address, port }: DsrService): IpOption {
  if (typeof address === "number") {
    const data = new Uint8Array(6);
    const view = new DataView(data.buffer);
    view.setUint16(0, port, true);
    view.setUint32(2, address, true);
    return { type: DSR_IPV4_OPT_TYPE, data };
  }
  const data = new Uint8Array(20);
  const view = new DataView(data.buffer);
  writeIpv6(view, 0, address);
  view.setUint16(16, port);
  return { type: DSR_IPV6_OPT_TYPE, data };
}

/** The service that a packet's first option names (`nodeport_extract_dsr_v4`), or any of IPv6 (`find_dsr_v6`). */
export function readDsrIpOption(
  version: 4 | 6,
  options: readonly IpOption[],
): DsrService | undefined {
  if (version === 4) {
    const [first] = options;
    if (first?.type !== DSR_IPV4_OPT_TYPE || first.data.length !== 6) return undefined;
    const view = viewOf(first.data);
    return { address: view.getUint32(2, true), port: view.getUint16(0, true) };
  }
  const found = options.find(({ type, data }) => type === DSR_IPV6_OPT_TYPE && data.length === 20);
  if (found === undefined) return undefined;
  const view = viewOf(found.data);
  return { address: readIpv6(view, 0), port: view.getUint16(16) };
}

/** `set_geneve_dsr_opt4`, `set_geneve_dsr_opt6` */
export function dsrGeneveOption({ address, port }: DsrService): GeneveOption {
  const length = typeof address === "number" ? 4 : 16;
  const data = new Uint8Array(length + 4);
  const view = new DataView(data.buffer);
  if (typeof address === "number") view.setUint32(0, address);
  else writeIpv6(view, 0, address);
  view.setUint16(length, port);
  return { optionClass: DSR_GENEVE_OPT_CLASS, type: DSR_GENEVE_OPT_TYPE, data };
}

export function readDsrGeneveOption(
  version: 4 | 6,
  options: readonly GeneveOption[],
): DsrService | undefined {
  const [first] = options;
  const length = version === 4 ? 4 : 16;
  if (
    first?.optionClass !== DSR_GENEVE_OPT_CLASS ||
    first.type !== DSR_GENEVE_OPT_TYPE ||
    first.data.length !== length + 4
  ) {
    return undefined;
  }
  const view = viewOf(first.data);
  const address = version === 4 ? view.getUint32(0) : readIpv6(view, 0);
  return { address, port: view.getUint16(length) };
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function writeIpv6(view: DataView, at: number, { a, b, c, d }: Ipv6Address): void {
  view.setUint32(at, a);
  view.setUint32(at + 4, b);
  view.setUint32(at + 8, c);
  view.setUint32(at + 12, d);
}

function readIpv6(view: DataView, at: number): Ipv6Address {
  const word = (offset: number) => view.getUint32(at + offset);
  return Ipv6Address.of(word(0), word(4), word(8), word(12));
}
