import {
  type BridgeEngine,
  CNI_ERROR,
  CniError,
  type CniPlugin,
  type CniResult,
  type IpamEngine,
  type NetworkConfigList,
  type PodAttachment,
} from "@cnilab/core";
import { type Kernel, KernelError } from "@cnilab/linux";
import { Prefix } from "@cnilab/net";
import { IpamEnginePlugin } from "./ipam-engine-plugin.ts";
import { networkOf, parseAddress } from "./parsed-result.ts";
import { PLUGINS } from "./plugins.ts";
import { RequestedAddresses } from "./requested-addresses.ts";
import { CniRuntime, type PluginExecution, type RuntimeConf } from "./runtime.ts";

/** containerd's network for `lo`, which every pod has besides (go-cni, WithLoNetwork). */
const LOOPBACK_LIST: NetworkConfigList = {
  cniVersion: "0.3.1",
  name: "cni-loopback",
  plugins: [{ type: "loopback" }],
};

/** What containerd says of a rate without a burst (internal/cri/server toCNIBandWidth). */
const UNLIMITED_BURST = 0xffffffff;

export interface CniBridgeEngineOptions {
  readonly machine: Kernel;
  /** The node's network, or how to find it each time; while there is none, pods have to wait. */
  readonly network: NetworkConfigList | (() => NetworkConfigList | undefined);
  /** By type; {@link PLUGINS} unless given. */
  readonly plugins?: ReadonlyMap<string, CniPlugin>;
  /** Takes the place of the plugin that `ipam.type` names. */
  readonly ipam?: IpamEngine;
  /** Told of each plugin of the network right after it ran. */
  readonly observe?: (execution: PluginExecution) => void;
}

/** Joins pods to a node as a container runtime does: by the CNI plugins of its network configuration. */
export class CniBridgeEngine implements BridgeEngine {
  readonly #options: CniBridgeEngineOptions;
  readonly #machine: Kernel;
  /** For all pods without wishes of their own. */
  readonly #runtime: CniRuntime;

  constructor(options: CniBridgeEngineOptions) {
    this.#options = options;
    this.#machine = options.machine;
    this.#runtime = this.#newRuntime(undefined);
  }

  attach(attachment: PodAttachment): CniResult {
    const list = this.#network();
    const runtime = this.#runtimeFor(attachment);
    if (this.#hasLoopback) {
      this.#runtime.addNetworkList(LOOPBACK_LIST, new PodRuntimeConf(attachment, "lo"));
    }
    const result = runtime.addNetworkList(list, confOf(attachment));
    if (attachment.requestedIps !== undefined) this.#routeForeign(attachment, result);
    return result;
  }

  detach(attachment: PodAttachment): void {
    const list = this.#findNetwork();
    if (list !== undefined) {
      if (attachment.requestedIps !== undefined) this.#unrouteForeign(attachment);
      this.#runtimeFor(attachment).delNetworkList(list, confOf(attachment));
    }
    if (this.#hasLoopback) {
      this.#runtime.delNetworkList(LOOPBACK_LIST, new PodRuntimeConf(attachment, "lo"));
    }
  }

