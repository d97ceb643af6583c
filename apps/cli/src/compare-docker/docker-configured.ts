import type { ComposeProject, ComposeService } from "@cnilab/docker";
import { formatEndpoint, formatIp, formatMac } from "@cnilab/net";
import { type Configured, configuredByVariable } from "./configured.ts";

/** What is written by hand in Compose files. */
export function dockerConfigured(project: ComposeProject): Configured[] {
  const known = new Set(
    project.services.flatMap((service) => [
      service.name,
      ...(service.containerName === undefined ? [] : [service.containerName]),
      ...service.attachments.flatMap(({ aliases }) => aliases),
    ]),
  );
  return [
    ...project.networks.flatMap(ofNetwork),
    ...project.services.flatMap((service) => ofService(service, known)),
  ];
}

function ofNetwork(network: ComposeProject["networks"][number]): Configured[] {
  const { key, internal, options } = network;
  const where = `networks.${key}`;
  const range = {
    kind: "addresses",
    where,
    why: "addresses inside are chosen by hand, or others know them",
  } as const;
  const ranges = [
    ...[network.subnet, network.subnet6]
      .filter((given) => given !== undefined)
      .map((given) => `subnet ${given}`),
    ...[network.gateway, network.gateway6]
      .filter((given) => given !== undefined)
      .map((given) => `gateway ${formatIp(given)}`),
    ...[network.ipRange, network.ipRange6]
      .filter((given) => given !== undefined)
      .map((given) => `ip_range ${given}`),
  ].map((what) => ({ ...range, what }));
  return [
    ...ranges,
    // What services without networks share is there by itself.
    ...(key === "default"
      ? []
      : [rule(where, "a network", "what is not in one network with another is kept from it")]),
    ...(internal ? [rule(where, "internal: true", "nothing leads out of it, and nothing in")] : []),
    ...Object.entries(options)
      .filter(([option]) => /icc|masquerade|gateway_mode|trusted|host_binding/.test(option))
      .map(([option, value]) => rule(where, `${option}=${value}`, "Docker's rules for it change")),
  ];
}

function ofService(service: ComposeService, known: ReadonlySet<string>): Configured[] {
  const { name, attachments, published, extraHosts, dns, links, environment } = service;
  const where = `services.${name}`;
  const called = (what: string, why: string): Configured => ({ kind: "names", what, where, why });
  const addressed = (what: string, why: string): Configured => ({
    kind: "addresses",
    what,
    where,
    why,
  });
  return [
    ...attachments.flatMap(({ network, address, address6, mac, aliases, gatewayPriority }) => [
      ...(network.key === "default"
        ? []
        : [rule(where, `on ${network.key}`, "who is to talk to whom is written as membership")]),
      ...[
        ...(address === undefined ? [] : [`ipv4_address ${formatIp(address)}`]),
        ...(address6 === undefined ? [] : [`ipv6_address ${formatIp(address6)}`]),
      ].map((what) =>
        addressed(
          what,
          "somebody knows it by its address; it must lie beyond those that Docker hands out",
        ),
      ),
      ...(mac === undefined
        ? []
        : [addressed(`mac_address ${formatMac(mac)}`, "somebody knows it by its MAC address")]),
      ...aliases.map((alias) => called(`alias ${alias}`, "another name on one network")),
      ...(gatewayPriority === undefined
        ? []
        : [
            {
              kind: "routes",
              what: `gw_priority ${gatewayPriority} on ${network.key}`,
              where,
              why: "of several networks one gives the default route, and publishes ports",
            } as const,
          ]),
    ]),
    ...published.map(({ hostIp, hostPorts, port, protocol }): Configured => {
      const host = hostPorts === undefined ? "" : [...new Set(hostPorts)].join("-");
      const at = hostIp === undefined ? host : formatEndpoint(hostIp, hostPorts?.[0] ?? 0);
      return {
        kind: "ports",
        what: `${at === "" ? "" : `${at}:`}${port}/${protocol}`,
        where,
        why: "the host's address is one for all, so its ports must differ",
      };
    }),
    ...extraHosts.flatMap((line) => {
      const why = "Docker's DNS does not know it";
      const [name = ""] = line.split(":");
      const address = line.slice(name.length + 1);
      // host-gateway is whatever address the host has.
      return address === "host-gateway"
        ? [called(`extra_hosts ${name}`, why)]
        : [addressed(`extra_hosts ${address}`, why), called(`extra_hosts ${name}`, why)];
    }),
    ...dns.map((server) => addressed(`dns ${formatIp(server)}`, "names are asked for elsewhere")),
    ...links.map(({ service: to, alias }) =>
      called(`link ${to}:${alias}`, "this service calls another so"),
    ),
    ...(service.containerName === undefined
      ? []
      : [called(`container_name ${service.containerName}`, "a name beyond the project")]),
    ...(service.hostname === undefined
      ? []
      : [called(`hostname ${service.hostname}`, "what it calls itself")]),
    ...(service.mode === undefined || service.mode === "bridge"
      ? []
      : [rule(where, "network_mode", "it has no network of its own")]),
    ...Object.entries(environment).flatMap((pair) => configuredByVariable(pair, known, where)),
  ];
}

function rule(where: string, what: string, why: string): Configured {
  return { kind: "rules", what, where, why };
}
