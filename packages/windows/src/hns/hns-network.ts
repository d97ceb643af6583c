import type { Random } from "@cnilab/core";
import { addressBits, familyOf, formatIp, type IpAddress, type Prefix } from "@cnilab/net";
import { hcnAddress, hcnMac, hcnPrefix } from "../hcn/hcn-address.ts";
import { HcnError } from "../hcn/hcn-error.ts";
import type {
  HcnNetworkPolicy,
  HcnNetworkSettings,
  HostComputeNetwork,
  RemoteSubnetRoute,
} from "../hcn/network.ts";
import { VfpRule } from "../vfp/vfp-rule.ts";
import { OverlayNetwork } from "../vswitch/overlay-network.ts";
import type { VmNic } from "../vswitch/vm-nic.ts";
import { formatWindowsMac, newGuid, newMac } from "./guid.ts";
import { RuleSet } from "./rule-set.ts";

/** Priority of rules that lead to other nodes; this model's own. */
const ENCAP_PRIORITY = 100;

interface HnsSubnet {
  readonly prefix: Prefix;
  readonly gateway: IpAddress;
}

/** A network that HNS keeps, and what it has programmed for it. */
export class HnsNetwork {
  #object: HostComputeNetwork;
  readonly subnets: readonly HnsSubnet[];
  /** Of an overlay: what the switch works with. */
  readonly overlay: OverlayNetwork | undefined;
  /** The host's vNIC. */
  readonly #management: VmNic;
  /** Rules of remote subnets, by prefix. */
  readonly #remotes = new Map<string, RuleSet>();
  /** Addresses of endpoints. */
  readonly #here = new Set<IpAddress>();
  readonly #elsewhere = new Set<IpAddress>();

  /** @throws HcnError */
  constructor(settings: HcnNetworkSettings, management: VmNic, random: Random) {
    this.#management = management;
    this.subnets = settings.Ipams.flatMap(({ Subnets }) => Subnets).map((subnet) => ({
      prefix: hcnPrefix(subnet.IpAddressPrefix),
      gateway: hcnAddress(subnet.Routes[0]?.NextHop ?? ""),
    }));
    this.overlay = settings.Type === "Overlay" ? this.#newOverlay(settings, random) : undefined;
    const given = (settings.Policies ?? []).filter(({ Type }) => !(Type in OWN_POLICIES));
    this.#object = {
      ...settings,
      ID: newGuid(random),
      Policies: [...this.#ownPolicies(), ...given],
    };
  }

  get object(): HostComputeNetwork {
    return this.#object;
  }

  /** @throws HcnError */
  addPolicy(policy: HcnNetworkPolicy): void {
    if (policy.Type === "RemoteSubnetRoute") this.#addRemoteSubnet(policy.Settings);
    if (policy.Type === "HostRoute") this.#addHostRoutes();
    this.#object = { ...this.#object, Policies: [...this.#object.Policies, policy] };
  }

  /** Takes away the policy of the same type and, for remote subnets, prefix. */
  removePolicy(policy: HcnNetworkPolicy): void {
    if (policy.Type === "RemoteSubnetRoute") {
      const { DestinationPrefix } = policy.Settings;
      this.#remotes.get(DestinationPrefix)?.remove();
      this.#remotes.delete(DestinationPrefix);
    }
    const Policies = this.#object.Policies.filter((p) => !samePolicy(p, policy));
    this.#object = { ...this.#object, Policies };
  }