  /** On Windows containerd leaves it out (internal/cri/server/service_windows.go cniLoadOptions). */
  get #hasLoopback(): boolean {
    return this.#machine.os === "linux";
  }

  check(attachment: PodAttachment): void {
    this.#runtimeFor(attachment).checkNetworkList(this.#network(), confOf(attachment));
  }

  #network(): NetworkConfigList {
    const list = this.#findNetwork();
    if (list !== undefined) return list;
    throw new CniError(CNI_ERROR.tryAgainLater, "cni plugin not initialized");
  }

  #findNetwork(): NetworkConfigList | undefined {
    const { network } = this.#options;
    return typeof network === "function" ? network() : network;
  }

  /** A pod that has wishes, or whose identity an IPAM engine wants to know, gets a runtime of its own. */
  #runtimeFor({ pod, requestedIps }: PodAttachment): CniRuntime {
    const { ipam } = this.#options;
    if (ipam !== undefined) return this.#newRuntime(new IpamEnginePlugin(ipam, pod, requestedIps));
    if (requestedIps === undefined || requestedIps.length === 0) return this.#runtime;
    return this.#newRuntime(new RequestedAddresses(requestedIps));
  }

  #newRuntime(ipam: CniPlugin | undefined): CniRuntime {
    const { observe, plugins = PLUGINS } = this.#options;
    return new CniRuntime({
      host: this.#machine,
      plugins,
      ...(ipam !== undefined && { ipam }),
      ...(observe !== undefined && { observe }),
    });
  }

  /**
   * Makes an address from outside of the node's range work. In the pod its network is not on the link but
   * behind the gateway, as with ptp; on the node a route leads to it by the device that has the gateway.
   */
  #routeForeign({ sandbox, ifName, requestedIps = [] }: PodAttachment, result: CniResult): void {
    const pod = this.#machine.findNamespace(sandbox.path);
    const host = this.#machine.initNs;
    for (const ip of (result.ips ?? []).map(parseAddress)) {
      const { address, gateway } = ip;
      if (gateway === undefined || !requestedIps.includes(address)) continue;
      const dst = networkOf(ip);
      const towards = host.deviceWithAddress(gateway);
      if (dst.contains(gateway) || pod === undefined || towards === undefined) continue;
      const dev = pod.device(ifName);
      ignoring("ESRCH", () => pod.deleteRoute({ dst, dev }));
      ignoring("EEXIST", () => pod.addRoute({ dst, dev, via: gateway, src: address }));
      ignoring("EEXIST", () => host.addRoute({ dst: Prefix.host(address), dev: towards }));
    }
  }

  #unrouteForeign({ requestedIps = [] }: PodAttachment): void {
    const host = this.#machine.initNs;
    for (const ip of requestedIps) {
      const dst = Prefix.host(ip);
      ignoring("ESRCH", () => host.deleteRoute({ dst, protocol: "boot" }));
    }
  }
}

function ignoring(errno: KernelError["errno"], what: () => void): void {
  try {
    what();
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== errno) throw error;
  }
}

/**
 * What containerd tells plugins of a pod (internal/cri/server cniNamespaceOpts). It is kept as long as the pod
 * is there, hence as little of it as will do.
 */
class PodRuntimeConf implements RuntimeConf {
  readonly #attachment: PodAttachment;
  readonly ifName: string;

  constructor(attachment: PodAttachment, ifName: string) {
    this.#attachment = attachment;
    this.ifName = ifName;
  }

  get containerId(): string {
    return this.#attachment.containerId;
  }

  get netns(): string {
    return textsOf(this.#attachment).netns;
  }

  get args(): string {
    return textsOf(this.#attachment).args;
  }

  get capabilityArgs(): Readonly<Record<string, unknown>> | undefined {
    return capabilityArgsOf(this.#attachment);
  }
}

function confOf(attachment: PodAttachment): PodRuntimeConf {
  return new PodRuntimeConf(attachment, attachment.ifName);
}

interface PodTexts {
  readonly of: PodAttachment;
  readonly netns: string;
  readonly args: string;
}

/** Of the pod that was asked for last: several plugins run for one pod, and their results share its texts. */
let last: PodTexts | undefined;

function textsOf(attachment: PodAttachment): PodTexts {
  if (last?.of !== attachment) {
    last = { of: attachment, netns: attachment.sandbox.path, args: cniArgs(attachment) };
  }
  return last;
}

function cniArgs({ containerId, pod }: PodAttachment): string {
  return (
    `K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name};` +
    `K8S_POD_INFRA_CONTAINER_ID=${containerId};K8S_POD_UID=${pod.uid};IgnoreUnknown=1`
  );
}

function capabilityArgsOf({
  portMappings,
  bandwidth,
}: PodAttachment): Record<string, unknown> | undefined {
  if (portMappings.length === 0 && bandwidth === undefined) return undefined;
  const args: Record<string, unknown> = {};
  if (portMappings.length > 0) {
    args["portMappings"] = portMappings.map((mapping) => ({
      ...mapping,
      protocol: mapping.protocol.toLowerCase(),
    }));
  }
  if (bandwidth !== undefined) {
    const { ingressRate, ingressBurst, egressRate, egressBurst } = bandwidth;
    args["bandwidth"] = {
      ...(ingressRate && { ingressRate, ingressBurst: ingressBurst ?? UNLIMITED_BURST }),
      ...(egressRate && { egressRate, egressBurst: egressBurst ?? UNLIMITED_BURST }),
    };
  }
  return args;
}
