import { InputError } from "@cnilab/core";
import { KernelError, type NetNamespace, startEchoServer } from "@cnilab/linux";
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import type { ConnectSpec, Container, ContainerSpec } from "../container.ts";
import { DockerError } from "../docker-error.ts";
import type { DockerHost } from "../docker-host.ts";
import type {
  ComposeAttachment,
  ComposeNetwork,
  ComposeProject,
  ComposeService,
} from "./compose-project.ts";
import { imagePorts } from "./image-ports.ts";
import type { ServicePort } from "./port-syntax.ts";

const PROTOCOLS = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP, sctp: IPPROTO_SCTP } as const;

/** One container of a service. */
export interface ServiceContainer {
  readonly service: ComposeService;
  /** From 1. */
  readonly number: number;
  readonly container: Container;
  /** Where its program listens: on ports that are exposed or published, and on those of a known image. */
  readonly ports: readonly ServicePort[];
}

/**
 * A project that is up, as after `docker compose up`: its networks, then its containers, each after those that it depends on and else in
 * the order of the file (Compose itself starts what depends on nothing at once, so that addresses come out by chance).
 */
export class ComposeStack {
  readonly docker: DockerHost;
  readonly project: ComposeProject;
  readonly containers: readonly ServiceContainer[];
  /** What did not come up as the files have it. */
  readonly warnings: readonly string[];

  /** @throws InputError for what Docker refuses, with the place in the file */
  constructor(docker: DockerHost, project: ComposeProject) {
    this.docker = docker;
    this.project = project;
    const containers: ServiceContainer[] = [];
    const warnings: string[] = [];
    this.containers = containers;
    this.warnings = warnings;
    for (const network of project.networks) this.#create(network);
    for (const service of startOrder(project.services)) {
      for (let number = 1; number <= service.replicas; number++) {
        const started = { service, number, ...this.#start(service, number) };
        containers.push(started);
        const { netns, name } = started.container;
        warnings.push(...listen(netns, name, started.ports));
      }
    }
  }

  /** Containers of a service, or one by its name. */
  find(name: string): readonly ServiceContainer[] {
    const ofService = this.containers.filter(({ service }) => service.name === name);
    if (ofService.length > 0) return ofService;
    return this.containers.filter(({ container }) => container.name === name);
  }

  #create(network: ComposeNetwork): void {
    const { name, external, driver, where } = network;
    if (driver !== "bridge" || (external && this.docker.networks.has(name))) return;
    const { internal, options, subnet, gateway, ipRange, key, ipv6, attachable } = network;
    const { subnet6, gateway6, ipRange6 } = network;
    // Somebody else's network is taken to be as plain as can be: its own settings are not in the file.
    const own = external
      ? {}
      : {
          internal,
          options,
          ipv6,
          attachable,
          ...(subnet6 === undefined ? {} : { subnet6 }),
          ...(gateway6 === undefined ? {} : { gateway6 }),
          ...(ipRange6 === undefined ? {} : { ipRange6 }),
          ...(subnet === undefined ? {} : { subnet }),
          ...(gateway === undefined ? {} : { gateway }),
          ...(ipRange === undefined ? {} : { ipRange }),
          labels: {
            ...network.labels,
            "com.docker.compose.network": key,
            "com.docker.compose.project": this.project.name,
          },
        };
    refusing(where, () => this.docker.createNetwork({ name, ...own }));
  }

