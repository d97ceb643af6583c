import { IPPROTO_ICMP, type Ipv4Address, parseIp } from "@cnilab/net";
import {
  Datapath,
  dpctlDumpFlows,
  dpctlShow,
  exchange,
  type FlowMatch,
  flowActionsText,
  flowMatchText,
  KernelError,
  type NetNamespace,
  type OvsAction,
  TUNNEL_KEY,
} from "../../src/index.ts";
import { cable, Lab, up } from "../lab.ts";

const ip = (text: string): Ipv4Address => parseIp(text) as Ipv4Address;
const mac = (n: number): number => 0x020000000000 + n;
const to = (...ports: number[]): OvsAction[] => ports.map((port) => ({ type: "output", port }));
const key = { value: TUNNEL_KEY, mask: TUNNEL_KEY };

/** Through the tunnel to the other machine. */
function tunnel(from: 1 | 2, tunnelId: number): OvsAction[] {
  const [local, remote] = [ip(`10.0.0.${from}`), ip(`10.0.0.${3 - from}`)];
  const set = { tunnelId, local, remote, ttl: 64, dontFragment: true, zeroChecksum: true };
  return [{ type: "set-tunnel", tunnel: set }, ...to(3)];
}

function fromTunnel(at: 1 | 2, tunnelId: number): FlowMatch {
  return {
    tun_id: tunnelId,
    tun_src: ip(`10.0.0.${3 - at}`),
    tun_dst: ip(`10.0.0.${at}`),
    tun_flags: key,
    in_port: 3,
  };
}

/** Pods 1 and 2 are at ports 1 and 2 of machine 1, pods 3 and 4 at those of machine 2. */
export type Line =
  | readonly ["flow", 1 | 2, FlowMatch, readonly OvsAction[]]
  | readonly ["mtu", 1 | 2, "v1" | "v2", number]
  | readonly ["ping", 1 | 2 | 3 | 4, 1 | 2 | 3 | 4, number];

/** Each starts without flows; counters of the datapaths go on. */
export const CASES: Readonly<Record<string, readonly Line[]>> = {
  "no flow, no program": [["ping", 1, 2, 2]],
  "by port alone": [
    ["flow", 1, { in_port: 1 }, to(2)],
    ["flow", 1, { in_port: 2 }, to(1)],
    ["ping", 1, 2, 3],
  ],
  "by MACs, each with its counters": [
    ["flow", 1, { in_port: 1, eth_src: mac(1), eth_dst: mac(2) }, to(2)],
    ["flow", 1, { in_port: 2, eth_src: mac(2), eth_dst: mac(1) }, to(1)],
    ["flow", 1, { in_port: 1, eth_src: mac(1), eth_dst: 0xffffffffffff }, to(2, 0)],
    ["ping", 1, 2, 3],
  ],
  "MACs of zeros are no wildcard": [
    ["flow", 1, { in_port: 1, eth_src: 0, eth_dst: 0 }, to(2)],
    ["ping", 1, 2, 2],
  ],
  "part of a MAC": [
    ["flow", 1, { in_port: 1, eth_dst: { value: mac(2), mask: 0xffffffffff00 } }, to(2)],
    ["flow", 1, { in_port: 2 }, to(1)],
    ["ping", 1, 2, 2],
  ],
  "a flow that drops": [
    ["flow", 1, { in_port: 1 }, []],
    ["ping", 1, 2, 2],
  ],
  "to a port that is not there": [
    ["flow", 1, { in_port: 1 }, to(9)],
    ["ping", 1, 2, 1],
  ],
  "other actions for the same, and what overlaps": [
    ["flow", 1, { in_port: 1 }, to(0)],
    ["flow", 1, { in_port: 1, eth_dst: mac(2) }, to(2)],
    ["flow", 1, { in_port: 2 }, to(1)],
    ["ping", 1, 2, 1],
  ],
  "back by the port that it came from": [
    ["flow", 1, { in_port: 1 }, to(1)],
    ["ping", 1, 2, 1],
  ],
  "through a tunnel": [
    ["flow", 1, { in_port: 1 }, tunnel(1, 5)],
    ["flow", 1, fromTunnel(1, 6), to(1)],
    ["flow", 2, { in_port: 1 }, tunnel(2, 6)],
    ["flow", 2, fromTunnel(2, 5), to(1)],
    ["ping", 1, 3, 3],
  ],
  "another tunnel than the one that is asked for": [
    ["flow", 1, { in_port: 1 }, tunnel(1, 7)],
    ["flow", 2, fromTunnel(2, 5), to(1)],
    ["ping", 1, 3, 2],
  ],
  "to a tunnel that nobody has said where it leads": [
    ["flow", 1, { in_port: 1 }, to(3)],
    ["ping", 1, 3, 1],
  ],
  "by the tunnel back into the tunnel": [
    ["flow", 1, { in_port: 1 }, tunnel(1, 5)],
    ["flow", 2, fromTunnel(2, 5), tunnel(2, 8)],
    ["flow", 1, fromTunnel(1, 8), to(2)],
    ["ping", 1, 2, 1],
  ],
  "longer than the port's MTU": [
    ["flow", 1, { in_port: 1 }, to(2)],
    ["flow", 1, { in_port: 2 }, to(1)],
    ["mtu", 1, "v2", 80],
    ["ping", 1, 2, 1],
    ["mtu", 1, "v2", 1500],
  ],
};

