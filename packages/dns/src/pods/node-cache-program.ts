import { type ContainerProgram, imageName, type ProgramContext, type Service } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { formatIp, tryParseIp } from "@cnilab/net";
import { parseResolvConf } from "../resolver/resolv-conf.ts";
import { CoreDnsProcess } from "./core-dns-process.ts";
import { NodeCacheNetwork } from "./node-cache-network.ts";
import { UPSTREAM_SERVICE } from "./node-local-objects.ts";
import { flagOf } from "./program-arguments.ts";

const DNS_PORT = 53;
const CONFIG = "/etc/coredns/Corefile.base";

/** kubernetes/dns cmd/node-cache: CoreDNS behind addresses and rules of its own, with its upstream servers written into the Corefile. */
export const NODE_CACHE_PROGRAM: ContainerProgram<NetNamespace> = {
  name: "node-cache",
  runs: ({ image }) => imageName(image) === "k8s-dns-node-cache",
  start: (context) => {
    const { metadata } = context.pod;
    const addresses = (flagOf(context.container, "localip") ?? "")
      .split(",")
      .flatMap((ip) => tryParseIp(ip.trim()) ?? []);
    const network = new NodeCacheNetwork(context.netns, addresses, DNS_PORT, {
      kind: "Pod",
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      name: metadata.name,
    });
    network.setUp();
    const read = () => corefileOf(context);
    const process = startOrUndo(context, read, network);
    return {
      stop: () => {
        process.stop();
        network.tearDown();
      },
      hangUp: () => process.hangUp(),
    };
  },
};

function startOrUndo(
  context: ProgramContext<NetNamespace>,
  read: () => string | undefined,
  network: NodeCacheNetwork,
): CoreDnsProcess {
  try {
    const path = flagOf(context.container, "conf") ?? "/etc/Corefile";
    return new CoreDnsProcess(context, { path, read });
  } catch (error) {
    network.tearDown();
    throw error;
  }
}

/** The base with its placeholders filled in (cmd/node-cache/app/configmap.go updateCorefile). */
function corefileOf(context: ProgramContext<NetNamespace>): string | undefined {
  const base = context.readFile(CONFIG);
  const { nameservers } = parseResolvConf(context.readFile("/etc/resolv.conf") ?? "");
  const servers = nameservers.map(formatIp).join(" ");
  return base
    ?.replaceAll("__PILLAR__CLUSTER__DNS__", upstreamOf(context) ?? servers)
    .replaceAll("__PILLAR__UPSTREAM__SERVERS__", "/etc/resolv.conf");
}

/** Links to Services reach a real container as environment; here the Service is looked at itself. */
function upstreamOf({ container, node, pod }: ProgramContext<NetNamespace>): string | undefined {
  const name = flagOf(container, "upstreamsvc") ?? UPSTREAM_SERVICE;
  const service: Service | undefined = node.api.get("Service", `${pod.metadata.namespace}/${name}`);
  const ips = (service?.spec.clusterIPs ?? []).filter((ip) => tryParseIp(ip) !== undefined);
  return ips.length === 0 ? undefined : ips.join(" ");
}
