import { InputError } from "@cnilab/core";
import { FieldError, type FieldPath, formatPath } from "@cnilab/core/validation";
import {
  compareIp,
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  type Ipv4Address,
  type Ipv6Address,
  type Mac,
  Prefix,
  parseInterfaceAddress,
  tryParseIp,
  tryParseMac,
  tryParsePrefix,
} from "@cnilab/net";
import { composeFile, isTrue } from "./compose-checks.ts";
import type {
  ComposeAttachment,
  ComposeNetwork,
  ComposeNetworkMode,
  ComposeProject,
  ComposeService,
} from "./compose-project.ts";
import { type ComposeDocument, type ComposeSource, readDocuments } from "./compose-text.ts";
import { type Environment, own } from "./interpolation.ts";
import { isMapping, mergeDocuments, pairs } from "./merge.ts";
import {
  PortSyntaxError,
  type PublishedServicePort,
  parseExposedPorts,
  parseHostIp,
  parseHostPorts,
  parseProtocol,
  parsePublishedPort,
  type ServicePort,
} from "./port-syntax.ts";
import { projectNameOf } from "./project-name.ts";

export interface ComposeOptions {
  /** `-p`; else `COMPOSE_PROJECT_NAME`, the last file's `name`, the folder. */
  readonly projectName?: string | undefined;
  /** The folder of the first file. */
  readonly folder?: string | undefined;
  /** What variables stand for: the caller's environment, and its `.env` below that. */
  readonly environment?: Environment;
  /** `--profile`; `*` for all. */
  readonly profiles?: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

/** Addresses of one family, as `ipam.config` has them. */
interface Range {
  readonly subnet: Prefix | undefined;
  readonly ipRange: Prefix | undefined;
  readonly gateway: IpAddress | undefined;
}

type Ranges = Pick<
  ComposeNetwork,
  "subnet" | "gateway" | "ipRange" | "subnet6" | "gateway6" | "ipRange6"
>;

/** Names that a warning holds. */
const MOST_NAMES = 6;
const PROJECT_NAME = /^[a-z0-9][a-z0-9_-]*$/;
/** moby daemon/names `RestrictedNameChars`. */
const CONTAINER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const DRIVERS: readonly string[] = ["bridge", "host", "none"];
/** Of a service, what says something of networks and does nothing here. */
const WITHOUT_EFFECT: readonly string[] = ["env_file", "external_links", "provider", "sysctls"];
/** What takes a file apart, and is put together by Compose itself. */
const ELSEWHERE =
  "cnilab does not follow it: write the whole with docker compose config, and give that";

/**
 * Reads Compose files: of several, each goes on top of those before it.
 * @throws InputError with file, line, object and how to mend it
 */
export function readCompose(
  sources: readonly ComposeSource[],
  options: ComposeOptions = {},
): ComposeProject {
  return new ComposeReader(sources, options).read();
}

class ComposeReader {
  readonly #options: ComposeOptions;
  readonly #environment: Environment;
  readonly #documents: readonly ComposeDocument[];
  readonly #missing = new Set<string>();
  readonly #withoutEffect = new Map<string, string[]>();
  readonly #warnings: string[] = [];

  constructor(sources: readonly ComposeSource[], options: ComposeOptions) {
    this.#options = options;
    this.#environment = options.environment ?? {};
    this.#documents = sources.flatMap((source) =>
      readDocuments(source, this.#environment, (name) => this.#missing.add(name)),
    );
  }

