import {
  Bridge,
  type DeviceOptions,
  Dummy,
  Geneve,
  Ifb,
  IpTunnel,
  type Kernel,
  Macvlan,
  type MacvlanMode,
  type NetDevice,
  type NetNamespace,
  Nic,
  type Segment,
  Tun,
  Veth,
  Vxlan,
  type VxlanOptions,
  Wireguard,
} from "@cnilab/linux";
import type { Ipv4Address } from "@cnilab/net";
import type { Fields } from "./fields.ts";
import { kernelSays } from "./kernel-says.ts";
import type { SavedLink } from "./saved-link.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import { cardKind, type SavedNode } from "./saved-node.ts";
import type { Unmodelled } from "./unmodelled.ts";
import { readPublicKeys } from "./wireguard.ts";
import type { Wire } from "./wiring.ts";

/** Options of a vxlan device that change what it does, and that the model does not have. */
const VXLAN_UNMODELLED = ["proxy", "rsc", "l2miss", "l3miss", "external", "vnifilter", "df"];

/** Kinds of tunnels of which a moved one is made where it was made. */
const TUNNELS: readonly string[] = ["vxlan", "geneve", "ipip", "sit"];

/** Makes the devices of one machine, each where the one below it is there. */
export class DeviceBuilder {
  readonly #node: SavedNode;
  readonly #kernel: Kernel;
  readonly #wires: ReadonlyMap<SavedLink, Wire>;
  readonly #unmodelled: Unmodelled;
  readonly #namespaces = new Map<SavedNamespace, NetNamespace>();
  readonly #made = new Map<SavedLink, NetDevice>();

  constructor(
    node: SavedNode,
    kernel: Kernel,
    wires: ReadonlyMap<SavedLink, Wire>,
    unmodelled: Unmodelled,
  ) {
    this.#node = node;
    this.#kernel = kernel;
    this.#wires = wires;
    this.#unmodelled = unmodelled;
    for (const saved of node.namespaces) {
      const netns = saved.name === "" ? kernel.initNs : kernel.addNamespace(saved.name);
      this.#namespaces.set(saved, netns);
    }
  }

  get namespaces(): ReadonlyMap<SavedNamespace, NetNamespace> {
    return this.#namespaces;
  }

  /** @throws InputError */
  build(): void {
    for (const saved of this.#node.namespaces) {
      for (const link of saved.links) this.#device(saved, link, []);
    }
    for (const saved of this.#node.namespaces) {
      for (const link of saved.links) this.#enslave(saved, link);
      for (const link of saved.links) this.#configure(link);
    }
  }

  /** Brings up what was up. */
  up(): void {
    for (const saved of this.#node.namespaces) {
      for (const link of saved.links) {
        const dev = this.#made.get(link);
        if (dev === undefined || !link.flags.has("UP")) continue;
        this.#try(link, () => dev.setUp());
        if (dev instanceof Nic && link.flags.has("NO-CARRIER")) dev.setCarrier(false);
      }
    }
  }

