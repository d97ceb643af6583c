import type { NetDevice } from "@cnilab/linux";
import type { IpAddress, IpFamily, Ipv4Address, Ipv6Address, Mac } from "@cnilab/net";
import type { EndpointState } from "../api/v2/endpoint.ts";
import { type NumericIdentity, RESERVED_IDENTITY } from "../identity/numeric-identity.ts";
import { type LabelSet, parseLabels } from "../labels/label-set.ts";

export type EndpointKind = "pod" | "host" | "health" | "ingress";

/** What an endpoint is made with: for a pod, what the CNI plugin says (`EndpointChangeRequest`). */
export interface EndpointOptions {
  readonly id: number;
  readonly kind: EndpointKind;
  readonly containerId: string;
  /** Inside: `eth0`. */
  readonly interfaceName: string;
  /** Of a pod. */
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly addresses: readonly IpAddress[];
  /** The node's end of its pair of devices; cilium_host for the node itself. */
  readonly device: NetDevice;
  /** Of the end inside; 0 for the node itself. */
  readonly mac: Mac;
  /** Of the namespace that it is in. */
  readonly netnsCookie: number;
}

/** What the agent keeps of a pod, of the node itself and of what it makes for itself (pkg/endpoint). */
export class Endpoint {
  readonly id: number;
  readonly kind: EndpointKind;
  readonly containerId: string;
  readonly interfaceName: string;
  readonly pod: EndpointOptions["pod"];
  readonly addresses: readonly IpAddress[];
  readonly device: NetDevice;
  readonly mac: Mac;
  readonly netnsCookie: number;
  /** Its labels that make its identity; `reserved:init` until they are known. */
  labels: LabelSet = INIT;
  identity: NumericIdentity = RESERVED_IDENTITY.init;
  state: EndpointState = "waiting-for-identity";

  constructor(options: EndpointOptions) {
    this.id = options.id;
    this.kind = options.kind;
    this.containerId = options.containerId;
    this.interfaceName = options.interfaceName;
    this.pod = options.pod;
    this.addresses = options.addresses;
    this.device = options.device;
    this.mac = options.mac;
    this.netnsCookie = options.netnsCookie;
  }

  get isHost(): boolean {
    return this.kind === "host";
  }

  get ipv4(): Ipv4Address | undefined {
    return this.addresses.find((a) => typeof a === "number");
  }

  get ipv6(): Ipv6Address | undefined {
    return this.addresses.find((a) => typeof a === "object");
  }

  address(family: IpFamily): IpAddress | undefined {
    return family === 4 ? this.ipv4 : this.ipv6;
  }

  /** `namespace/name` of its pod. */
  get podKey(): string | undefined {
    return this.pod && `${this.pod.namespace}/${this.pod.name}`;
  }
}

const INIT = parseLabels(["reserved:init"]);
