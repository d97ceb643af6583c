import {
  CniError,
  type CniResult,
  type NetworkConfigList,
  type NetworkPluginConfig,
  SeededRandom,
  VirtualClock,
} from "@cnilab/core";
import { Kernel, Network } from "@cnilab/linux";
import { CniRuntime, PLUGINS, type RuntimeConf } from "../src/index.ts";
import { runOnHost } from "./replay/host-shell.ts";

/** A machine with CNI plugins, and what tests do with it. */
export class TestNode {
  readonly kernel: Kernel = new Kernel(
    new Network(new VirtualClock(), new SeededRandom(1)),
    "node",
  );
  readonly runtime: CniRuntime = new CniRuntime({ host: this.kernel, plugins: PLUGINS });

  /** @param setup shell lines */
  constructor(...setup: readonly string[]) {
    for (const line of setup) runOnHost(this.kernel, line);
  }

  add(list: NetworkConfigList, id = "c1", more: Partial<RuntimeConf> = {}): CniResult {
    return this.runtime.addNetworkList(list, this.conf(id, more));
  }

  del(list: NetworkConfigList, id = "c1", more: Partial<RuntimeConf> = {}): void {
    this.runtime.delNetworkList(list, this.conf(id, more));
  }

  check(list: NetworkConfigList, id = "c1", more: Partial<RuntimeConf> = {}): void {
    this.runtime.checkNetworkList(list, this.conf(id, more));
  }

  /** A container's namespace is made when it is first spoken of. */
  conf(id: string, more: Partial<RuntimeConf> = {}): RuntimeConf {
    const sandbox = this.kernel.findNamespace(id) ?? this.kernel.addNamespace(id);
    return { containerId: id, netns: sandbox.path, ifName: "eth0", ...more };
  }
}

export function network(...plugins: readonly NetworkPluginConfig[]): NetworkConfigList {
  return { cniVersion: "1.0.0", name: "net1", plugins };
}

/** What a failing call says: code and message. */
export function failureOf(what: () => unknown): string {
  try {
    what();
  } catch (error) {
    if (error instanceof CniError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "no failure";
}
