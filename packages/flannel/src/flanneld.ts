import type { Clock, HostFiles, OverlayEngine, Random, Timer } from "@cnilab/core";
import { KernelError, type NetNamespace } from "@cnilab/linux";
import { BehaviorSubject, type Observable } from "rxjs";
import type { Backend } from "./backend/backend.ts";
import { attempt } from "./backend/device-address.ts";
import { makeBackend } from "./backend/make-backend.ts";
import type { FlanneldOptions } from "./conf/flanneld-options.ts";
import { type NetConf, networkOf } from "./conf/net-conf.ts";
import { lookupExternalInterface } from "./external-interface.ts";
import type { Lease } from "./lease/lease.ts";
import { FlanneldError, type SubnetManager } from "./lease/subnet-manager.ts";
import { formatSubnetEnv, parseSubnetEnv } from "./subnet-env.ts";
import { IptablesTraffic } from "./traffic/iptables-traffic.ts";
import { NftablesTraffic } from "./traffic/nftables-traffic.ts";
import type { TrafficContext, TrafficRules } from "./traffic/traffic-rules.ts";

/** Virtual milliseconds before the kubelet starts a container that failed again: doubled up to the limit. */
const FIRST_BACK_OFF_MS = 10_000;
const LONGEST_BACK_OFF_MS = 300_000;
/** After so many failures nobody waits any more, though it goes on. */
const PATIENCE = 4;

/** Lines of its log that are kept. */
const LOG_LINES = 100;

export interface FlanneldEnvironment {
  readonly netns: NetNamespace;
  readonly files: HostFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly conf: NetConf;
  readonly options: FlanneldOptions;
  /** Made anew for each run of the program. */
  readonly subnetManager: () => SubnetManager;
  /** Told when the node is prepared, before pods are let in. */
  readonly prepared?: (lease: Lease) => void;
}

/** One run of the program. */
interface Run {
  readonly backend: Backend;
  readonly traffic: TrafficRules;
  readonly timers: Set<Timer>;
  /** What has to be ended with it. */
  readonly endings: (() => void)[];
}

/** The daemon of one node (main.go), started again when it fails, as a DaemonSet's is. */
export class Flanneld implements OverlayEngine {
  readonly name = "flanneld";
  readonly #environment: FlanneldEnvironment;
  readonly #ready = new BehaviorSubject(false);
  readonly #log: string[] = [];
  #run: Run | undefined;
  #restart: Timer | undefined;
  #failures = 0;

  constructor(environment: FlanneldEnvironment) {
    this.#environment = environment;
  }

  get ready(): Observable<boolean> {
    return this.#ready;
  }

  get mtu(): number {
    return this.#run?.backend.mtu ?? 0;
  }

  /** What went wrong, the last lines. */
  get log(): readonly string[] {
    return this.#log;
  }

  /** Why it does not run, if it was started. */
  get problem(): string | undefined {
    return this.#run === undefined ? this.#log.at(-1) : undefined;
  }

