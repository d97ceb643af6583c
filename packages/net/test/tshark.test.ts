import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  ARP_REPLY,
  ARP_REQUEST,
  ArpPacket,
  BROADCAST_MAC,
  Data,
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  EthernetFrame,
  encodeEthernet,
  encodeIp,
  FragmentPayload,
  GENEVE_PORT,
  GenevePacket,
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_FRAG_NEEDED,
  ICMP_PORT_UNREACH,
  ICMP_TIME_EXCEEDED,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_PKT_TOOBIG,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IPIP,
  IPPROTO_IPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  IpPacket,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  NDISC_NEIGHBOUR_SOLICITATION,
  NeighbourMessage,
  type NetworkPacket,
  type Payload,
  PcapngWriter,
  parseIp,
  QuotedPacket,
  SCTP_ABORT,
  SCTP_COOKIE_ACK,
  SCTP_COOKIE_ECHO,
  SCTP_DATA,
  SCTP_INIT,
  SCTP_INIT_ACK,
  SCTP_SACK,
  SCTP_SHUTDOWN,
  SctpPacket,
  TCP_ACK,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TcpSegment,
  UdpDatagram,
  VxlanPacket,
  WireguardData,
} from "../src/index.ts";

const MAC_A = 0x02000000000a;
const MAC_B = 0x02000000000b;
const A4 = 0x0a000001;
const B4 = 0x0a000002;
const A6 = parseIp("fd00::1");
const B6 = parseIp("fd00::2");
const NONE = 0;

function from(src: IpAddress, dst: IpAddress, protocol: number, payload: Payload): IpPacket {
  return new IpPacket(src, dst, protocol, payload, 255);
}

/** Between both machines, over IPv4 and over IPv6. */
function both(protocol: number, payload: () => Payload): IpPacket[] {
  return [from(A4, B4, protocol, payload()), from(A6, B6, protocol, payload())];
}

function frame(payload: NetworkPacket): EthernetFrame {
  if (payload instanceof ArpPacket) {
    const dst = payload.op === ARP_REQUEST ? BROADCAST_MAC : MAC_B;
    return new EthernetFrame(dst, MAC_A, ETH_P_ARP, payload);
  }
  const etherType = (payload as IpPacket).version === 4 ? ETH_P_IP : ETH_P_IPV6;
  return new EthernetFrame(MAC_B, MAC_A, etherType, payload);
}

const bytes = (length: number) => Data.of(new Uint8Array(length).fill(0x61));
const tcp = (flags: number, payload: Data = Data.empty, mss = 0) =>
  Object.assign(new TcpSegment(40_000, 40_001, flags, 7, 8, payload), { mss });
const udp = (payload: Data) => new UdpDatagram(40_000, 40_001, payload);
const sctp = (type: number, payload: Data = Data.empty) =>
  Object.assign(new SctpPacket(40_000, 40_001, type, type === SCTP_INIT ? 0 : 9, payload), {
    initiateTag: type === SCTP_INIT || type === SCTP_INIT_ACK ? 9 : 0,
  });
const vxlan = (inner: NetworkPacket) =>
  Object.assign(new UdpDatagram(50_000, 8472, new VxlanPacket(1, frame(inner))), {
    noChecksum: true,
  });

const geneve = (inner: NetworkPacket) =>
  new UdpDatagram(50_000, GENEVE_PORT, new GenevePacket(1, frame(inner)));

function fragmentsOf(whole: IpPacket, step: number): IpPacket[] {
  const cuts: IpPacket[] = [];
  for (let offset = 0; offset < whole.payload.length; offset += step) {
    const length = Math.min(step, whole.payload.length - offset);
    const cut = whole.withPayload(new FragmentPayload(whole, offset, length));
    cut.id = 4711;
    cut.fragmentOffset = offset;
    cut.moreFragments = offset + length < whole.payload.length;
    cuts.push(cut);
  }
  return cuts;
}

