import type { Random } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { IPV6_LOOPBACK, type IpAddress, tryParseIp } from "@cnilab/net";
import { addressesOf, type Container, type Endpoint } from "../container.ts";
import { DockerError } from "../docker-error.ts";
import { ContainerNames } from "./container-names.ts";
import { EMBEDDED_DNS, EmbeddedResolver } from "./embedded-resolver.ts";
import { addHosts, deleteHosts, type HostsRecord, hostsFile, ownNames } from "./hosts-file.ts";
import { type DnsOverrides, ResolvConfFile } from "./resolv-conf-file.ts";

const HOSTS = "/etc/hosts";
const HOSTNAME = "/etc/hostname";
const RESOLV_CONF = "/etc/resolv.conf";
/** In `--add-host`: an address of the host that containers reach. */
const HOST_GATEWAY = "host-gateway";

export interface SandboxDnsOptions {
  /** Of the host. */
  readonly host: NetNamespace;
  readonly backend: "iptables" | "nftables";
  /** The daemon's own; a container's come before them, each by itself. */
  readonly overrides: DnsOverrides;
  readonly hostGateway: IpAddress | undefined;
  readonly random: Random;
}

/** How a container finds names: its three files, and the resolver in it (libnetwork sandbox_dns_unix.go). */
export class SandboxDns {
  readonly #container: Container;
  readonly #options: SandboxDnsOptions;
  #resolver: EmbeddedResolver | undefined;

  /** Writes the files of a container that is on no network yet. @throws DockerError for hosts that are none */
  constructor(container: Container, options: SandboxDnsOptions) {
    this.#container = container;
    this.#options = options;
    const { files, hostname, netns, mode, spec } = container;
    const hosts = extraHosts(spec.extraHosts ?? [], container.name, options.hostGateway);
    const { kernel } = options.host;
    files.write(HOSTNAME, `${hostname}\n`);
    const ofHost = mode === "host" && hosts.length === 0 ? kernel.files.read(HOSTS) : undefined;
    files.write(HOSTS, ofHost ?? hostsFile(hosts, hasIpv6(netns)));
    const conf = this.#hostResolvConf();
    if (mode !== "host") conf.forLegacyNetwork(false);
    files.write(RESOLV_CONF, conf.toString());
  }

  get resolver(): EmbeddedResolver | undefined {
    return this.#resolver;
  }

  joined(endpoint: Endpoint): void {
    const { files } = this.#container;
    if (endpoint.network.isUserDefined && this.#resolver === undefined) this.#startResolver();
    const { dnsNames, id, network } = endpoint;
    network.names.add(id, dnsNames, addressesOf(endpoint));
    files.write(HOSTS, addHosts(files.read(HOSTS) ?? "", this.#ownHosts(endpoint)));
  }

  left(endpoint: Endpoint): void {
    const { files } = this.#container;
    endpoint.network.names.remove(endpoint.id);
    files.write(HOSTS, deleteHosts(files.read(HOSTS) ?? "", this.#ownHosts(endpoint)));
  }

  close(): void {
    this.#resolver?.close();
    this.#resolver = undefined;
  }

  /** Once, and for as long as the container runs: also where it leaves the network that wanted it. */
  #startResolver(): void {
    const { netns, files } = this.#container;
    const { host, backend, random } = this.#options;
    const conf = this.#hostResolvConf();
    const ndotsSet = conf.setsNdots;
    const servers = conf.forInternalResolver(EMBEDDED_DNS, ["ndots:0"]);
    files.write(RESOLV_CONF, conf.toString());
    const names = new ContainerNames(this.#container);
    this.#resolver = new EmbeddedResolver({
      netns,
      host,
      backend,
      names,
      servers,
      ndotsSet,
      random,
    });
  }

  #hostResolvConf(): ResolvConfFile {
    const { dns, dnsSearch, dnsOptions } = this.#container.spec;
    const { overrides, host } = this.#options;
    const conf = ResolvConfFile.ofHost(host.kernel.files);
    conf.override({
      dns: either(dns, overrides.dns),
      dnsSearch: either(dnsSearch, overrides.dnsSearch),
      dnsOptions: either(dnsOptions, overrides.dnsOptions),
    });
    return conf;
  }

  #ownHosts(endpoint: Endpoint): readonly HostsRecord[] {
    const { hostname, spec } = this.#container;
    const names = ownNames(hostname, spec.domainname ?? "");
    return addressesOf(endpoint).map((address) => ({ address, names }));
  }
}

function either<T>(own: readonly T[] = [], daemon: readonly T[] = []): readonly T[] {
  return own.length > 0 ? own : daemon;
}

/** libnetwork osl `RefreshIPv6LoEnabled`. */
function hasIpv6(netns: NetNamespace): boolean {
  return netns.isLocalAddress(IPV6_LOOPBACK);
}

function extraHosts(
  texts: readonly string[],
  container: string,
  hostGateway: IpAddress | undefined,
): HostsRecord[] {
  return texts.map((text) => {
    const colon = text.indexOf(":");
    const name = text.slice(0, Math.max(colon, 0));
    const value = text.slice(colon + 1);
    const address =
      value === HOST_GATEWAY ? hostGateway : tryParseIp(value.replace(/^\[(.*)\]$/, "$1"));
    if (name === "" || address === undefined) {
      throw new DockerError(
        `container ${container}: bad format for add-host: "${text}": write NAME:ADDRESS or NAME:${HOST_GATEWAY}`,
      );
    }
    return { address, names: name };
  });
}
