import type { BridgeNetwork, ComposeStack, ServiceContainer } from "@cnilab/docker";
import { formatEndpoint, formatIp } from "@cnilab/net";
import { columns, list, plural, wrap } from "../text-layout.ts";
import type { DockerWorld } from "./docker-world.ts";
import { ruleCounts } from "./rule-counts.ts";

/** Lines of containers and of networks that a summary has at most; the rest is counted. */
const MOST_CONTAINERS = 14;
const MOST_NETWORKS = 6;
const MOST_PORTS = 4;

/** A project that is up, as data. */
export function summaryJson(world: DockerWorld): object {
  const { stack } = world;
  return {
    project: stack.project.name,
    networks: networksOf(stack).map((network) => ({
      name: network.name,
      subnet: String(network.subnet),
      ...(network.subnet6 === undefined ? {} : { subnet6: String(network.subnet6) }),
      gateway: network.gateway === undefined ? null : formatIp(network.gateway),
      ...(network.gateway6 === undefined ? {} : { gateway6: formatIp(network.gateway6) }),
      bridge: network.bridge.name,
      internal: network.internal,
    })),
    containers: stack.containers.map((member) => ({
      name: member.container.name,
      service: member.service.name,
      image: member.service.image,
      network: modeText(member) ?? "own",
      addresses: Object.fromEntries(
        member.container.endpoints.map(({ network, address, address6 }) => [
          network.name,
          [address, address6].filter((given) => given !== undefined).map(formatIp),
        ]),
      ),
      defaultRoute: member.container.gatewayEndpoint?.network.name ?? null,
      listens: member.ports.map(({ port, protocol }) => `${port}/${protocol}`),
      published: publishedText(member),
    })),
    rules: ruleCounts(world.host.initNs),
  };
}

/** What came up, in some twenty lines. */
export function summaryText(world: DockerWorld): string {
  const { stack } = world;
  const networks = networksOf(stack);
  const rows = networks.map((network) => [
    `  ${network.name}`,
    network.subnet6 === undefined
      ? String(network.subnet)
      : `${network.subnet}, ${network.subnet6}`,
    [network.gateway, network.gateway6]
      .filter((given) => given !== undefined)
      .map(formatIp)
      .join(", ") || "-",
    network.bridge.name,
    [...(network.internal ? ["internal"] : []), ...(network.options.icc ? [] : ["no icc"])].join(
      ", ",
    ),
  ]);
  const members = stack.containers.map((member) => [
    `  ${member.container.name}`,
    addressText(member),
    first(member.ports.map(({ port, protocol }) => `${port}/${protocol}`)).join(" ") || "-",
    first(publishedText(member)).join(", ") || "-",
  ]);
  const { iptables, nftables } = ruleCounts(world.host.initNs);
  const rules =
    nftables > 0
      ? `${plural(nftables, "rule")} of nftables`
      : `${plural(iptables, "rule")} of iptables`;
  return [
    `Project ${stack.project.name}: ${plural(stack.containers.length, "container")} in ${plural(networks.length, "network")} of one host, ${formatIp(world.hostAddress)}`,
    "",
    ...list(
      columns([["  NETWORK", "SUBNET", "GATEWAY", "BRIDGE", ""], ...rows]),
      MOST_NETWORKS + 1,
      `  … cnilab docker network ls has all ${networks.length}`,
    ),
    "",
    ...list(
      columns([["  CONTAINER", "ADDRESSES", "LISTENS", "PUBLISHED"], ...members]),
      MOST_CONTAINERS + 1,
      `  … cnilab docker ps has all ${members.length}`,
    ),
    "",
    ...wrap(
      `dockerd programmed ${rules} on the host; cnilab docker reach shows who reaches whom.`,
      "  ",
    ),
  ].join("\n");
}

function networksOf({ docker, project }: ComposeStack): BridgeNetwork[] {
  const names = new Set(project.networks.map(({ name }) => name));
  return [...docker.networks.values()].filter(({ name }) => names.has(name));
}

/** As many as there is room for. */
function first(texts: readonly string[]): readonly string[] {
  return list(texts, MOST_PORTS, `+${texts.length - MOST_PORTS + 1}`);
}

/** `front 172.18.0.2`, by the networks' keys. */
function addressText(member: ServiceContainer): string {
  const { container } = member;
  const mode = modeText(member);
  if (mode !== undefined) return mode;
  const { attachments } = member.service;
  const keyOf = ({ name }: BridgeNetwork) =>
    attachments.find(({ network }) => network.name === name)?.network.key ?? name;
  return container.endpoints
    .map(({ network, address, address6 }) =>
      [
        keyOf(network),
        ...[address, address6].filter((given) => given !== undefined).map(formatIp),
      ].join(" "),
    )
    .join(", ");
}

/** Whose network it has, where it is not its own. */
function modeText({ container }: ServiceContainer): string | undefined {
  const { mode } = container;
  if (typeof mode === "object") return `network of ${mode.container}`;
  return mode === "own" ? undefined : `network ${mode}`;
}

/** Published on all addresses, of both families: without an address. */
export function publishedText({ container }: ServiceContainer): string[] {
  const texts = container.portMappings
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ hostIp, hostPort, port, protocol }) => {
      const address = formatIp(hostIp);
      const isAll = address === "0.0.0.0" || address === "::";
      const host = isAll ? String(hostPort) : formatEndpoint(hostIp, hostPort);
      return `${host}->${port}/${protocol}`;
    });
  return [...new Set(texts)];
}