/** As in-vm.sh takes it. */
export function scriptOf(name: string, lines: readonly Line[]): string {
  const texts = lines.map((line) => {
    if (line[0] !== "flow") return line.join(" ");
    // What may be anything is not said, as the kernel wants no EtherType of 0, but for the TTL, which it wants to hear of.
    const match = flowMatchText(line[2])
      .replace(",eth_type(0/0x0000)", "")
      .replace(",flags(+key)", ",ttl=0/0,flags(+key)");
    // To drop is to do nothing: an action of that name came later than Linux 6.1.
    const actions = line[3].length === 0 ? "" : flowActionsText(line[3]);
    return `flow ${line[1]} ${match} ${actions}`;
  });
  return [`case ${name}`, ...texts, "state", ""].join("\n");
}

/** As the script makes it. */
export class Model {
  readonly #datapaths: Datapath[];
  readonly #pods: NetNamespace[] = [];
  readonly #lab = new Lab();

  constructor() {
    const machines = this.#lab.machine("m1", "m2");
    cable(machines[0], "u0", machines[1], "u0");
    this.#datapaths = machines.map((netns, m) => {
      up(netns.device("u0"), `10.0.0.${m + 1}/24`);
      const datapath = new Datapath(netns, "dp0");
      for (const i of [1, 2]) {
        const n = 2 * m + i;
        const pod = netns.kernel.addNamespace(`p${n}`);
        const [eth0] = cable(pod, "eth0", netns, `v${i}`);
        eth0.setMac(mac(n));
        up(eth0, `10.1.0.${n}/24`);
        for (const other of [1, 2, 3, 4]) {
          pod.neighboursOf(eth0).replace(ip(`10.1.0.${other}`), mac(other));
        }
        datapath.addNetdev(`v${i}`);
        this.#pods.push(pod);
      }
      datapath.addVxlan("vxlan_sys_6784", 6784);
      return datapath;
    });
  }

  do(line: Line): void {
    if (line[0] === "ping") {
      for (let i = 0; i < line[3]; i++) {
        const dst = ip(`10.1.0.${line[2]}`);
        exchange(this.#pods[line[1] - 1] as NetNamespace, { protocol: IPPROTO_ICMP, dst, port: 0 });
      }
      return;
    }
    const datapath = this.#datapaths[line[1] - 1] as Datapath;
    if (line[0] === "mtu") datapath.netns.device(line[2]).setMtu(line[3]);
    else {
      try {
        datapath.putFlow(line[2], line[3]);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        this.refused++;
      }
    }
  }

  /** Flows that were, in this case. */
  refused = 0;

  clear(): void {
    this.refused = 0;
    for (const datapath of this.#datapaths) datapath.flushFlows();
  }

  state(): string {
    const states = this.#datapaths.map(
      ({ netns }) => `=== ${netns.name}\n${dpctlDumpFlows(netns)}${dpctlShow(netns)}`,
    );
    return "refused\n".repeat(this.refused) + states.join("");
  }
}

/** Flows in any order, when they were used only as whether; masks tried where there are several come in an order that changes with use. */
export function comparable(state: string): string[] {
  return state
    .trim()
    .split("\n")
    .map((line) =>
      line.replace(/used:[\d.]+s/, "used").replace(/masks: hit:\d+ (total:\d+).*/, "masks: $1"),
    )
    .sort();
}
