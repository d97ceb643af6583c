import type { CniCall, CniPlugin, CniResult } from "@cnilab/core";
import {
  Ifb,
  type NetDevice,
  type NetNamespace,
  type TokenBucket,
  TrafficControl,
  Veth,
} from "@cnilab/linux";
import { formatMac } from "@cnilab/net";
import { hashName } from "./chain-name.ts";
import { errnoText, failure } from "./failure.ts";
import { asVersion } from "./result-version.ts";
import { kernelOf, openSandbox } from "./sandbox-netns.ts";
import { versionsSince } from "./spec-version.ts";

/** Seconds that a packet may wait for tokens. */
const LATENCY_S = 0.025;
const IFNAME_LENGTH = 15;

/** Bits a second and bits; 0 for no limit. */
interface Bandwidth {
  readonly ingressRate: number;
  readonly ingressBurst: number;
  readonly egressRate: number;
  readonly egressBurst: number;
}

/**
 * Limits how much a container receives, by a token bucket on the host's end of its veth, and how much it
 * sends, by one on an ifb that everything from it is redirected to (plugins/meta/bandwidth).
 */
export const bandwidth: CniPlugin = {
  type: "bandwidth",
  supportedVersions: versionsSince("0.3.0"),

  add(call: CniCall): CniResult {
    const limits = loadBandwidth(call);
    const { prevResult, cniVersion } = call.config;
    if (prevResult === undefined) throw failure("must be called as chained plugin");
    if (limits === undefined) return asVersion(prevResult, cniVersion);
    const host = kernelOf(call).initNs;
    const veth = hostEnd(call, prevResult);
    if (limits.ingressRate > 0) shape(veth, limits.ingressRate, limits.ingressBurst, "");
    if (limits.egressRate === 0) return asVersion(prevResult, cniVersion);
    const ifb = createIfb(host, ifbName(call), veth.mtu);
    redirect(veth, ifb);
    shape(ifb, limits.egressRate, limits.egressBurst, "create ifb qdisc: ");
    const added = { name: ifb.name, mac: formatMac(ifb.mac) };
    const interfaces = [...(prevResult.interfaces ?? []), added];
    return asVersion({ ...prevResult, interfaces }, cniVersion);
  },

  del(call: CniCall): void {
    loadBandwidth(call);
    kernelOf(call).initNs.findDevice(ifbName(call))?.remove();
  },

  check(call: CniCall): void {
    const limits = loadBandwidth(call);
    const { prevResult } = call.config;
    if (prevResult === undefined) throw failure("must be called as a chained plugin");
    const veth = hostEnd(call, prevResult);
    if (limits === undefined) return;
    if (limits.ingressRate > 0) expectBucket(veth, limits.ingressRate, limits.ingressBurst);
    if (limits.egressRate === 0) return;
    const ifb = kernelOf(call).initNs.findDevice(ifbName(call));
    if (ifb === undefined) throw failure("get ifb device: Link not found");
    expectBucket(ifb, limits.egressRate, limits.egressBurst);
  },
};

/** The limits of the configuration, or else of the runtime; `undefined` where there are none. @throws CniError */
function loadBandwidth({ config }: CniCall): Bandwidth | undefined {
  const inConfig = FIELDS.some((field) => config[field] !== undefined);
  const given = (
    inConfig ? config : (config.runtimeConfig?.["bandwidth"] ?? {})
  ) as Partial<Bandwidth>;
  const limits: Bandwidth = {
    ingressRate: given.ingressRate ?? 0,
    ingressBurst: given.ingressBurst ?? 0,
    egressRate: given.egressRate ?? 0,
    egressBurst: given.egressBurst ?? 0,
  };
  validate(limits.ingressRate, limits.ingressBurst);
  validate(limits.egressRate, limits.egressBurst);
  return limits.ingressRate > 0 || limits.egressRate > 0 ? limits : undefined;
}

const FIELDS: readonly (keyof Bandwidth)[] = [
  "ingressRate",
  "ingressBurst",
  "egressRate",
  "egressBurst",
];

function validate(rate: number, burst: number): void {
  if (burst === 0 && rate !== 0) throw failure("if rate is set, burst must also be set");
  if (rate === 0 && burst !== 0) throw failure("if burst is set, rate must also be set");
  if (Math.floor(burst / 8) >= 0xffffffff) throw failure("burst cannot be more than 4GB");
}

function ifbName({ config, containerId }: CniCall): string {
  return hashName(IFNAME_LENGTH, "bwp", config.name + containerId);
}

/** The host's end of the container's veth, which the result must have too. @throws CniError */
function hostEnd(call: CniCall, { interfaces = [] }: CniResult): NetDevice {
  const sandbox = openSandbox(call);
  if (interfaces.length === 0) throw failure("no interfaces provided");
  const { ifName } = call;
  const dev = sandbox.findDevice(ifName);
  if (dev === undefined) {
    throw failure(
      `container interface ${ifName} has no veth peer: could not look up "${ifName}": Link not found`,
    );
  }
  if (!(dev instanceof Veth) || dev.peer === undefined) {
    throw failure(
      `container interface ${ifName} has no veth peer: interface "${ifName}" was not a veth interface`,
    );
  }
  const { peer } = dev;
  if (peer.netns !== kernelOf(call).initNs) {
    throw failure(`veth peer with index ${peer.ifindex} is not in host ns`);
  }
  if (!interfaces.some((i) => !i.sandbox && i.name === peer.name)) {
    throw failure("no veth peer of container interface found in host ns");
  }
  return peer;
}

function createIfb(host: NetNamespace, name: string, mtu: number): Ifb {
  try {
    const ifb = new Ifb(host, { name, mtu });
    ifb.setUp();
    return ifb;
  } catch (error) {
    throw failure(`adding link: ${errnoText(error)}`);
  }
}

/** `tc qdisc add dev DEV ingress` and a filter that takes everything. */
function redirect(veth: NetDevice, ifb: Ifb): void {
  veth.tc ??= new TrafficControl(veth);
  if (veth.tc.redirect !== undefined) throw failure("create ingress qdisc: file exists");
  veth.tc.redirect = { kind: "mirred", to: ifb };
  veth.network.touch();
}

function shape(dev: NetDevice, rate: number, burst: number, where: string): void {
  dev.tc ??= new TrafficControl(dev);
  if (dev.tc.root !== undefined) throw failure(`${where}create qdisc: file exists`);
  dev.tc.root = tokenBucket(rate, burst);
  dev.network.touch();
}

/** @param rate bits a second @param burst bits */
function tokenBucket(rate: number, burst: number): TokenBucket {
  const bytesPerSecond = Math.floor(rate / 8);
  const bytes = Math.floor(burst / 8);
  return {
    kind: "tbf",
    handle: "1:",
    rate: bytesPerSecond,
    burst: bytes,
    limit: (Math.floor(bytesPerSecond * LATENCY_S) + bytes) % 2 ** 32,
  };
}

function expectBucket(dev: NetDevice, rate: number, burst: number): void {
  const there = dev.tc?.root;
  // The queue that a device has by itself is not a token bucket: nothing to compare.
  if (there === undefined) return;
  const wanted = tokenBucket(rate, burst);
  if (there.rate !== wanted.rate) throw failure("Rate doesn't match");
  if (there.limit !== wanted.limit) throw failure("Limit doesn't match");
  if (there.burst !== wanted.burst) throw failure("Buffer doesn't match");
}