  read(): ComposeProject {
    let merged: Fields = {};
    for (const document of this.#documents) {
      this.#check(document);
      merged = mergeDocuments(merged, document.value, document.overrides);
    }
    if (merged["include"] !== undefined)
      throw this.#error(["include"], `is not read: ${ELSEWHERE}`);
    const name = this.#projectName(merged);
    const given = (merged["services"] ?? {}) as Readonly<Record<string, Fields>>;
    if (Object.keys(given).length === 0) {
      throw new InputError("has no services; give at least one", this.#where([]));
    }
    const networks = this.#networks(merged, name, given);
    const services: ComposeService[] = [];
    const disabled = new Set<string>();
    for (const [key, service] of Object.entries(given)) {
      if (this.#isActive(service)) {
        services.push(this.#service(key, service, networks));
        continue;
      }
      disabled.add(key);
      // A mistake is one, whether the service is to start or not.
      this.#published(["services", key], service["ports"]);
      this.#extraHosts(["services", key], service["extra_hosts"]);
    }
    this.#checkServices(services, disabled);
    if (services.length === 0) {
      throw new InputError(
        `none of the services is active; name a profile of theirs with --profile`,
        this.#where(["services"]),
      );
    }
    const used = new Set(services.flatMap((s) => s.attachments.map((a) => a.network)));
    this.#checkNetworks(
      [...networks.values()].filter((network) => used.has(network)),
      merged,
    );
    this.#warnUnused(disabled, [...used]);
    return {
      name,
      services,
      networks: [...networks.values()].filter((network) => used.has(network)),
      warnings: this.#allWarnings(),
    };
  }

  #check(document: ComposeDocument): void {
    try {
      composeFile(document.value, []);
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      throw new InputError(error.message, document.where(error.path));
    }
  }

  // ---- what the files say as a whole

  #projectName({ name: top }: Fields): string {
    const { projectName, folder } = this.#options;
    const given = projectName ?? own(this.#environment, "COMPOSE_PROJECT_NAME") ?? top;
    if (given === undefined || given === "") return projectNameOf(folder ?? "") || "default";
    if (PROJECT_NAME.test(String(given))) return String(given);
    const where = given === top && projectName === undefined ? this.#at(["name"]) : "project name";
    throw new InputError(
      `"${given}" must be small letters, digits, - and _, a letter or digit first`,
      where,
    );
  }

  #isActive({ profiles }: Fields): boolean {
    const own = (profiles ?? []) as readonly string[];
    const active = this.#options.profiles ?? [];
    return own.length === 0 || own.some((name) => active.includes(name) || active.includes("*"));
  }

