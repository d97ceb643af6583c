import { type NodeContext, type OverlayEngine, type Timer, timestamp } from "@cnilab/core";
import { type Kernel, KernelError } from "@cnilab/linux";
import { BehaviorSubject, type Observable, type Subscription } from "rxjs";
import { WEAVE_BRIDGE } from "../bridge/bridge-rules.ts";
import { CONFLIST_FILE, CONFLIST_TEXT } from "../cni/conflist.ts";
import type { WeaveIpam } from "../cni/weave-ipam.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import { Weaver } from "../weaver/weaver.ts";
import type { WeaverConfig } from "../weaver/weaver-config.ts";
import { WeaverDatabase } from "../weaver/weaver-database.ts";
import { WeaverError } from "../weaver/weaver-error.ts";
import { kubePeers } from "./kube-peers.ts";
import { systemPeerName } from "./peer-name.ts";
import { isListed, type Reclaimer, reclaim, reclaimRemovedPeers } from "./reclaim.ts";

/**
 * How long its init container takes. By then kube-proxy, which has none, has made its rules, as it has where kubeadm brings it before
 * anybody chooses a network: weave's have to come before `-j KUBE-FORWARD`.
 */
const INIT_MS = 500;
/** launch.sh looks each second whether weaver answers. */
const POLL_MS = 1_000;
/** So that not all peers do at once what one is to do, in ms (prog/kube-utils/main.go). */
const RECLAIM_DELAY_MS = 5_000;
/** Virtual milliseconds before the kubelet starts a container that failed again: doubled up to the limit. */
const FIRST_BACK_OFF_MS = 10_000;
const LONGEST_BACK_OFF_MS = 300_000;
/** After so many failures nobody waits any more, though it goes on. */
const PATIENCE = 4;

/** A pod of the DaemonSet weave-net: weaver, with peers from the API (prog/weave-kube/launch.sh). */
export class WeaveKube implements OverlayEngine {
  readonly name = "weaver";
  readonly #node: NodeContext<Kernel>;
  readonly #config: WeaverConfig;
  readonly #ipam: WeaveIpam;
  readonly #ready = new BehaviorSubject(false);
  readonly #timers = new Set<Timer>();
  #weaver: Weaver | undefined;
  #nodes: Subscription | undefined;
  #problem: string | undefined;
  #failures = 0;
  #starts = 0;

  constructor(node: NodeContext<Kernel>, config: WeaverConfig, ipam: WeaveIpam) {
    this.#node = node;
    this.#config = config;
    this.#ipam = ipam;
  }

  get ready(): Observable<boolean> {
    return this.#ready;
  }