  #start(
    service: ComposeService,
    number: number,
  ): { readonly container: Container; readonly ports: readonly ServicePort[] } {
    const ports = unique([...service.exposed, ...service.published, ...imagePorts(service.image)]);
    const container = refusing(service.where, () =>
      this.docker.run(this.#spec(service, number, ports)),
    );
    return { container, ports };
  }

  #spec(service: ComposeService, number: number, ports: readonly ServicePort[]): ContainerSpec {
    const { hostname, domainname, dns, dnsSearch, dnsOptions, command, extraHosts } = service;
    const network = this.#networkOf(service, number);
    // Whose network is another's, its names are the other's as well.
    const own = typeof network === "object" && "container" in network;
    return {
      name: containerName(this.project, service, number),
      image: service.image,
      command,
      ...(hostname === undefined || own ? {} : { hostname }),
      ...(domainname === undefined || own ? {} : { domainname }),
      network,
      ports: service.published.map(({ protocol, port, hostIp, hostPorts }) => ({
        protocol,
        port,
        ...(hostIp === undefined ? {} : { hostIp }),
        ...(hostPorts === undefined ? {} : { hostPorts }),
      })),
      exposed: ports,
      ...(own ? {} : { extraHosts }),
      ...(dns.length === 0 || own ? {} : { dns }),
      ...(dnsSearch.length === 0 || own ? {} : { dnsSearch }),
      ...(dnsOptions.length === 0 || own ? {} : { dnsOptions }),
      labels: {
        ...service.labels,
        "com.docker.compose.container-number": String(number),
        "com.docker.compose.project": this.project.name,
        "com.docker.compose.service": service.name,
      },
    };
  }

  #networkOf(service: ComposeService, number: number): NonNullable<ContainerSpec["network"]> {
    const { mode, attachments, where } = service;
    if (mode === "bridge") return [{ network: "bridge" }];
    if (mode === "host" || mode === "none") return mode;
    if (mode !== undefined) {
      const name =
        "container" in mode ? mode.container : this.find(mode.service)[0]?.container.name;
      if (name !== undefined && this.docker.containers.has(name)) return { container: name };
      throw new InputError(
        `network_mode: there is no container ${name ?? `of ${"service" in mode ? mode.service : ""}`} to share the network of`,
        where,
      );
    }
    const [first] = attachments;
    const driver = first?.network.driver;
    if (driver === "host" || driver === "none") {
      if (attachments.length === 1) return driver;
      throw new InputError(`networks: ${driver} cannot stand beside other networks`, where);
    }
    return attachments.map((attachment) => this.#connect(attachment, service, number));
  }

  /** compose `createEndpointSettings`. */
  #connect(
    { network, aliases, address, address6, mac, gatewayPriority }: ComposeAttachment,
    service: ComposeService,
    number: number,
  ): ConnectSpec {
    const plain = { network: network.name, ...(mac === undefined ? {} : { mac }) };
    // The default bridge has no names.
    if (network.name === "bridge") return plain;
    const links = service.links.flatMap((link) =>
      this.find(link.service).map(({ container }) => ({
        container: container.name,
        alias: link.alias,
      })),
    );
    return {
      ...plain,
      ...(address === undefined ? {} : { ip: address }),
      ...(address6 === undefined ? {} : { ip6: address6 }),
      aliases: [
        ...new Set([containerName(this.project, service, number), service.name, ...aliases]),
      ],
      ...(links.length === 0 ? {} : { links }),
      ...(gatewayPriority === undefined ? {} : { gatewayPriority }),
    };
  }
}

/** compose `getContainerName`. */
function containerName({ name }: ComposeProject, service: ComposeService, number: number): string {
  return service.containerName ?? `${name}-${service.name}-${number}`;
}

/** Whoever is depended on comes first; there are no cycles. */
function startOrder(services: readonly ComposeService[]): ComposeService[] {
  const byName = new Map(services.map((service) => [service.name, service]));
  const order = new Set<ComposeService>();
  for (const first of services) {
    const waiting = [first];
    for (let top = waiting.at(-1); top !== undefined; top = waiting.at(-1)) {
      const next = top.dependsOn
        .map((name) => byName.get(name))
        .find((service) => service !== undefined && !order.has(service));
      if (next === undefined) {
        order.add(top);
        waiting.pop();
      } else waiting.push(next);
    }
  }
  return [...order];
}

/** Starts what stands for a container's program. @returns a line for each port that another program has */
function listen(netns: NetNamespace, owner: string, ports: readonly ServicePort[]): string[] {
  return ports.flatMap(({ protocol, port }) => {
    try {
      startEchoServer(netns, { protocol: PROTOCOLS[protocol], port, owner });
      return [];
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== "EADDRINUSE") throw error;
      return [
        `${owner}: cannot listen on ${port}/${protocol}: another program with the same network does`,
      ];
    }
  });
}

function unique(ports: readonly ServicePort[]): ServicePort[] {
  const found = new Map(
    ports.map(({ protocol, port }) => [`${port}/${protocol}`, { protocol, port }]),
  );
  return [...found.values()];
}

/** What Docker refuses is the file's mistake. */
function refusing<T>(where: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof DockerError || error instanceof KernelError) {
      throw new InputError(`Docker refuses it: ${error.message}`, where);
    }
    throw error;
  }
}
