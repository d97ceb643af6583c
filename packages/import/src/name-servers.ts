import { ContainerFiles, podFile } from "@cnilab/cluster";
import {
  type ApiClient,
  type ClusterConfig,
  type Container,
  type Pod,
  ProgramExit,
  type Random,
} from "@cnilab/core";
import { CORE_DNS_PROGRAM, kubeadmCorefile } from "@cnilab/dns";
import { type Kernel, KernelError, type NetNamespace } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";

/** What a saved pod's program finds around it. */
export interface SavedPodContext {
  readonly api: ApiClient;
  readonly config: ClusterConfig;
  readonly kernel: Kernel;
  readonly addresses: readonly IpAddress[];
  readonly random: Random;
}

/**
 * Lets a pod that ran CoreDNS answer names: its sockets were saved, and what it read of the API server and of its ConfigMap is known.
 * @returns why it does not, where it should
 */
export function startNameServer(
  pod: Pod,
  netns: NetNamespace,
  context: SavedPodContext,
): string | undefined {
  const container = pod.spec.containers.find((c) => CORE_DNS_PROGRAM.runs(c, pod));
  if (container === undefined) return undefined;
  // What stands for the program's saved sockets gives way. In the host's network others' are among them.
  if (netns !== context.kernel.initNs) {
    for (const sockets of [netns.sockets.udp, netns.sockets.tcpListeners]) {
      for (const socket of [...sockets.all()]) socket.close();
    }
  }
  try {
    start(pod, container, netns, context);
    return undefined;
  } catch (error) {
    if (error instanceof ProgramExit || error instanceof KernelError) return error.message;
    throw error;
  }
}

function start(
  pod: Pod,
  container: Container,
  netns: NetNamespace,
  { api, config, kernel, addresses, random }: SavedPodContext,
): void {
  const { clock } = netns.network;
  const files = new ContainerFiles(pod, container, api, kernel.files, (path) =>
    podFile(pod, path, { api, config, files: kernel.files }),
  );
  const { namespace, name } = pod.metadata;
  CORE_DNS_PROGRAM.start({
    netns,
    pod,
    container,
    node: {
      name: kernel.hostname,
      machine: kernel,
      api,
      clock,
      random,
      config,
      addresses,
      podCidrs: () => [],
    },
    random,
    owner: `${namespace}/${name}/${container.name}`,
    // Objects are often saved without ConfigMaps; kubeadm's is the usual one.
    readFile: (path) =>
      files.read(path) ??
      (path.endsWith("/Corefile") ? kubeadmCorefile(config.clusterDomain) : undefined),
    log: () => {},
    exit: () => {},
  });
}
