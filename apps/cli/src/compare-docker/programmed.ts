import type { Cluster } from "@cnilab/cluster";
import { isAddOn } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { isLinkLocal, isLoopback, isMulticast } from "@cnilab/net";
import type { DockerWorld } from "../docker/docker-world.ts";
import { ruleCounts } from "../docker/rule-counts.ts";
import type { ConfiguredCounts } from "./configured.ts";

/** What dockerd did by itself: addresses given, ports chosen, routes and rules in kernels, names answered. */
export function dockerProgrammed(world: DockerWorld): ConfiguredCounts {
  const { stack, docker, host } = world;
  const { networks } = stack.project;
  const containers = stack.containers.map(({ container }) => container);
  const endpoints = containers.flatMap((container) => container.endpoints);
  const fixed = stack.containers
    .flatMap(({ service }) => service.attachments)
    .filter((a) => a.address !== undefined);
  const chosen = stack.containers
    .flatMap(({ service }) => service.published)
    .filter(({ hostPorts }) => hostPorts === undefined);
  const gateways = networks.filter(
    ({ name, gateway }) =>
      gateway === undefined && docker.networks.get(name)?.gateway !== undefined,
  );
  return {
    addresses: endpoints.length - fixed.length + gateways.length,
    ports: chosen.length,
    routes: routesIn([host.initNs, ...containers.map(({ netns }) => netns)]),
    names: endpoints.reduce((sum, { dnsNames }) => sum + new Set(dnsNames).size, 0),
    rules: rulesIn(host.initNs),
  };
}

/** What kubelets, the CNI and kube-proxy did by themselves, on all nodes. */
export function kubernetesProgrammed(cluster: Cluster): ConfiguredCounts {
  const pods = cluster.api.list("Pod").filter((pod) => !isAddOn(pod));
  const services = cluster.api.list("Service").filter((service) => !isAddOn(service));
  const nodes = [...cluster.nodes.values()];
  const sandboxes = pods.flatMap(({ spec, metadata }) => {
    const node = cluster.nodes.get(spec.nodeName ?? "");
    const sandbox = node?.kubelet.sandboxOf(metadata.uid ?? "");
    return sandbox === undefined || spec.hostNetwork === true ? [] : [sandbox];
  });
  const inNodes = nodes.map(({ machine }) => machine.initNs);
  const ports = services.flatMap(({ spec }) => spec.ports ?? []);
  return {
    addresses:
      sandboxes.length +
      services.filter(({ spec }) => spec.clusterIP !== undefined && spec.clusterIP !== "None")
        .length,
    ports: ports.filter(({ nodePort }) => nodePort !== undefined).length,
    routes: routesIn([...inNodes, ...sandboxes]),
    names: services.length,
    rules: inNodes.reduce((sum, netns) => sum + rulesIn(netns), 0),
  };
}

/** What links have by themselves, as fe80::/64, is nobody's doing. */
function routesIn(namespaces: readonly NetNamespace[]): number {
  let count = 0;
  for (const netns of new Set(namespaces)) {
    for (const family of [4, 6] as const) {
      if (!netns.devices.some((dev) => dev.addressesOf(family).length > 0)) continue;
      for (const { prefix } of netns.fib(family).main.routes()) {
        const { address } = prefix;
        if (!isLinkLocal(address) && !isMulticast(address) && !isLoopback(address)) count++;
      }
    }
  }
  return count;
}

function rulesIn(netns: NetNamespace): number {
  const { iptables, nftables } = ruleCounts(netns);
  return iptables + nftables;
}