const datagram4 = from(A4, B4, IPPROTO_UDP, udp(bytes(1400)));
const datagram6 = from(A6, B6, IPPROTO_UDP, udp(bytes(1400)));
const segment4 = from(A4, B4, IPPROTO_TCP, tcp(TCP_ACK | TCP_PSH, bytes(33)));
const segment6 = from(A6, B6, IPPROTO_TCP, tcp(TCP_ACK | TCP_PSH, bytes(33)));
const request = new ArpPacket(ARP_REQUEST, MAC_A, A4, NONE, B4);
const solicitation = new NeighbourMessage(NDISC_NEIGHBOUR_SOLICITATION, B6 as never, MAC_A);
const advertisement = Object.assign(
  new NeighbourMessage(NDISC_NEIGHBOUR_ADVERTISEMENT, A6 as never, MAC_A),
  { solicited: true, override: true },
);
const error4 = (type: number, code: number, rest: number) =>
  from(B4, A4, IPPROTO_ICMP, new IcmpMessage(type, code, rest, new QuotedPacket(datagram4, 548)));
const error6 = (type: number, code: number, rest: number) =>
  from(
    B6,
    A6,
    IPPROTO_ICMPV6,
    new IcmpMessage(type, code, rest, new QuotedPacket(datagram6, 1232)),
  );