  /** The last thing that a service without networks is on comes with the project. */
  #networks(
    merged: Fields,
    project: string,
    services: Readonly<Record<string, Fields>>,
  ): Map<string, ComposeNetwork> {
    const given = (merged["networks"] ?? {}) as Readonly<Record<string, Fields | null>>;
    const usesDefault = Object.values(services).some(
      (service) =>
        service["network_mode"] === undefined &&
        (networkKeys(service).length === 0 || networkKeys(service).includes("default")),
    );
    const keys = Object.keys(given);
    if (usesDefault && !keys.includes("default")) keys.push("default");
    return new Map(keys.map((key) => [key, this.#network(key, given[key] ?? {}, project)]));
  }

  #network(key: string, fields: Fields, project: string): ComposeNetwork {
    const path = ["networks", key];
    const externalField = fields["external"];
    const external = isMapping(externalField) || isTrue(externalField);
    const legacyName = isMapping(externalField) ? externalField["name"] : undefined;
    const other = Object.keys(fields).find((field) => !/^(?:name|external|x-.*)$/.test(field));
    // compose-go validation/external.go `checkExternal`.
    if (external && other !== undefined) {
      throw this.#error(
        [...path, other],
        "cannot stand beside external: whoever made the network chose that; leave one of them out",
      );
    }
    const name = String(fields["name"] ?? legacyName ?? (external ? key : `${project}_${key}`));
    if (!NETWORK_NAME.test(name)) {
      throw this.#error(
        [...path, "name"],
        `"${name}" is no name of a network: letters, digits, . _ and -, a letter or digit first`,
      );
    }
    if (legacyName !== undefined && fields["name"] !== undefined && fields["name"] !== legacyName) {
      throw this.#error(
        [...path, "external"],
        "names the network, and so does name: leave one out",
      );
    }
    if (fields["enable_ipv4"] !== undefined && !isTrue(fields["enable_ipv4"])) {
      throw this.#error(
        [...path, "enable_ipv4"],
        "a network without IPv4 is not simulated; leave it on",
      );
    }
    const options = Object.fromEntries(
      Object.entries((fields["driver_opts"] ?? {}) as Fields).map(([k, v]) => [k, String(v)]),
    );
    return {
      key,
      name,
      external,
      driver: driverOf(name, fields["driver"], external),
      internal: isTrue(fields["internal"]),
      options,
      labels: withoutNull(pairs(fields["labels"])),
      ...this.#ipam(path, fields),
      ipv6: isTrue(fields["enable_ipv6"]),
      attachable: isTrue(fields["attachable"]),
      where: this.#at(path),
    };
  }

  /** What Docker would refuse, or is not simulated, of networks that somebody is on: it makes no others. */
  #checkNetworks(networks: readonly ComposeNetwork[], merged: Fields): void {
    const given = (merged["networks"] ?? {}) as Readonly<Record<string, Fields | null>>;
    const byName = new Map<string, ComposeNetwork>();
    for (const network of networks) {
      const { key, name, external } = network;
      const path = ["networks", key];
      const driver = String(given[key]?.["driver"] ?? "bridge");
      if (driver !== "default" && !DRIVERS.includes(driver)) {
        throw this.#error(
          [...path, "driver"],
          `"${driver}" is not simulated; cnilab has bridge, host and none`,
        );
      }
      if (!external && (DRIVERS.includes(name) || driver === "host" || driver === "none")) {
        throw this.#error(
          path,
          `is one that Docker makes itself; write external: true and name: ${DRIVERS.includes(name) ? name : driver}`,
        );
      }
      const other = byName.get(name);
      if (other !== undefined) {
        throw this.#error(
          path,
          `has the name ${name}, which networks.${other.key} has; give them two names, or use one of them`,
        );
      }
      byName.set(name, network);
    }
  }

  /** One range of each family; what is of a family that is off means nothing (moby daemon/network.go `validateIpamConfig`). */
  #ipam(path: FieldPath, fields: Fields): Ranges {
    const configs = ((fields["ipam"] as Fields | undefined)?.["config"] ?? []) as readonly Fields[];
    const found = new Map<IpFamily, Range>();
    for (const [i, config] of configs.entries()) {
      const at = [...path, "ipam", "config", i];
      const range = this.#range(at, config);
      const family = range.subnet?.family ?? 4;
      if (family === 6 && !isTrue(fields["enable_ipv6"])) {
        this.#ignored(path, `ipam subnet ${range.subnet}, as enable_ipv6 is off`);
        continue;
      }
      for (const field of ["subnet", "ip_range"]) this.#checkMasked([...at, field], config[field]);
      if (found.has(family)) {
        throw this.#error(
          at,
          `a bridge network has one subnet of IPv${family}; leave this one out`,
        );
      }
      if (Object.keys((config["aux_addresses"] ?? {}) as Fields).length > 0) {
        this.#ignored(path, "aux_addresses");
      }
      found.set(family, range);
    }
    const [four, six] = [found.get(4), found.get(6)];
    return {
      subnet: four?.subnet,
      gateway: four?.gateway as Ipv4Address | undefined,
      ipRange: four?.ipRange,
      subnet6: six?.subnet,
      gateway6: six?.gateway as Ipv6Address | undefined,
      ipRange6: six?.ipRange,
    };
  }

  #range(at: FieldPath, config: Fields): Range {
    const subnet = this.#prefix([...at, "subnet"], config["subnet"]);
    const ipRange = this.#prefix([...at, "ip_range"], config["ip_range"]);
    const gateway = this.#anyAddress([...at, "gateway"], config["gateway"]);
    if (subnet === undefined) {
      if (ipRange === undefined && gateway === undefined) return { subnet, ipRange, gateway };
      throw this.#error(at, "needs a subnet beside ip_range and gateway, as subnet: 172.28.0.0/16");
    }
    if (subnet.family === 4 && subnet.length > 30) {
      throw this.#error([...at, "subnet"], `${subnet} has no room for a gateway and containers`);
    }
    if (gateway !== undefined && !subnet.contains(gateway)) {
      throw this.#error([...at, "gateway"], `${formatIp(gateway)} is not in ${subnet}`);
    }
    const isInside =
      ipRange === undefined ||
      (subnet.contains(ipRange.address) && ipRange.length >= subnet.length);
    if (!isInside) throw this.#error([...at, "ip_range"], `${ipRange} is not in ${subnet}`);
    return { subnet, ipRange, gateway };
  }

  // ---- services

  #service(
    name: string,
    fields: Fields,
    networks: ReadonlyMap<string, ComposeNetwork>,
  ): ComposeService {
    const path = ["services", name];
    if (fields["extends"] !== undefined) {
      throw this.#error([...path, "extends"], `is not read: ${ELSEWHERE}`);
    }
    if (fields["image"] === undefined && fields["build"] === undefined && !fields["provider"]) {
      throw this.#error(path, "has neither image nor build; name the image, as image: nginx");
    }
    for (const key of WITHOUT_EFFECT) if (fields[key] !== undefined) this.#ignored(path, key);
    const containerName = text(fields["container_name"]);
    if (containerName !== undefined && !CONTAINER_NAME.test(containerName)) {
      throw this.#error(
        [...path, "container_name"],
        `"${containerName}" is no name: letters, digits, . _ and -, a letter or digit first, two at least`,
      );
    }
    const replicas = this.#replicas(path, fields);
    if (replicas > 1 && containerName !== undefined) {
      throw this.#error(
        [...path, "container_name"],
        `cannot be the name of ${replicas} containers; leave it out, or make it one replica`,
      );
    }
    const mode = this.#mode(path, fields);
    const links = ((fields["links"] ?? []) as readonly string[]).map((link) => {
      const [service = "", alias = service] = link.split(":");
      return { service, alias };
    });
    const dependsOn = new Set([
      ...(Array.isArray(fields["depends_on"])
        ? (fields["depends_on"] as string[])
        : Object.keys((fields["depends_on"] ?? {}) as Fields)),
      ...links.map(({ service }) => service),
      ...(typeof mode === "object" && "service" in mode ? [mode.service] : []),
    ]);
    const published = this.#published(path, fields["ports"]);
    if (typeof mode === "object" && published.length > 0) {
      throw this.#error(
        [...path, "ports"],
        `cannot be published by a service with the network of another: publish them there`,
      );
    }
    const isDiscarded = published.length > 0 && (mode === "host" || mode === "none");
    if (isDiscarded) {
      this.#warnings.push(`${name}: Docker discards published ports with network_mode: ${mode}`);
    }
    return {
      name,
      image: text(fields["image"]) ?? `${name}:built`,
      containerName,
      replicas,
      mode,
      attachments: mode === undefined ? this.#attachments(path, fields, networks) : [],
      published: isDiscarded ? [] : published,
      exposed: this.#exposed(path, fields["expose"]),
      dependsOn: [...dependsOn],
      hostname: text(fields["hostname"]),
      domainname: text(fields["domainname"]),
      extraHosts: this.#extraHosts(path, fields["extra_hosts"]),
      dns: this.#dns(path, fields["dns"]),
      dnsSearch: stringList(fields["dns_search"]),
      dnsOptions: stringList(fields["dns_opt"]),
      links,
      environment: this.#serviceEnvironment(fields["environment"]),
      command: words(fields["command"]),
      labels: withoutNull(pairs(fields["labels"])),
      where: this.#at(path),
    };
  }

  #replicas(path: FieldPath, fields: Fields): number {
    const deploy = fields["deploy"] as Fields | null | undefined;
    const replicas = deploy?.["replicas"];
    const scale = fields["scale"];
    if (scale !== undefined && replicas !== undefined && Number(scale) !== Number(replicas)) {
      throw this.#error(
        [...path, "scale"],
        `is ${scale}, and deploy.replicas ${replicas}; give one of them`,
      );
    }
    return Number(scale ?? replicas ?? 1);
  }

  #mode(path: FieldPath, fields: Fields): ComposeNetworkMode | undefined {
    const mode = text(fields["network_mode"]);
    if (mode === undefined || mode === "") return undefined;
    if (networkKeys(fields).length > 0) {
      throw this.#error(
        [...path, "network_mode"],
        "cannot stand beside networks; leave one of them out",
      );
    }
    if (mode === "host" || mode === "none" || mode === "bridge") return mode;
    const [kind, name = ""] = mode.split(/:(.*)/s);
    if (name !== "" && kind === "service") return { service: name };
    if (name !== "" && kind === "container") return { container: name };
    throw this.#error(
      [...path, "network_mode"],
      `"${mode}" is none of bridge, host, none, service:NAME and container:NAME`,
    );
  }

  #attachments(
    path: FieldPath,
    fields: Fields,
    networks: ReadonlyMap<string, ComposeNetwork>,
  ): ComposeAttachment[] {
    const keys = networkKeys(fields);
    const given = fields["networks"];
    const found = (keys.length === 0 ? ["default"] : keys).map((key) => {
      const network = networks.get(key);
      if (network === undefined) {
        const known = [...networks.keys()].join(", ");
        throw this.#error(
          [...path, "networks", Array.isArray(given) ? given.indexOf(key) : key],
          `there is no network ${key} in networks at the top${known === "" ? "" : `; there is ${known}`}`,
        );
      }
      const own = isMapping(given) ? ((given[key] ?? {}) as Fields) : {};
      return this.#attachment([...path, "networks", key], own, network);
    });
    // compose-go types `NetworksByPriority`; of one priority, their order in the file.
    return found.sort((x, y) => y.priority - x.priority);
  }

  #attachment(path: FieldPath, fields: Fields, network: ComposeNetwork): ComposeAttachment {
    for (const key of ["link_local_ips", "interface_name"]) {
      if (fields[key] !== undefined) this.#ignored(path, key);
    }
    const address = this.#fixed([...path, "ipv4_address"], fields["ipv4_address"], network, 4);
    const address6 = this.#fixed([...path, "ipv6_address"], fields["ipv6_address"], network, 6);
    return {
      network,
      aliases: (fields["aliases"] ?? []) as readonly string[],
      address: address as Ipv4Address | undefined,
      address6: address6 as Ipv6Address | undefined,
      mac: this.#mac([...path, "mac_address"], fields["mac_address"]),
      gatewayPriority:
        fields["gw_priority"] === undefined ? undefined : Number(fields["gw_priority"]),
      priority: Number(fields["priority"] ?? 0),
    };
  }

  /** An address that a service is to have; Docker gives it in subnets that were chosen by hand alone. */
  #fixed(
    path: FieldPath,
    value: unknown,
    network: ComposeNetwork,
    family: IpFamily,
  ): IpAddress | undefined {
    const address = this.#anyAddress(path, value);
    if (address === undefined) return undefined;
    if (familyOf(address) !== family) {
      throw this.#error(path, `${formatIp(address)} is no address of IPv${family}`);
    }
    if (network.external) return address;
    const subnet = family === 4 ? network.subnet : network.subnet6;
    if (subnet === undefined) {
      const enable = family === 6 && !network.ipv6 ? " and enable_ipv6: true" : "";
      throw this.#error(
        path,
        `needs a subnet of the network's own: give networks.${network.key} an ipam.config with a subnet${enable}`,
      );
    }
    if (subnet.contains(address)) return address;
    throw this.#error(path, `${formatIp(address)} is not in the network's subnet ${subnet}`);
  }

  #published(path: FieldPath, ports: unknown): PublishedServicePort[] {
    const found = new Map<string, PublishedServicePort>();
    for (const [i, port] of ((ports ?? []) as readonly unknown[]).entries()) {
      const at = [...path, "ports", i];
      const parsed = this.#parsing(at, () =>
        isMapping(port) ? [longPort(port)] : parsePublishedPort(String(port)),
      );
      // The same from two files is one.
      for (const each of parsed) found.set(JSON.stringify([each, String(each.hostIp)]), each);
    }
    return [...found.values()];
  }

  #exposed(path: FieldPath, ports: unknown): ServicePort[] {
    return ((ports ?? []) as readonly unknown[]).flatMap((port, i) =>
      this.#parsing([...path, "expose", i], () => parseExposedPorts(String(port))),
    );
  }

  #parsing<T>(path: FieldPath, parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      if (error instanceof PortSyntaxError) throw this.#error(path, error.message);
      throw error;
    }
  }

  /** `name:address` and `name=address`, or a mapping. */
  #extraHosts(path: FieldPath, given: unknown): string[] {
    const lines = isMapping(given)
      ? Object.entries(given).flatMap(([name, to]) => [to].flat().map((each) => `${name}=${each}`))
      : ((given ?? []) as readonly string[]);
    const hosts = lines.map((line) => {
      const at = line.includes("=") ? line.indexOf("=") : line.indexOf(":");
      const name = line.slice(0, at).trim();
      const address = line
        .slice(at + 1)
        .trim()
        .replace(/^\[(.*)\]$/, "$1");
      const good = address === "host-gateway" || tryParseIp(address) !== undefined;
      if (at > 0 && name !== "" && good) return `${name}:${address}`;
      throw this.#error(
        [...path, "extra_hosts"],
        `"${line}" must be NAME:ADDRESS, as db.example:10.0.0.5 or host.docker.internal:host-gateway`,
      );
    });
    return [...new Set(hosts)];
  }

  #dns(path: FieldPath, given: unknown): IpAddress[] {
    return [...new Set(stringList(given))].map((server) => {
      const address = tryParseIp(server);
      if (address !== undefined) return address;
      throw this.#error([...path, "dns"], `"${server}" is no address of a name server, as 1.1.1.1`);
    });
  }

  #serviceEnvironment(given: unknown): Readonly<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const [name, value] of Object.entries(pairs(given))) {
      const known = value ?? own(this.#environment, name);
      if (known !== undefined) found[name] = known;
    }
    return found;
  }

  // ---- what services say of each other

  #checkServices(services: readonly ComposeService[], disabled: ReadonlySet<string>): void {
    const byName = new Map(services.map((service) => [service.name, service]));
    const containers = new Map<string, string>();
    for (const service of services) {
      const { name, containerName, dependsOn, links, mode } = service;
      for (const other of dependsOn) {
        if (byName.has(other)) continue;
        if (disabled.has(other) && this.#isOptional(name, other)) continue;
        const why = disabled.has(other)
          ? `service ${other} is in a profile that is not active; name one with --profile`
          : `there is no service ${other}`;
        const shares = typeof mode === "object" && "service" in mode && mode.service === other;
        const isLinked = links.some((link) => link.service === other);
        const field = shares ? "network_mode" : isLinked ? "links" : "depends_on";
        throw this.#error(["services", name, field], why);
      }
      if (containerName === undefined) continue;
      const other = containers.get(containerName);
      if (other !== undefined) {
        throw this.#error(
          ["services", name, "container_name"],
          `${containerName} is the name of ${other}'s container; choose another`,
        );
      }
      containers.set(containerName, name);
    }
    this.#checkCycles(services, byName);
  }

  #isOptional(service: string, other: string): boolean {
    return this.#documents.some(({ value }) => {
      const given = (value["services"] as Readonly<Record<string, Fields>> | undefined)?.[service];
      const dependency = (given?.["depends_on"] as Fields | undefined)?.[other];
      const required = isMapping(dependency) ? dependency["required"] : undefined;
      return required !== undefined && !isTrue(required);
    });
  }

  #checkCycles(
    services: readonly ComposeService[],
    byName: ReadonlyMap<string, ComposeService>,
  ): void {
    const done = new Set<string>();
    for (const { name: start } of services) {
      // The way from the first to the one that is looked at: without recursion, chains may be long.
      const way: { readonly name: string; readonly left: string[] }[] = [];
      const enter = (name: string): void => {
        way.push({ name, left: [...(byName.get(name)?.dependsOn ?? [])] });
      };
      enter(start);
      for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
        const next = top.left.pop();
        if (next === undefined) {
          done.add(top.name);
          way.pop();
          continue;
        }
        const at = way.findIndex(({ name }) => name === next);
        if (at >= 0) {
          const cycle = [...way.slice(at).map(({ name }) => name), next].join(" -> ");
          throw this.#error(
            ["services", next],
            `waits for itself: ${cycle}; take one of these out`,
          );
        }
        if (!done.has(next)) enter(next);
      }
    }
  }

  // ---- values

  #prefix(path: FieldPath, value: unknown): Prefix | undefined {
    if (value === undefined) return undefined;
    const prefix = tryParsePrefix(String(value));
    if (prefix === undefined) {
      throw this.#error(
        path,
        `"${value}" is no range of addresses; write one such as 172.28.0.0/16`,
      );
    }
    return prefix;
  }

  /** Docker takes no address for a range. */
  #checkMasked(path: FieldPath, value: unknown): void {
    if (value === undefined) return;
    const given = parseInterfaceAddress(String(value));
    const range = new Prefix(given.address, given.length);
    if (compareIp(given.address, range.address) === 0) return;
    throw this.#error(path, `${value} has bits set beside the range: it should be ${range}`);
  }

  #anyAddress(path: FieldPath, value: unknown): IpAddress | undefined {
    if (value === undefined || value === "") return undefined;
    const address = tryParseIp(String(value));
    if (address !== undefined) return address;
    throw this.#error(path, `"${value}" is no address; write one such as 172.28.0.10`);
  }

  #mac(path: FieldPath, value: unknown): Mac | undefined {
    if (value === undefined || value === "") return undefined;
    const mac = tryParseMac(String(value));
    if (mac !== undefined) return mac;
    throw this.#error(path, `"${value}" is no MAC address; write one such as 02:42:ac:11:00:02`);
  }

  // ---- what to tell

  #ignored(path: FieldPath, what: string): void {
    const known = this.#withoutEffect.get(what) ?? [];
    const [, object = ""] = path;
    if (!known.includes(String(object))) known.push(String(object));
    this.#withoutEffect.set(what, known);
  }

  #warnUnused(disabled: ReadonlySet<string>, networks: readonly ComposeNetwork[]): void {
    if (disabled.size > 0) {
      this.#warnings.push(
        `not started, as their profiles are not active: ${listed([...disabled])}`,
      );
    }
    const external = networks.filter(({ external, name }) => external && !DRIVERS.includes(name));
    if (external.length > 0) {
      const names = external.map(({ name }) => name);
      this.#warnings.push(
        `external networks are taken as made by docker network create before: ${listed(names)}`,
      );
    }
  }

  #allWarnings(): string[] {
    const ignored = [...this.#withoutEffect].map(
      ([what, objects]) => `${what} (${listed(objects)})`,
    );
    return [
      ...(this.#missing.size === 0
        ? []
        : [`variables that are not set, and so empty: ${listed([...this.#missing])}`]),
      ...(ignored.length === 0 ? [] : [`not simulated, and left out: ${ignored.join(", ")}`]),
      ...this.#warnings,
    ];
  }

  #error(path: FieldPath, message: string): InputError {
    return new InputError(message, this.#at(path));
  }

  /** File and line of what a path says, and the path. */
  #at(path: FieldPath): string {
    return `${this.#where(path)}: ${formatPath(path)}`;
  }

  /** In the last file that says something of it. */
  #where(path: FieldPath): string {
    let best: ComposeDocument | undefined;
    let depth = -1;
    for (const document of this.#documents) {
      const there = document.depth(path);
      if (there < depth) continue;
      best = document;
      depth = there;
    }
    return best?.where(path) ?? "compose.yaml";
  }
}

