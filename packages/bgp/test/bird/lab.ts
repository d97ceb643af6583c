import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, type NetNamespace, Network, Nic, Segment } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { isBetter, Speaker, type SpeakerConfig } from "../../src/index.ts";
import { modelTable } from "./views.ts";

/** Machines 10.0.0.1, 10.0.0.2 … on one Ethernet, in the model. */
export class Lab {
  readonly clock: VirtualClock = new VirtualClock();
  readonly network: Network = new Network(this.clock, new SeededRandom(1));
  readonly segment: Segment = new Segment(this.network, "lan");

  machine(host: number): NetNamespace {
    const { initNs } = new Kernel(this.network, `m${host}`);
    initNs.loopback.setUp();
    const eth0 = new Nic(initNs, { name: "eth0", segment: this.segment });
    eth0.setUp();
    eth0.addAddress(parseIp(`10.0.0.${host}`), 24);
    return initNs;
  }

  speaker(netns: NetNamespace, config: SpeakerConfig): Speaker {
    const speaker = new Speaker(netns, this.clock, config, { program: "bird", recover: false });
    speaker.start();
    return speaker;
  }
}

/** The speakers of a network, at rest, started in this order. */
export function model(configs: readonly SpeakerConfig[], order: readonly number[]): Speaker[] {
  const lab = new Lab();
  const machines = configs.map((_, i) => lab.machine(i + 1));
  const speakers: Speaker[] = [];
  for (const i of order) {
    speakers[i] = lab.speaker(machines[i] as NetNamespace, configs[i] as SpeakerConfig);
    lab.clock.advance(700);
  }
  lab.clock.settle(20_000);
  return speakers;
}

/** Whether a network comes to the same end whoever was first, and no choice is between paths that nothing tells apart. */
export function isDetermined(configs: readonly SpeakerConfig[]): boolean {
  const forwards = configs.map((_, i) => i);
  const odd = [...forwards.filter((i) => i % 2), ...forwards.filter((i) => i % 2 === 0)];
  const [first, ...others] = [forwards, forwards.toReversed(), odd].map((o) => model(configs, o));
  const text = (speakers: Speaker[] | undefined) => speakers?.map(modelTable).join();
  return others.every((o) => text(o) === text(first)) && !first?.some(hasTie);
}

function hasTie({ table }: Speaker): boolean {
  for (const { routes } of table.entries()) {
    const [best, ...others] = routes;
    if (best === undefined) continue;
    if (others.some((o) => !isBetter(best, o) && !isBetter(o, best))) return true;
  }
  return false;
}
