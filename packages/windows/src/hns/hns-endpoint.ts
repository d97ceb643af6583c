import type { IpAddress } from "@cnilab/net";
import type { HostComputeEndpoint } from "../hcn/endpoint.ts";
import type { VmNic } from "../vswitch/vm-nic.ts";
import type { HnsNetwork } from "./hns-network.ts";
import { RuleSet } from "./rule-set.ts";
import type { ContainerPort } from "./switch-tables.ts";

/** An endpoint that HNS keeps. */
export class HnsEndpoint {
  object: HostComputeEndpoint;
  readonly network: HnsNetwork;
  readonly addresses: readonly IpAddress[];
  /** Set once it is attached: the vNIC, and for a container's the port that it is plugged into. */
  nic: VmNic | undefined = undefined;
  port: ContainerPort | undefined = undefined;
  /** What its policies have become. */
  readonly rules: RuleSet = new RuleSet();

  constructor(object: HostComputeEndpoint, network: HnsNetwork, addresses: readonly IpAddress[]) {
    this.object = object;
    this.network = network;
    this.addresses = addresses;
  }
}