/** What is sent, and the protocols that tshark finds in each packet. */
const kinds: [string, NetworkPacket[], string[]][] = [
  [
    "ARP request and reply",
    [request, new ArpPacket(ARP_REPLY, MAC_A, A4, MAC_B, B4)],
    ["arp", "arp"],
  ],
  [
    "TCP SYN with MSS",
    both(IPPROTO_TCP, () => tcp(TCP_SYN, Data.empty, 1460)),
    ["ip:tcp", "ipv6:tcp"],
  ],
  ["TCP reset", both(IPPROTO_TCP, () => tcp(TCP_RST | TCP_ACK)), ["ip:tcp", "ipv6:tcp"]],
  ["TCP data of odd length", [segment4, segment6], ["ip:tcp:data", "ipv6:tcp:data"]],
  ["UDP", both(IPPROTO_UDP, () => udp(bytes(3))), ["ip:udp:data", "ipv6:udp:data"]],
  [
    "UDP without checksum over IPv4",
    [from(A4, B4, IPPROTO_UDP, Object.assign(udp(bytes(3)), { noChecksum: true }))],
    ["ip:udp:data"],
  ],
  ["SCTP INIT", both(IPPROTO_SCTP, () => sctp(SCTP_INIT)), ["ip:sctp", "ipv6:sctp"]],
  // A state cookie is a parameter: type 7, length, value.
  [
    "SCTP INIT ACK",
    both(IPPROTO_SCTP, () => sctp(SCTP_INIT_ACK, Data.of(Uint8Array.of(0, 7, 0, 8, 1, 2, 3, 4)))),
    ["ip:sctp", "ipv6:sctp"],
  ],
  [
    "SCTP COOKIE ECHO",
    both(IPPROTO_SCTP, () => sctp(SCTP_COOKIE_ECHO, bytes(4))),
    ["ip:sctp", "ipv6:sctp"],
  ],
  ["SCTP COOKIE ACK", both(IPPROTO_SCTP, () => sctp(SCTP_COOKIE_ACK)), ["ip:sctp", "ipv6:sctp"]],
  [
    "SCTP DATA with padding",
    both(IPPROTO_SCTP, () => sctp(SCTP_DATA, bytes(5))),
    ["ip:sctp:data", "ipv6:sctp:data"],
  ],
  ["SCTP SACK", both(IPPROTO_SCTP, () => sctp(SCTP_SACK)), ["ip:sctp", "ipv6:sctp"]],
  ["SCTP ABORT", both(IPPROTO_SCTP, () => sctp(SCTP_ABORT)), ["ip:sctp", "ipv6:sctp"]],
  ["SCTP SHUTDOWN", both(IPPROTO_SCTP, () => sctp(SCTP_SHUTDOWN)), ["ip:sctp", "ipv6:sctp"]],
  [
    "ICMP echo",
    [
      from(A4, B4, IPPROTO_ICMP, IcmpMessage.echo(ICMP_ECHO, 7, 1, bytes(56))),
      from(B4, A4, IPPROTO_ICMP, IcmpMessage.echo(ICMP_ECHOREPLY, 7, 1, bytes(56))),
    ],
    ["ip:icmp:data", "ip:icmp:data"],
  ],
  [
    "ICMPv6 echo",
    [
      from(A6, B6, IPPROTO_ICMPV6, IcmpMessage.echo(ICMPV6_ECHO_REQUEST, 7, 1, bytes(56))),
      from(B6, A6, IPPROTO_ICMPV6, IcmpMessage.echo(ICMPV6_ECHO_REPLY, 7, 1, bytes(56))),
    ],
    ["ipv6:icmpv6:data", "ipv6:icmpv6:data"],
  ],
  [
    "ICMP errors",
    [
      error4(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0),
      error4(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, 1400),
      error4(ICMP_TIME_EXCEEDED, 0, 0),
    ],
    ["ip:icmp:ip:udp:data", "ip:icmp:ip:udp:data", "ip:icmp:ip:udp:data"],
  ],
  ["ICMPv6 packet too big", [error6(ICMPV6_PKT_TOOBIG, 0, 1400)], ["ipv6:icmpv6:ipv6:udp:data"]],
  [
    "neighbour discovery",
    [
      from(A6, parseIp("ff02::1:ff00:2"), IPPROTO_ICMPV6, solicitation),
      from(A6, B6, IPPROTO_ICMPV6, advertisement),
    ],
    ["ipv6:icmpv6", "ipv6:icmpv6"],
  ],
  ["IPv4 fragments", fragmentsOf(datagram4, 800), ["ip:data", "ip:udp:data"]],
  [
    "IPv6 fragments",
    fragmentsOf(datagram6, 800),
    ["ipv6:ipv6.fraghdr:data", "ipv6:ipv6.fraghdr:udp:data"],
  ],
  [
    "VXLAN with TCP inside",
    both(IPPROTO_UDP, () => vxlan(segment4)),
    ["ip:udp:vxlan:eth:ethertype:ip:tcp:data", "ipv6:udp:vxlan:eth:ethertype:ip:tcp:data"],
  ],
  [
    "VXLAN with ARP inside",
    [from(A4, B4, IPPROTO_UDP, vxlan(request))],
    ["ip:udp:vxlan:eth:ethertype:arp"],
  ],
  [
    "VXLAN with IPv6 inside",
    [from(A4, B4, IPPROTO_UDP, vxlan(segment6))],
    ["ip:udp:vxlan:eth:ethertype:ipv6:tcp:data"],
  ],
  [
    "Geneve with TCP and with ARP inside",
    [
      from(A4, B4, IPPROTO_UDP, geneve(segment4)),
      from(A6, B6, IPPROTO_UDP, geneve(segment6)),
      from(A4, B4, IPPROTO_UDP, geneve(request)),
    ],
    [
      "ip:udp:geneve:eth:ethertype:ip:tcp:data",
      "ipv6:udp:geneve:eth:ethertype:ipv6:tcp:data",
      "ip:udp:geneve:eth:ethertype:arp",
    ],
  ],
  [
    "IPv4 in IPv4 and in IPv6",
    both(IPPROTO_IPIP, () => segment4),
    ["ip:ip:tcp:data", "ipv6:ip:tcp:data"],
  ],
  ["IPv6 in IPv4", [from(A4, B4, IPPROTO_IPV6, segment6)], ["ip:ipv6:tcp:data"]],
  [
    "WireGuard",
    [
      from(
        A4,
        B4,
        IPPROTO_UDP,
        new UdpDatagram(51_820, 51_820, new WireguardData("key", segment4)),
      ),
    ],
    ["ip:udp:wg"],
  ],
];

