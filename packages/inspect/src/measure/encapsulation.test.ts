import {
  Data,
  EspPacket,
  ETH_P_IP,
  EthernetFrame,
  IPPROTO_ESP,
  IPPROTO_IPIP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  type Payload,
  parseIp,
  SleevePacket,
  UdpDatagram,
  VxlanPacket,
  WireguardData,
} from "@cnilab/net";
import { expect, test } from "vitest";
import { type OuterHeader, outerBytes, outerHeaders } from "./encapsulation.ts";

const [A, B] = [parseIp("192.168.0.11"), parseIp("192.168.0.12")];
const made = new IpPacket(
  parseIp("10.244.0.2"),
  parseIp("10.244.1.2"),
  IPPROTO_TCP,
  new Data(1000),
);
const frame = new EthernetFrame(2, 4, ETH_P_IP, made);
const ip = (protocol: number, payload: Payload) => new IpPacket(A, B, protocol, payload);
const udp = (payload: Payload) => ip(IPPROTO_UDP, new UdpDatagram(5000, 8472, payload));
const esp = (protocol: number, carried: Payload) =>
  ip(
    IPPROTO_ESP,
    new EspPacket({ spi: 1, sequence: 1 }, { key: "k", icvLength: 16, protocol, carried }),
  );
const text = (headers: readonly OuterHeader[]) =>
  headers.map((h) => `${h.name} ${h.bytes}`).join(", ");

test.each<[IpPacket, string]>([
  [made, ""],
  [ip(IPPROTO_IPIP, made), "IP 20"],
  [udp(made), "IP 20, UDP 8"],
  [udp(new VxlanPacket(1, frame)), "IP 20, UDP 8, VXLAN 8, inner Ethernet 14"],
  [udp(new WireguardData("key", made)), "IP 20, UDP 8, WireGuard 36"],
  [
    udp(new SleevePacket(1, [{ src: 1, dst: 2, frame, number: undefined }], undefined)),
    "IP 20, UDP 8, sleeve 20, inner Ethernet 14",
  ],
  [
    ip(IPPROTO_IPIP, udp(new VxlanPacket(1, frame))),
    "IP 20, IP 20, UDP 8, VXLAN 8, inner Ethernet 14",
  ],
  [
    esp(IPPROTO_UDP, new UdpDatagram(5000, 6784, new VxlanPacket(1, frame))),
    "IP 20, ESP 34, UDP 8, VXLAN 8, inner Ethernet 14",
  ],
  [esp(IPPROTO_TCP, new Data(1000)), "ESP 36"],
])("what stands around a packet, case %#", (packet, expected) => {
  const headers = outerHeaders(packet);
  expect(text(headers)).toBe(expected);
  if (packet.payload instanceof EspPacket && packet.payload.protocol === IPPROTO_TCP) return;
  expect(outerBytes(headers)).toBe(packet.length - made.length);
});