  /** Whether an endpoint of this node, or one elsewhere, may have the address. @throws HcnError */
  checkAddress(address: IpAddress, isElsewhere: boolean): void {
    const text = formatIp(address);
    if (!isElsewhere && !this.subnets.some(({ prefix }) => prefix.contains(address))) {
      const what = `${text} is in no subnet of network ${this.object.Name}`;
      throw new HcnError("ADDR_INVALID_OR_RESERVED", what);
    }
    if (!this.#taken(isElsewhere).has(address)) return;
    throw new HcnError("ADDR_INVALID_OR_RESERVED", `another endpoint has ${text}`);
  }

  take(address: IpAddress, isElsewhere: boolean): void {
    this.#taken(isElsewhere).add(address);
  }

  release(address: IpAddress, isElsewhere: boolean): void {
    this.#taken(isElsewhere).delete(address);
  }

  #taken(isElsewhere: boolean): Set<IpAddress> {
    return isElsewhere ? this.#elsewhere : this.#here;
  }

  /** Bits of the network that an endpoint's address is in. */
  lengthOf(address: IpAddress): number {
    const subnet = this.subnets.find(({ prefix }) => prefix.contains(address));
    return subnet?.prefix.length ?? addressBits(familyOf(address));
  }

  #newOverlay(settings: HcnNetworkSettings, random: Random): OverlayNetwork {
    const [subnet] = this.subnets;
    const vsid = settings.Ipams[0]?.Subnets[0]?.Policies?.[0]?.Settings.IsolationId;
    const providerAddress = this.#nodeAddress;
    if (subnet === undefined || vsid === undefined || typeof providerAddress !== "number") {
      throw new HcnError("INVALID_NETWORK", "an overlay needs a subnet, a VSID and an IPv4 card");
    }
    const { prefix, gateway } = subnet;
    return new OverlayNetwork({
      vsid,
      subnet: prefix,
      gateway,
      drMac: newMac(random),
      providerAddress,
    });
  }

  get #nodeAddress(): IpAddress | undefined {
    return (this.#management.addresses4[0] ?? this.#management.addresses6[0])?.address;
  }

  /** What HNS says of a network by itself. */
  #ownPolicies(): HcnNetworkPolicy[] {
    const address = this.#nodeAddress;
    const ProviderAddress = address === undefined ? "" : formatIp(address);
    const management: HcnNetworkPolicy = { Type: "ProviderAddress", Settings: { ProviderAddress } };
    if (this.overlay === undefined) return [management];
    const Address = formatWindowsMac(this.overlay.drMac);
    return [management, { Type: "DrMacAddress", Settings: { Address } }];
  }

  #addRemoteSubnet(settings: RemoteSubnetRoute): void {
    const { DestinationPrefix, ProviderAddress, IsolationId } = settings;
    if (this.overlay === undefined) {
      throw new HcnError("INVALID_POLICY", "only an overlay has remote subnets");
    }
    const rule = new VfpRule(
      `ENCAP_${DestinationPrefix}_${ProviderAddress}`,
      ENCAP_PRIORITY,
      { destinations: [hcnPrefix(DestinationPrefix)] },
      {
        type: "encap",
        vni: IsolationId,
        providerAddress: hcnAddress(ProviderAddress),
        mac: hcnMac(settings.DistributedRouterMacAddress),
      },
    );
    this.#remotes.get(DestinationPrefix)?.remove();
    const rules = new RuleSet();
    rules.add(this.overlay.encap, rule);
    this.#remotes.set(DestinationPrefix, rules);
  }

  /** The host finds its own containers on the link. */
  #addHostRoutes(): void {
    const dev = this.#management;
    for (const { prefix } of this.subnets) {
      dev.netns.addRoute({ dst: prefix, dev, scope: 253 }, "replace");
    }
  }
}

/** Policies that HNS decides itself. */
const OWN_POLICIES: Readonly<Record<string, true>> = { ProviderAddress: true, DrMacAddress: true };

function samePolicy(x: HcnNetworkPolicy, y: HcnNetworkPolicy): boolean {
  if (x.Type !== y.Type) return false;
  if (x.Type !== "RemoteSubnetRoute" || y.Type !== "RemoteSubnetRoute") return true;
  return x.Settings.DestinationPrefix === y.Settings.DestinationPrefix;
}