/** Checksums are verified; what looks like a repeated packet is read like any other. */
const PREFERENCES = [
  "ip.check_checksum:TRUE",
  "tcp.check_checksum:TRUE",
  "udp.check_checksum:TRUE",
  "sctp.checksum:CRC 32c",
  "tcp.analyze_sequence_numbers:FALSE",
  "sctp.tsn_analysis:FALSE",
];

/** Fields of every packet of a capture, one row a packet. */
function tshark(capture: Uint8Array, ...fields: string[]): string[][] {
  const folder = mkdtempSync(join(tmpdir(), "cnilab-tshark-"));
  try {
    const file = join(folder, "capture.pcapng");
    writeFileSync(file, capture);
    const options = [
      ...PREFERENCES.flatMap((preference) => ["-o", preference]),
      ...fields.flatMap((field) => ["-e", field]),
    ];
    const output = execFileSync(
      "tshark",
      [
        "-n",
        "-r",
        file,
        "-d",
        "udp.port==8472,vxlan",
        "-T",
        "fields",
        "-E",
        "separator=|",
        ...options,
      ],
      { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
    );
    return output
      .trimEnd()
      .split("\n")
      .map((line) => line.split("|"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const hasTshark = spawnSync("tshark", ["--version"]).status === 0;

describe.skipIf(!hasTshark)("tshark (skipped where it is not installed)", () => {
  const writer = new PcapngWriter("cnilab test");
  const eth0 = writer.addDevice({ name: "node1/pod/eth0", linkType: LINKTYPE_ETHERNET });
  const tun0 = writer.addDevice({ name: "node1//tun0", linkType: LINKTYPE_RAW });
  const expected: string[] = [];
  for (const [name, packets, protocols] of kinds) {
    for (const [i, packet] of packets.entries()) {
      const sent = { timeMs: expected.length / 3, comment: name };
      const bytes = encodeEthernet(frame(packet));
      writer.addPacket({ ...sent, device: eth0, bytes, direction: "outbound" });
      expected.push(`${name}: eth:ethertype:${protocols[i]}`);
      if (!(packet instanceof IpPacket)) continue;
      // Another identification, so that the parts of a packet are not taken for those of the one before.
      const again = encodeIp(Object.assign(packet.clone(), { id: packet.id ^ 1 }));
      writer.addPacket({ ...sent, device: tun0, bytes: again });
      expected.push(`${name}: raw:${protocols[i]}`);
    }
  }
  const capture = writer.take();
  // Where tshark is missing only the names of the tests are wanted.
  const read = (...fields: string[]) => (hasTshark ? tshark(capture, ...fields) : []);

  test("finds each protocol", () => {
    const found = read("frame.comment", "frame.protocols");
    expect(found.map(([name, protocols]) => `${name}: ${protocols}`)).toEqual(expected);
  });

  test("finds nothing malformed", () => {
    const found = read("frame.comment", "_ws.malformed");
    expect(found.filter(([, malformed]) => malformed !== "")).toEqual([]);
  });

  test.each(["ip", "tcp", "udp", "icmp", "icmpv6", "sctp"])(
    "finds %s checksums, all good",
    (protocol) => {
      const BAD = "0";
      const GOOD = "1";
      const found = read("frame.comment", `${protocol}.checksum.status`).map(
        ([name, statuses = ""]) => [name, statuses.split(",")] as const,
      );
      expect(found.filter(([, statuses]) => statuses.includes(BAD))).toEqual([]);
      expect(found.filter(([, statuses]) => statuses.includes(GOOD))).not.toEqual([]);
    },
  );

  test("shows device, direction and time", () => {
    const found = read("frame.interface_name", "frame.packet_flags_direction", "frame.time_epoch");
    expect(found.slice(2, 4)).toEqual([
      ["node1/pod/eth0", "0x00000002", "0.000666667"],
      ["node1//tun0", "", "0.000666667"],
    ]);
  });
});
