import { SeededRandom } from "@cnilab/core";
import {
  DEFAULT_OPTIONS,
  Flanneld,
  LeaseStore,
  LocalSubnetManager,
  leaseValue,
  type NetConf,
  parseFlanneldArgs,
  parseNetConf,
  parseStoredLease,
  storeKey,
} from "@cnilab/flannel";
import { type Kernel, PingSocket } from "@cnilab/linux";
import { parseIp, tryParsePrefix } from "@cnilab/net";
import type { Expected, Input, NodeState, NodeStates, Row } from "./case.ts";
import { canonical, Differences } from "./differences.ts";
import { stateOf } from "./node-state.ts";
import { Underlay } from "./underlay.ts";

const KEYS = "/coreos.com/network/subnets/";

/** Runs three flanneld as the recorder did. @returns what is not as it was there */
export function replay(input: Input, expected: Expected): string[] {
  return new Replay(input, expected).run();
}

class Replay {
  readonly #input: Input;
  readonly #expected: Expected;
  readonly #conf: NetConf;
  readonly #underlay: Underlay;
  readonly #store: LeaseStore;
  readonly #daemons = new Map<string, Flanneld>();
  readonly #differences = new Differences();
  /** Random MACs of this run, and what stands for them in the recording. */
  readonly #macs = new Map<string, string>();

  constructor(input: Input, expected: Expected) {
    this.#input = input;
    this.#expected = expected;
    this.#conf = parseNetConf(input.netConf);
    this.#underlay = new Underlay(input, expected);
    this.#store = new LeaseStore(this.#underlay.clock);
  }

  run(): string[] {
    const { clock } = this.#underlay;
    for (const [name, kernel] of this.#underlay.nodes)
      this.#daemons.set(name, this.#start(name, kernel));
    clock.settle();
    for (const [name, daemon] of this.#daemons) {
      this.#differences.compare(`${name} log`, [], daemon.log);
    }
    this.#nameMacs();
    this.#compareNodes("after_start", this.#expected.after_start);
    this.#compareLeases();
    this.#comparePings();
    if (this.#expected.after_n3_lease_removed !== undefined) this.#removeThird();
    return this.#differences.found;
  }

  #removeThird(): void {
    const { clock } = this.#underlay;
    const { after_n3_lease_removed, n3_after_flanneld_stopped, after_n3_back } = this.#expected;
    this.#daemons.get("n3")?.stop();
    clock.settle();
    const key = this.#keyOf("n3");
    this.#store.delete(key);
    clock.settle();
    this.#compareNodes("after_n3_lease_removed", after_n3_lease_removed ?? {});
    if (n3_after_flanneld_stopped !== undefined) {
      this.#compareNodes("n3_after_flanneld_stopped", { n3: n3_after_flanneld_stopped });
    }
    if (after_n3_back === undefined) return;
    this.#daemons.get("n3")?.start();
    clock.settle();
    this.#compareNodes("after_n3_back", after_n3_back);
  }

  /** flanneld with the node's subnet pinned by the file of an earlier run. */
  #start(name: string, kernel: Kernel): Flanneld {
    const subnetFile = "/run/flannel/subnet.env";
    const prefixes = this.#keyOf(name)
      .split("&")
      .map((p) => p.replace(/-(\d+)$/, "/$1"));
    const previous = { 4: tryParsePrefix(prefixes[0] ?? ""), 6: tryParsePrefix(prefixes[1] ?? "") };
    const { clock } = this.#underlay;
    const random = new SeededRandom(7).fork(name);
    const options = parseFlanneldArgs(this.#input.flanneldArgs, { ...DEFAULT_OPTIONS, subnetFile });
    const daemon = new Flanneld({
      netns: kernel.initNs,
      files: kernel.files,
      clock,
      random,
      conf: this.#conf,
      options,
      subnetManager: () =>
        new LocalSubnetManager(this.#store, this.#conf, {
          previous,
          renewMarginMinutes: options.subnetLeaseRenewMarginMinutes,
          clock,
          random,
        }),
    });
    daemon.start();
    return daemon;
  }

  /** Key of a node's lease, without its folders. */
  #keyOf(name: string): string {
    const address = this.#input.nodes[name];
    for (const [key, value] of Object.entries(this.#input.leases)) {
      if (value["PublicIP"] === address) return key.slice(KEYS.length);
    }
    throw new Error(`no lease of ${name}`);
  }

  #nameMacs(): void {
    for (const [name, kernel] of this.#underlay.nodes) {
      for (const link of stateOf(kernel, []).links) {
        const recorded = this.#expected.after_start[name]?.links.find(
          (l) => l["ifname"] === link["ifname"],
        );
        if (recorded?.["address"] === undefined || link["address"] === undefined) continue;
        this.#macs.set(String(link["address"]), String(recorded["address"]));
      }
    }
  }

  #compareNodes(what: string, expected: NodeStates): void {
    for (const [name, state] of Object.entries(expected)) {
      const kernel = this.#underlay.nodes.get(name) as Kernel;
      const found = this.#named(stateOf(kernel, Object.keys(state.sysctl)));
      for (const key of Object.keys(state) as (keyof NodeState)[]) {
        this.#differences.compare(`${what} ${name} ${key}`, state[key], found[key]);
      }
    }
  }

  #compareLeases(): void {
    const found = Object.fromEntries(
      [...this.#store.leases].map((l) => [`${KEYS}${storeKey(l)}`, leaseValue(l.attributes)]),
    );
    this.#differences.compare("leases", this.#input.leases, this.#named(found));
    for (const [key, value] of Object.entries(found)) {
      const lease = parseStoredLease(key, value);
      const again = lease === undefined ? undefined : leaseValue(lease.attributes);
      this.#differences.compare(`lease ${key} read back`, value as unknown as Row, again);
    }
  }

  #comparePings(): void {
    for (const [text, answered] of Object.entries(this.#expected.ping_flannel_address)) {
      const [way = "", target = ""] = text.split(" ");
      const from = this.#underlay.nodes.get(way.split("->")[0] ?? "") as Kernel;
      this.#differences.compare(`ping ${text}`, answered, this.#ping(from, target));
    }
  }

  #ping({ initNs }: Kernel, target: string): boolean {
    let answered = false;
    const socket = new PingSocket(initNs, "ping");
    socket.onReply = () => {
      answered = true;
    };
    socket.send(parseIp(target), 56);
    this.#underlay.clock.settle(5_000);
    socket.close();
    return answered;
  }

  /** With the recording's names for random MACs. */
  #named<T>(value: T): T {
    let text = canonical(value);
    for (const [mac, name] of this.#macs) text = text.replaceAll(mac, name);
    return JSON.parse(text) as T;
  }
}
