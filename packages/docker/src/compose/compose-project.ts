import type { IpAddress, Ipv4Address, Ipv6Address, Mac, Prefix } from "@cnilab/net";
import type { PublishedServicePort, ServicePort } from "./port-syntax.ts";

/** An application of several containers, as Compose files describe it. */
export interface ComposeProject {
  readonly name: string;
  /** In the order of the files. */
  readonly services: readonly ComposeService[];
  readonly networks: readonly ComposeNetwork[];
  /** What is read and does nothing here, a line each. */
  readonly warnings: readonly string[];
}

/** A network that services name by its key. */
export interface ComposeNetwork {
  readonly key: string;
  /** What Docker calls it, as `shop_front`. */
  readonly name: string;
  /** Somebody made it before; this project does not. */
  readonly external: boolean;
  readonly driver: "bridge" | "host" | "none";
  readonly internal: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly subnet: Prefix | undefined;
  readonly gateway: Ipv4Address | undefined;
  readonly ipRange: Prefix | undefined;
  /** Addresses of both families. */
  readonly ipv6: boolean;
  readonly subnet6: Prefix | undefined;
  readonly gateway6: Ipv6Address | undefined;
  readonly ipRange6: Prefix | undefined;
  readonly attachable: boolean;
  /** `compose.yaml:12: networks.front`. */
  readonly where: string;
}

/** How a service is on a network. */
export interface ComposeAttachment {
  readonly network: ComposeNetwork;
  readonly aliases: readonly string[];
  readonly address: Ipv4Address | undefined;
  readonly address6: Ipv6Address | undefined;
  readonly mac: Mac | undefined;
  readonly gatewayPriority: number | undefined;
  /** The highest is joined first. */
  readonly priority: number;
}

/** Whose network stack a service has, where it has none of its own. */
export type ComposeNetworkMode =
  | "host"
  | "none"
  | "bridge"
  | { readonly service: string }
  | { readonly container: string };

/** One service: one container or several alike. */
export interface ComposeService {
  readonly name: string;
  readonly image: string;
  readonly containerName: string | undefined;
  readonly replicas: number;
  /** `undefined` for the networks that are named. */
  readonly mode: ComposeNetworkMode | undefined;
  readonly attachments: readonly ComposeAttachment[];
  readonly published: readonly PublishedServicePort[];
  readonly exposed: readonly ServicePort[];
  /** Services that start before. */
  readonly dependsOn: readonly string[];
  readonly hostname: string | undefined;
  readonly domainname: string | undefined;
  /** As Docker takes them: `name:address`. */
  readonly extraHosts: readonly string[];
  readonly dns: readonly IpAddress[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  /** Another service, and what this one calls it. */
  readonly links: readonly { readonly service: string; readonly alias: string }[];
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** `compose.yaml:3: services.web`. */
  readonly where: string;
}
