import {
  type ApiClient,
  type EndpointSlice,
  SeededRandom,
  type Service,
  type Snapshot,
  VirtualClock,
} from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { BehaviorSubject, Subject } from "rxjs";
import { beforeEach, describe, expect, test } from "vitest";
import { service } from "../test/objects.ts";
import { DEFAULT_CONFIG } from "./config.ts";
import { KubeProxy } from "./kube-proxy.ts";
import { ProxyHealthServer } from "./proxy-health-server.ts";
import { ServiceHealthServer } from "./service-health-server.ts";
import { type ServiceState, ServiceStates } from "./service-state.ts";

let clock: VirtualClock;
let services: Subject<Snapshot<Service>>;
let slices: Subject<Snapshot<EndpointSlice>>;
/** When syncs were, and with how many service ports. */
let syncs: [at: number, ports: number][];
let proxy: KubeProxy;
let version: number;

beforeEach(() => {
  clock = new VirtualClock();
  version = 0;
  services = new BehaviorSubject(servicesNamed());
  slices = new BehaviorSubject<Snapshot<EndpointSlice>>({ version: 0, objects: new Map() });
  syncs = [];
  proxy = makeProxy();
});

function makeProxy(): KubeProxy {
  const snapshots = (kind: string) => (kind === "Service" ? services : slices);
  const api = { snapshots } as unknown as ApiClient;
  const sync = (state: ServiceState) => void syncs.push([clock.now, state.ports.length]);
  const { initNs } = new Kernel(new Network(clock, new SeededRandom(1)), "n1");
  const node = { name: "n1", api, clock };
  const server = new ServiceHealthServer(initNs, { name: "n1", zone: "" }, [undefined], () => true);
  const families = [{ states: new ServiceStates(4), proxier: { sync }, health: server }];
  const config = { ...DEFAULT_CONFIG, minSyncPeriod: 1000 };
  return new KubeProxy(node, config, families, new ProxyHealthServer(initNs, node));
}

function servicesNamed(...names: string[]): Snapshot<Service> {
  const spec = { clusterIP: "10.96.0.10", ports: [{ port: 80 }] };
  const objects = new Map(names.map((name) => [`default/${name}`, service(name, spec)]));
  return { version: ++version, objects };
}

/** Changes the Services at these moments, each time by one more. */
function changeAt(...times: number[]): void {
  const names = times.map((_, i) => `web${i}`);
  times.forEach((at, i) => {
    clock.schedule(at - clock.now, () => services.next(servicesNamed(...names.slice(0, i + 1))));
  });
}

describe("a sync", () => {
  test.each<[string, changes: number[], syncs: [number, number][]]>([
    ["comes when it starts, even for nothing", [], [[0, 0]]],
    [
      "comes at once when the last one is long ago",
      [5000],
      [
        [0, 0],
        [5000, 1],
      ],
    ],
    [
      "waits for minSyncPeriod after the last one",
      [300],
      [
        [0, 0],
        [1000, 1],
      ],
    ],
    [
      "comes once for all changes in that time",
      [300, 600, 999],
      [
        [0, 0],
        [1000, 3],
      ],
    ],
    [
      "counts the time from sync to sync",
      [300, 1200, 2500],
      [
        [0, 0],
        [1000, 1],
        [2000, 2],
        [3000, 3],
      ],
    ],
    [
      "comes at once at the end of the period",
      [1000],
      [
        [0, 0],
        [1000, 1],
      ],
    ],
  ])("%s", (_name, changes, expected) => {
    proxy.start();
    changeAt(...changes);
    clock.runUntil(10_000);
    expect(syncs).toEqual(expected);
  });

  test("needs both kinds", () => {
    slices = new Subject();
    proxy.start();
    clock.runUntil(5000);
    expect(syncs).toEqual([]);
    slices.next({ version: 1, objects: new Map() });
    clock.runUntil(6000);
    expect(syncs).toEqual([[5000, 0]]);
  });
});

test("it is ready after the first sync, until it stops", () => {
  const ready: boolean[] = [];
  proxy.ready.subscribe((r) => ready.push(r));
  proxy.start();
  expect(ready).toEqual([false]);
  clock.runUntil(0);
  expect(ready).toEqual([false, true]);
  changeAt(5000);
  clock.runUntil(6000);
  expect(ready).toEqual([false, true]);
  proxy.stop();
  expect(ready).toEqual([false, true, false]);
});

test("stopped, it syncs no more, not even what was due", () => {
  proxy.start();
  changeAt(300, 5000);
  clock.runUntil(500);
  proxy.stop();
  clock.runUntil(10_000);
  expect(syncs).toEqual([[0, 0]]);
});

test("started again, it syncs at once with all that is there", () => {
  proxy.start();
  clock.runUntil(0);
  proxy.stop();
  changeAt(100);
  clock.runUntil(200);
  proxy.start();
  clock.runUntil(200);
  expect(syncs).toEqual([
    [0, 0],
    [200, 1],
  ]);
});

test("started twice, it syncs once", () => {
  proxy.start();
  proxy.start();
  clock.runUntil(10_000);
  expect(syncs).toEqual([[0, 0]]);
});
