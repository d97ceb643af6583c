import {
  ARP_REPLY,
  ARP_REQUEST,
  ArpPacket,
  ETH_P_ARP,
  ETH_P_IP,
  formatIp,
  IPPROTO_ICMP,
  type Ipv4Address,
  parseIp,
} from "@cnilab/net";
import { expect, test } from "vitest";
import { Lab, ping } from "../../test/lab.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { Skb } from "../skb.ts";
import { exchange } from "./exchange.ts";
import { ETH_P_ALL, PacketSocket } from "./packet-socket.ts";

/** A program on `netns` that answers ARP for an address that the machine does not have. */
function responder(netns: NetNamespace, address: Ipv4Address): PacketSocket {
  const eth0 = netns.device("eth0");
  const socket = new PacketSocket(eth0, ETH_P_ARP, "responder", (frame) => {
    const asked = frame.packet as ArpPacket;
    if (asked.op !== ARP_REQUEST || asked.targetIp !== address) return;
    const { senderMac, senderIp } = asked;
    const answer = new Skb(
      ETH_P_ARP,
      new ArpPacket(ARP_REPLY, eth0.mac, address, senderMac, senderIp),
      undefined,
    );
    answer.srcMac = eth0.mac;
    answer.dstMac = senderMac;
    socket.send(answer);
  });
  return socket;
}

const ANOTHER = "10.0.0.99";

test("a program answers ARP for an address that its machine does not have", () => {
  const lab = new Lab();
  const client = lab.host("client", "10.0.0.1/24");
  const server = lab.host("server", "10.0.0.2/24");
  const socket = responder(server, parseIp(ANOTHER) as Ipv4Address);
  exchange(client, { protocol: IPPROTO_ICMP, dst: parseIp(ANOTHER), port: 0 });
  const found = () => client.neighboursOf(client.device("eth0")).get(parseIp(ANOTHER));
  expect(found()?.mac).toBe(server.device("eth0").mac);
  socket.close();
  expect(server.packetSockets).toBeUndefined();
});

test("it sees frames of its EtherType on its device, and keeps them from nobody", () => {
  const lab = new Lab();
  const client = lab.host("client", "10.0.0.1/24");
  const server = lab.host("server", "10.0.0.2/24");
  const seen: string[] = [];
  const eth0 = server.device("eth0");
  new PacketSocket(eth0, ETH_P_ARP, "tap", () => seen.push("ARP"));
  new PacketSocket(eth0, ETH_P_IP, "tap", () => seen.push("IP"));
  new PacketSocket(
    eth0,
    ETH_P_IP,
    "tap",
    () => seen.push("filtered"),
    () => false,
  );
  new PacketSocket(server.loopback, ETH_P_IP, "tap", () => seen.push("IP on lo"));
  const { outcome } = exchange(client, {
    protocol: IPPROTO_ICMP,
    dst: parseIp("10.0.0.2"),
    port: 0,
  });
  expect([outcome, seen]).toEqual(["connected", ["ARP", "IP"]]);
});

test("one of all EtherTypes sees what comes before anybody else, and nothing that leaves", () => {
  const lab = new Lab();
  const client = lab.host("client", "10.0.0.1/24");
  const server = lab.host("server", "10.0.0.2/24");
  const seen: string[] = [];
  const eth0 = server.device("eth0");
  const socket = new PacketSocket(eth0, ETH_P_ALL, "pcap", ({ etherType, ip }) => {
    seen.push(etherType === ETH_P_IP ? `IP from ${formatIp(ip.src)}` : "ARP");
  });
  eth0.receiveHandler = {
    handle: ({ name }) => {
      seen.push(`handler of ${name}`);
      return false;
    },
  };
  ping(client, "10.0.0.2");
  expect(seen).toEqual(["ARP", "handler of eth0", "IP from 10.0.0.1", "handler of eth0"]);
  socket.close();
  ping(client, "10.0.0.2");
  expect(seen.slice(4)).toEqual(["handler of eth0"]);
});

test("a program has its turn when no frame is on its way any more", () => {
  const lab = new Lab();
  const client = lab.host("client", "10.0.0.1/24");
  const server = lab.host("server", "10.0.0.2/24");
  const { network } = lab;
  const said: string[] = [];
  new PacketSocket(server.device("eth0"), ETH_P_ALL, "pcap", () => {
    said.push("frame");
    network.afterFrames(() => said.push("turn"));
  });
  ping(client, "10.0.0.2");
  // The request waits for ARP: it comes in the same run as the question.
  expect(said).toEqual(["frame", "frame", "turn", "turn"]);
});