/** Keys of a service's networks, short or long. */
function networkKeys({ networks }: Fields): string[] {
  if (Array.isArray(networks)) return [...new Set(networks as string[])];
  return isMapping(networks) ? Object.keys(networks) : [];
}

/** @throws PortSyntaxError */
function longPort(fields: Fields): PublishedServicePort {
  const protocol = parseProtocol(String(fields["protocol"] ?? "tcp"));
  if (protocol === undefined) {
    throw new PortSyntaxError(`protocol must be tcp, udp or sctp, not "${fields["protocol"]}"`);
  }
  const { published, host_ip: hostIp } = fields;
  return {
    protocol,
    port: Number(fields["target"]),
    hostIp: hostIp === undefined || hostIp === "" ? undefined : parseHostIp(String(hostIp)),
    hostPorts: published === undefined ? undefined : parseHostPorts(String(published)),
  };
}

/** What others are, {@link ComposeReader} refuses. */
function driverOf(name: string, given: unknown, external: boolean): ComposeNetwork["driver"] {
  if (given === "host" || given === "none") return given;
  return external && (name === "host" || name === "none") ? name : "bridge";
}

function text(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : String(value);
}

function stringList(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value.map(String) : [String(value)];
}

/** Of a text, words as a shell has them (go-shellwords). */
function words(value: unknown): string[] {
  if (typeof value !== "string") return stringList(value);
  const found = value.matchAll(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/gs);
  return [...found].map(([word]) =>
    word.replace(/"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/gs, (_, double, single, escaped) =>
      double === undefined ? (single ?? escaped) : double.replace(/\\(.)/gs, "$1"),
    ),
  );
}

function withoutNull(given: Readonly<Record<string, string | null>>): Record<string, string> {
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, value ?? ""]));
}

function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  return more > 0 ? `${names.slice(0, MOST_NAMES).join(", ")} and ${more} more` : names.join(", ");
}
