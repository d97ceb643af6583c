import { Data, parseIp } from "@cnilab/net";
import { beforeEach, expect, test } from "vitest";
import { Lab } from "../test/lab.ts";
import { UdpSocket } from "./socket/udp.ts";
import type { Tracepoints } from "./tracepoints.ts";

let heard: string[];
let lab: Lab;
let send: () => void;

const LISTENER: Tracepoints = {
  netifReceiveSkb: (dev, skb) => {
    if (skb.isIp) heard.push(`${dev.netns.kernel.hostname}/${dev.name} in`);
  },
  netDevStartXmit: (dev, skb) => {
    if (skb.isIp) heard.push(`${dev.netns.kernel.hostname}/${dev.name} out`);
  },
  kfreeSkb: (_skb, netns, reason, _dev, _detail, rule) => {
    heard.push(`${netns.kernel.hostname} ${reason} ${rule?.text}`);
  },
};

beforeEach(() => {
  heard = [];
  lab = new Lab();
  const a = lab.host("a", "192.168.0.1/24");
  const b = lab.host("b", "192.168.0.2/24");
  const server = new UdpSocket(b, { localPort: 53, owner: "server", onReceive: () => {} });
  const client = new UdpSocket(a, { localPort: 4000, owner: "client" });
  expect(server.localPort).toBe(53);
  send = () => {
    client.sendTo(parseIp("192.168.0.2"), 53, new Data(10));
  };
});

test("every packet is heard of while somebody listens, those of a known flow too", () => {
  for (let i = 0; i < 4; i++) send();
  expect(heard).toEqual([]);
  lab.network.tracepoints = LISTENER;
  for (let i = 0; i < 3; i++) send();
  lab.network.tracepoints = undefined;
  send();
  const one = ["a/eth0 out", "b/eth0 in"];
  expect(heard).toEqual([...one, ...one, ...one]);
});

test("a drop comes with its reason and its rule", () => {
  const b = lab.network.kernels.get("b")?.initNs;
  if (b === undefined) throw new Error("no machine b");
  b.iptables(4).restore("*filter\n-A INPUT -p udp -m udp --dport 53 -j DROP\nCOMMIT\n");
  lab.network.tracepoints = LISTENER;
  send();
  expect(heard).toEqual([
    "a/eth0 out",
    "b/eth0 in",
    "b NETFILTER_DROP -A INPUT -p udp -m udp --dport 53 -j DROP",
  ]);
});