  get mtu(): number {
    return this.#weaver?.mtu ?? 0;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** What keeps pods from coming up though it works, and what a person may have meant otherwise. */
  get warnings(): readonly string[] {
    const { problem } = this.#ipam;
    const { name, config } = this.#node;
    const { ipallocRange } = this.#config;
    const warnings = problem === undefined ? [] : [`${name}: ${problem}`];
    if (!config.clusterCidrs.some((cidr) => cidr.covers(ipallocRange))) {
      warnings.push(
        `Weave gives pods addresses of ${ipallocRange}, not of --cluster-cidr ${config.clusterCidrs.join(",")}: kube-proxy takes pods for strangers and hides them behind nodes; leave it out, or set ipalloc-range`,
      );
    }
    return warnings;
  }

  /** The process, while it runs. */
  get weaver(): Weaver | undefined {
    return this.#weaver;
  }

  start(): void {
    if (this.#weaver !== undefined || this.#timers.size > 0) return;
    const { files, initNs } = this.#node.machine;
    initNs.sysctl.set("net/bridge/bridge-nf-call-iptables", 1);
    if (files.read(CONFLIST_FILE) === undefined) files.write(CONFLIST_FILE, CONFLIST_TEXT);
    this.#after(INIT_MS, () => this.#launch());
  }

  stop(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#nodes?.unsubscribe();
    this.#nodes = undefined;
    const weaver = this.#weaver;
    this.#weaver = undefined;
    this.#ipam.weaverIs(undefined);
    weaver?.stop();
    this.#ready.next(false);
  }

  #launch(): void {
    try {
      this.#weaver = this.#startWeaver();
    } catch (error) {
      if (!(error instanceof WeaverError || error instanceof KernelError)) throw error;
      this.#problem = error.message;
      const backOff = Math.min(FIRST_BACK_OFF_MS * 2 ** this.#failures, LONGEST_BACK_OFF_MS);
      this.#failures++;
      this.#after(backOff, () => this.#launch(), this.#failures > PATIENCE);
      return;
    }
    this.#problem = undefined;
    this.#failures = 0;
    this.#ipam.weaverIs(this.#weaver);
    const { random } = this.#node;
    this.#after(POLL_MS + random.below(POLL_MS), () => this.#postStart(this.#weaver as Weaver));
  }

  #startWeaver(): Weaver {
    const { machine, api, clock, random, name: node, addresses } = this.#node;
    const { files, initNs } = machine;
    this.#checkNetworkFree();
    const name = systemPeerName(files, node);
    const database = new WeaverDatabase(files, name);
    // Somebody else has what we had.
    if (database.exists && !isListed(api, name)) database.remove();
    const peers = kubePeers(api, addresses);
    const weaver = new Weaver({
      netns: initNs,
      files,
      clock,
      random: random.fork(`weaver ${this.#starts++}`),
      name,
      nickname: node,
      config: this.#config,
      ipallocInit: this.#config.ipallocInit ?? { kind: "consensus", peers: peers.length },
      peers,
    });
    try {
      weaver.start();
    } catch (error) {
      weaver.stop();
      throw error;
    }
    return weaver;
  }

  /** `weaveutil netcheck`: what weave's own bridge leads to does not count. @throws WeaverError */
  #checkNetworkFree(): void {
    const { ipallocRange } = this.#config;
    for (const { prefix, nexthops } of this.#node.machine.initNs.fib4.main.routes()) {
      if (prefix.length === 0 || !prefix.overlaps(ipallocRange)) continue;
      if (nexthops.some(({ dev }) => dev?.name === WEAVE_BRIDGE)) continue;
      throw new WeaverError(
        `Network ${ipallocRange} overlaps with existing route ${prefix} on host`,
      );
    }
  }

  /** What launch.sh does when weaver answers. */
  #postStart(weaver: Weaver): void {
    const { api, name } = this.#node;
    reclaim(this.#reclaimer(weaver));
    weaver.expose(() => this.#setNetworkAvailable());
    this.#nodes = api.watch("Node").subscribe(({ type, object }) => {
      if (type !== "DELETED" || object.metadata.name === name) return;
      const delayMs = this.#node.random.below(RECLAIM_DELAY_MS);
      this.#after(delayMs, () => this.#nodeDeleted(weaver));
    });
    this.#ready.next(true);
  }

  #nodeDeleted(weaver: Weaver): void {
    const { api, addresses } = this.#node;
    reclaimRemovedPeers(this.#reclaimer(weaver));
    weaver.router.connectionMaker.initiate(kubePeers(api, addresses), true);
  }

  #reclaimer(weaver: Weaver): Reclaimer {
    const { api, name: node } = this.#node;
    const peer: PeerName = weaver.allocator.name;
    return { api, peer, node, removePeer: (gone) => weaver.allocator.takeOverRanges(gone) };
  }

  /** `kube-utils -set-node-status`, which clouds want that route themselves. */
  #setNetworkAvailable(): void {
    const { api, clock, name } = this.#node;
    const at = timestamp(clock.now);
    api.update("Node", name, (node) => {
      const conditions = node.status?.conditions ?? [];
      if (
        conditions.some(
          ({ type, reason }) => type === "NetworkUnavailable" && reason === "WeaveIsUp",
        )
      )
        return node;
      const others = conditions.filter(({ type }) => type !== "NetworkUnavailable");
      const condition = {
        type: "NetworkUnavailable",
        status: "False",
        reason: "WeaveIsUp",
        message: "Weave pod has set this",
        lastTransitionTime: at,
      } as const;
      return { ...node, status: { ...node.status, conditions: [...others, condition] } };
    });
  }

  #after(delayMs: number, task: () => void, background = false): void {
    const timer = this.#node.clock.schedule(
      delayMs,
      () => {
        this.#timers.delete(timer);
        task();
      },
      { background },
    );
    this.#timers.add(timer);
  }
}