  /** @param above devices that wait for this one: where they go round in a circle, none is below */
  #device(saved: SavedNamespace, link: SavedLink, above: readonly SavedLink[]): NetDevice {
    const there = this.#made.get(link);
    if (there !== undefined) return there;
    const below = this.#below(saved, link);
    const lower =
      below === undefined || [...above, link].includes(below.link)
        ? undefined
        : this.#device(below.saved, below.link, [...above, link]);
    const made = this.#try(link, () => this.#makeAtHome(saved, link, lower));
    this.#made.set(link, made);
    return made;
  }

  /** A tunnel's packets stay in the namespace in which it was made, wherever it moves. */
  #makeAtHome(saved: SavedNamespace, link: SavedLink, lower: NetDevice | undefined): NetDevice {
    const home = this.#home(saved, link);
    if (home === saved) return this.#make(saved, link, lower);
    const there = this.#namespaces.get(home) as NetNamespace;
    const { ifindex: _, ...moving } = link;
    const name = `moving${there.devices.length}`;
    const dev = this.#make(home, { ...moving, ifindex: freeIndex(there), name }, lower);
    dev.moveTo(this.#namespaces.get(saved) as NetNamespace, link.name);
    return dev;
  }

  #home(saved: SavedNamespace, { kind, linkNetnsid }: SavedLink): SavedNamespace {
    if (linkNetnsid === undefined || !TUNNELS.includes(kind ?? "")) return saved;
    const name = saved.nsids.get(linkNetnsid) ?? "";
    return this.#node.namespaces.find((n) => n.name === name) ?? saved;
  }

  #make(saved: SavedNamespace, link: SavedLink, lower: NetDevice | undefined): NetDevice {
    const netns = this.#namespaces.get(saved) as NetNamespace;
    if (link.flags.has("LOOPBACK")) return netns.loopback;
    const options = optionsOf(link);
    if (cardKind(this.#node, saved, link) !== undefined) {
      if (link.kind !== undefined && link.kind !== "veth") {
        this.#note(saved, `${link.kind} devices, taken for network cards`, link);
      }
      const segment = this.#wires.get(link)?.segment as Segment;
      return new Nic(netns, { ...options, segment });
    }
    switch (link.kind) {
      case "veth":
        return this.#veth(netns, saved, link, options);
      case "bridge":
        return this.#bridge(netns, saved, link, options);
      case "dummy":
        return new Dummy(netns, options);
      case "ifb":
        return new Ifb(netns, options);
      case "vxlan":
        return this.#vxlan(netns, saved, link, options, lower);
      case "geneve": {
        const tunnel = this.#geneve(netns, link, options);
        if (tunnel !== undefined) return tunnel;
        break;
      }
      case "macvlan":
        if (lower !== undefined) return this.#macvlan(netns, link, options, lower);
        break;
      case "ipip":
      case "sit":
        return this.#tunnel(netns, link, options, lower);
      case "tun":
        if (link.data?.stringOr("type", "tun") === "tun") {
          this.#note(saved, "programs behind tun devices", link);
          return new Tun(netns, options);
        }
        break;
      case "wireguard": {
        const keys = readPublicKeys(saved.files).get(link.name);
        if (keys !== undefined) return new Wireguard(netns, { ...options, ...keys });
        break;
      }
      default:
    }
    this.#note(saved, `${link.kind} devices, which swallow packets here`, link);
    return new Dummy(netns, options);
  }

  #veth(
    netns: NetNamespace,
    saved: SavedNamespace,
    link: SavedLink,
    options: DeviceOptions,
  ): NetDevice {
    const peer = this.#node.pairs.get(link);
    if (peer === undefined) {
      this.#note(saved, "veth devices whose other ends were not collected", link);
      const name = "not-collected";
      const nowhere = this.#kernel.findNamespace(name) ?? this.#kernel.addNamespace(name);
      const end = { name: `e${[...nowhere.devices].length}` };
      const [own, other] = Veth.pair(netns, options, nowhere, end);
      if (link.flags.has("LOWER_UP")) other.setUp();
      return own;
    }
    const there = this.#namespaces.get(peer.namespace) as NetNamespace;
    const [own, other] = Veth.pair(netns, options, there, optionsOf(peer.link));
    this.#made.set(peer.link, other);
    return own;
  }

  #bridge(
    netns: NetNamespace,
    saved: SavedNamespace,
    link: SavedLink,
    options: DeviceOptions,
  ): Bridge {
    const bridge = new Bridge(netns, options);
    const { data } = link;
    if (data === undefined) return bridge;
    // In hundredths of a second (USER_HZ).
    bridge.fdb.ageingTime = data.numberOr("ageing_time", 30_000) * 10;
    if (data.numberOr("vlan_filtering", 0) !== 0) {
      this.#note(saved, "VLAN filtering of bridges", link);
    }
    if (data.numberOr("stp_state", 0) !== 0) this.#note(saved, "spanning tree of bridges", link);
    for (const name of ["nf_call_iptables", "nf_call_ip6tables"]) {
      if (data.numberOr(name, 0) !== 0) this.#note(saved, `${name} of bridges`, link);
    }
    return bridge;
  }

  #vxlan(
    netns: NetNamespace,
    saved: SavedNamespace,
    link: SavedLink,
    options: DeviceOptions,
    lower: NetDevice | undefined,
  ): NetDevice {
    const data = this.#data(link);
    for (const name of VXLAN_UNMODELLED) {
      if (!data.has(name) || (name === "df" && data.stringOr("df", "unset") === "unset")) continue;
      this.#note(saved, `vxlan option ${name}`, link);
    }
    const local = data.addressOr("local") ?? data.addressOr("local6");
    const remote =
      data.addressOr("remote") ??
      data.addressOr("group") ??
      data.addressOr("remote6") ??
      data.addressOr("group6");
    const { mtu: _, ...rest } = options;
    const all: VxlanOptions = {
      ...rest,
      vni: data.numberOr("id", 0),
      port: data.numberOr("port", 8472),
      learning: data.flag("learning", true),
      ttl: data.has("ttl") && data.stringOrNumber("ttl") !== "inherit" ? data.number("ttl") : 0,
      ageing: data.numberOr("ageing", 300),
      groupPolicy: data.has("gbp"),
      udpChecksum: data.flag("udp_csum", true),
      ...(local === undefined ? {} : { local }),
      ...(remote === undefined ? {} : { remote }),
      ...(lower === undefined || lower.netns !== netns ? {} : { link: lower }),
    };
    return new Vxlan(netns, all);
  }

  /** `undefined` for one whose peers are said packet by packet (`external`). */
  #geneve(netns: NetNamespace, link: SavedLink, options: DeviceOptions): Geneve | undefined {
    const data = this.#data(link);
    const remote = data.addressOr("remote") ?? data.addressOr("remote6");
    if (remote === undefined) return undefined;
    return new Geneve(netns, {
      ...options,
      vni: data.number("id"),
      remote,
      port: data.numberOr("port", 6081),
      ttl: data.has("ttl") && data.stringOrNumber("ttl") !== "inherit" ? data.number("ttl") : 0,
      udpChecksum: data.flag("udp_csum"),
    });
  }

  #macvlan(
    netns: NetNamespace,
    link: SavedLink,
    { mtu: _, ...options }: DeviceOptions,
    lower: NetDevice,
  ): Macvlan {
    const mode = this.#data(link).stringOr("mode", "vepa");
    if (!["private", "vepa", "bridge", "passthru"].includes(mode)) {
      throw this.#data(link).error("mode", `"${mode}" is not modelled`);
    }
    return new Macvlan(netns, { ...options, lower, mode: mode as MacvlanMode });
  }

  #tunnel(
    netns: NetNamespace,
    link: SavedLink,
    { mac: _, ...options }: DeviceOptions,
    lower: NetDevice | undefined,
  ): IpTunnel {
    const data = this.#data(link);
    const end = (name: string): Ipv4Address => {
      if (!data.has(name) || data.string(name) === "any") return 0;
      return data.addressOf(name, 4) as Ipv4Address;
    };
    const ttl = data.has("ttl") ? data.stringOrNumber("ttl") : 0;
    return new IpTunnel(netns, {
      ...options,
      kind: link.kind as "ipip" | "sit",
      local: end("local"),
      remote: end("remote"),
      ttl: ttl === "inherit" ? 0 : data.numberOr("ttl", 0),
      pathMtuDiscovery: data.has("pmtudisc"),
      ...(lower === undefined ? {} : { link: lower }),
    });
  }

  /** The device below a tunnel or a macvlan. */
  #below(
    saved: SavedNamespace,
    link: SavedLink,
  ): { readonly saved: SavedNamespace; readonly link: SavedLink } | undefined {
    if (link.kind === "veth") return undefined;
    const name = link.data?.stringOr("link", undefined) ?? link.link;
    if (name !== undefined) {
      const found = saved.links.find((other) => other.name === name);
      return found === undefined ? undefined : { saved, link: found };
    }
    if (link.linkIndex === undefined) return undefined;
    // In another namespace: the one that its number stands for, else the machine's own.
    const its = saved.nsids.get(link.linkNetnsid ?? -1) ?? "";
    const there = this.#node.namespaces.find((n) => n.name === its);
    const found = there?.links.find((other) => other.ifindex === link.linkIndex);
    return found === undefined || there === undefined ? undefined : { saved: there, link: found };
  }

  /** Ports are added in the order of their numbers. */
  #enslave(saved: SavedNamespace, link: SavedLink): void {
    const bridge = this.#made.get(link);
    if (!(bridge instanceof Bridge)) return;
    const ports = saved.links
      .filter((port) => port.master === link.name)
      .sort((x, y) => portNumber(x) - portNumber(y));
    for (const port of ports) {
      const dev = this.#made.get(port) as NetDevice;
      this.#try(port, () => dev.setMaster(bridge));
      const data = port.slaveData;
      if (dev.bridgePort === undefined || data === undefined) continue;
      dev.bridgePort.hairpin = data.flag("hairpin");
      dev.bridgePort.isolated = data.flag("isolated");
      dev.bridgePort.learning = data.flag("learning", true);
      dev.bridgePort.flood = data.flag("flood", true);
      dev.bridgePort.mcastFlood = data.flag("mcast_flood", true);
      dev.bridgePort.bcastFlood = data.flag("bcast_flood", true);
      for (const option of ["vlan_tunnel", "neigh_suppress", "locked", "proxy_arp", "guard"]) {
        if (data.has(option)) this.#note(saved, `bridge port option ${option}`, port);
      }
    }
  }

  #configure(link: SavedLink): void {
    const dev = this.#made.get(link) as NetDevice;
    if (dev.mtu !== link.mtu) {
      const set = () => (dev instanceof Vxlan ? dev.restoreMtu(link.mtu) : dev.setMtu(link.mtu));
      this.#try(link, set);
    }
    if (link.flags.has("PROMISC")) dev.setPromiscuous(true);
    if (link.flags.has("ALLMULTI")) dev.allMulticast = true;
    dev.txQueueLength = link.txQueueLength;
    if (link.hasXdp) {
      this.#unmodelled.note(this.#node.name, "XDP programs, passed by", `on ${link.name}`);
    }
  }

  #data(link: SavedLink): Fields {
    if (link.data !== undefined) return link.data;
    throw link.fields.error("linkinfo.info_data", "is missing; collect it with ip -d");
  }

  #note({ name }: SavedNamespace, kind: string, link: SavedLink): void {
    const where = name === "" ? link.name : `${name}/${link.name}`;
    this.#unmodelled.note(this.#node.name, kind, where);
  }

  #try<T>(link: SavedLink, action: () => T): T {
    return kernelSays(link.fields.file, link.fields.path, action);
  }
}

function optionsOf({ name, mac, mtu, ifindex }: SavedLink): DeviceOptions {
  return { name, mtu, ifindex, ...(mac === undefined ? {} : { mac }) };
}

function freeIndex({ devices }: NetNamespace): number {
  return Math.max(...devices.map((dev) => dev.ifindex)) + 1;
}

function portNumber({ slaveData }: SavedLink): number {
  return slaveData?.numberOr("no", 0) ?? 0;
}