  start(): void {
    if (this.#run !== undefined) return;
    this.#restart?.cancel();
    this.#restart = undefined;
    try {
      this.#run = this.#begin();
    } catch (error) {
      if (!(error instanceof FlanneldError)) throw error;
      this.#note(error.message);
      this.#startLater();
      return;
    }
    this.#failures = 0;
    this.#ready.next(true);
  }

  /** The order of main.go: configuration, interface, backend, rules, subnet.env. */
  #begin(): Run {
    const { netns, files, clock, random, conf, options, subnetManager } = this.#environment;
    const manager = subnetManager();
    const isLinux = netns.kernel.os === "linux";
    if (isLinux && !conf.enableNFTables && !netns.kernel.brNetfilter) {
      throw new FlanneldError(
        "Failed to check br_netfilter: stat /proc/sys/net/bridge/bridge-nf-call-iptables: no such file or directory",
      );
    }
    const publicIp = manager.storedPublicIp(4) ?? options.publicIp;
    const publicIpv6 = manager.storedPublicIp(6) ?? options.publicIpv6;
    const iface = lookupExternalInterface(netns, conf, { ...options, publicIp, publicIpv6 });
    const log = (message: string) => this.#note(message);
    const backend = makeBackend({ netns, files, clock, random, conf, iface, leases: manager, log });
    const lease = register(backend, manager);
    const traffic = isLinux ? this.#setUpTraffic(lease) : NO_TRAFFIC_RULES;
    files.write(options.subnetFile, formatSubnetEnv(conf, lease, backend.mtu, options.ipMasq));
    const run: Run = { backend, traffic, timers: new Set(), endings: [] };
    if (options.ipBlackholeRoute) this.#keepBlackholes(run, lease);
    this.#environment.prepared?.(lease);
    run.endings.push(manager.completeLease(lease, () => this.#revoked()));
    // The leases are watched in a goroutine of its own. At this moment the other nodes' daemons may
    // still be starting, and all their leases come together.
    if (conf.backend.type !== "alloc") this.#after(run, 0, () => this.#watch(run, manager));
    return run;
  }

  #setUpTraffic(lease: Lease): TrafficRules {
    const { netns, clock, conf, options, files } = this.#environment;
    const previous = parseSubnetEnv(files.read(options.subnetFile));
    const context: TrafficContext = { netns, clock, conf, options, lease, previous };
    if (conf.enableNFTables) IptablesTraffic.cleanUp(netns);
    else NftablesTraffic.cleanUp(netns);
    const traffic = conf.enableNFTables
      ? new NftablesTraffic(context)
      : new IptablesTraffic(context);
    if (options.ipMasq) traffic.setUpMasquerade();
    if (options.iptablesForwardRules) traffic.setUpForward();
    return traffic;
  }

  #watch(run: Run, manager: SubnetManager): void {
    const { backend } = run;
    run.endings.push(
      manager.watchLeases(({ table, events }) => {
        if (events === undefined) backend.run(table);
        else backend.update(table, events);
      }),
    );
  }

  /** `--ip-blackhole-route`: pods' addresses that nobody has lead nowhere, where no bridge has the network. */
  #keepBlackholes(run: Run, lease: Lease): void {
    const { netns, conf, options } = this.#environment;
    for (const family of [4, 6] as const) {
      const dst = family === 4 ? lease.subnet : lease.ipv6Subnet;
      if (networkOf(conf, family) === undefined || dst === undefined) continue;
      const keep = () => {
        const there = netns
          .fib(family)
          .routesTo(dst)
          .some((r) => r.type === "blackhole");
        const error = there ? undefined : attempt(() => netns.addRoute({ dst, type: "blackhole" }));
        if (error !== undefined) this.#note(`Failed to setup blackhole route, ${error.message}`);
        this.#after(run, options.iptablesResyncSeconds * 1000, keep, true);
      };
      this.#after(run, options.iptablesResyncSeconds * 1000, keep, true);
    }
  }

  #after(run: Run, delayMs: number, task: () => void, background = false): void {
    const timer = this.#environment.clock.schedule(
      delayMs,
      () => {
        run.timers.delete(timer);
        task();
      },
      { background },
    );
    run.timers.add(timer);
  }

  /** Somebody deleted the node's lease: the program exits, and is started again. */
  #revoked(): void {
    this.#note("Lease has been revoked. Shutting down daemon.");
    this.#end();
    this.#startLater();
  }

  #startLater(): void {
    const backOff = Math.min(FIRST_BACK_OFF_MS * 2 ** this.#failures, LONGEST_BACK_OFF_MS);
    this.#failures++;
    const background = this.#failures > PATIENCE;
    this.#restart = this.#environment.clock.schedule(backOff, () => this.start(), { background });
  }

  stop(): void {
    this.#restart?.cancel();
    this.#restart = undefined;
    this.#end();
  }

  /** Nothing is cleaned up but what goes with the process. */
  #end(): void {
    const run = this.#run;
    if (run === undefined) return;
    this.#run = undefined;
    for (const timer of run.timers) timer.cancel();
    for (const end of run.endings) end();
    run.traffic.stop();
    run.backend.stop();
    this.#ready.next(false);
  }

  #note(message: string): void {
    this.#log.push(message);
    if (this.#log.length > LOG_LINES) this.#log.shift();
  }
}

/** Windows has none: what pods send out is translated at their own ports (iptables_windows.go). */
const NO_TRAFFIC_RULES: TrafficRules = { setUpMasquerade() {}, setUpForward() {}, stop() {} };

/** Prepares the node. What the kernel refuses meanwhile ends the program, and its devices with it. */
function register(backend: Backend, manager: SubnetManager): Lease {
  try {
    return backend.register((attributes) => manager.acquireLease(attributes));
  } catch (error) {
    backend.stop();
    if (error instanceof KernelError) {
      throw new FlanneldError(`Error registering network: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
