import { ETHERNET_HEADER_LENGTH } from "@cnilab/net";
import { SkbBpf, type TunnelKey } from "../bpf/skb-bpf.ts";
import { Bridge } from "../bridge/bridge.ts";
import type { NetDevice } from "../device/net-device.ts";
import { Vxlan } from "../device/vxlan.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { extractFlowKey, type FlowKey, type FlowMatch, NO_PORT } from "./flow-key.ts";
import { type DatapathFlow, FlowTable } from "./flow-table.ts";
import { OvsInternalDevice } from "./internal-device.ts";
import type { OvsAction } from "./ovs-action.ts";
import { Vport, type VportType } from "./vport.ts";

/** The datapath's own device (`OVSP_LOCAL`). */
export const OVSP_LOCAL = 0;

/** What the program is told of a packet that no flow fits, or that a flow sends to it. */
export interface Upcall {
  readonly command: "miss" | "action";
  readonly key: FlowKey;
  /** It is the program's from then on; its trace goes on with what the program has executed. */
  readonly skb: Skb;
}

/** A program that has the datapath: `ovs-vswitchd`, `weaver`. */
export interface DatapathListener {
  upcall(upcall: Upcall): void;
  vportCreated?(vport: Vport): void;
  vportDeleted?(vport: Vport): void;
}

/** `struct ovs_dp_stats`. */
export interface DatapathStats {
  readonly hit: number;
  readonly missed: number;
  /** Upcalls that nobody took. */
  readonly lost: number;
  readonly flows: number;
  /** Masks that were tried. */
  readonly maskHit: number;
  readonly masks: number;
}

/**
 * An Open vSwitch datapath (net/openvswitch/datapath.c): a switch of ports that knows nothing but its flows. What fits none
 * goes to a program, which says what is to be done and makes a flow for what follows.
 */
export class Datapath {
  readonly netns: NetNamespace;
  readonly name: string;
  readonly local: Vport;
  readonly #ports = new Map<number, Vport>();
  readonly #table = new FlowTable();
  #listener: DatapathListener | undefined;
  #hit = 0;
  #missed = 0;
  #lost = 0;
  #maskHit = 0;

  /** `OVS_DP_CMD_NEW`: with a device of its name. @throws KernelError EEXIST */
  constructor(netns: NetNamespace, name: string) {
    const known = datapaths.get(netns) ?? new Map<string, Datapath>();
    this.netns = netns;
    this.name = name;
    this.local = this.#addInternal(OVSP_LOCAL, name);
    datapaths.set(netns, known.set(name, this));
  }

  get ports(): readonly Vport[] {
    return [...this.#ports.values()].sort((a, b) => a.number - b.number);
  }

  get stats(): DatapathStats {
    return {
      hit: this.#hit,
      missed: this.#missed,
      lost: this.#lost,
      flows: this.#table.size,
      maskHit: this.#maskHit,
      masks: this.#table.maskCount,
    };
  }

  port(number: number): Vport | undefined {
    return this.#ports.get(number);
  }

  portByName(name: string): Vport | undefined {
    return this.ports.find((port) => port.name === name);
  }

  /** Takes upcalls and hears of ports (`OVS_VPORT_ATTR_UPCALL_PID`), until another does; nobody with `undefined`. */
  listen(listener: DatapathListener | undefined): void {
    this.#listener = listener;
    this.netns.network.touch();
  }

  get hasListener(): boolean {
    return this.#listener !== undefined;
  }

  // --- ports

  /** A device of the namespace as a port: what it receives goes to the datapath. @throws KernelError ENODEV, EINVAL, EBUSY */
  addNetdev(name: string): Vport {
    const dev = this.netns.device(name);
    if (dev.isLoopback || !dev.isEthernet || dev instanceof OvsInternalDevice) {
      throw new KernelError("EINVAL", `${name} as port of ${this.name}`);
    }
    // ovs_netdev_link: a bridge has a handler of its own for its ports, and for itself forbids one.
    if (dev.receiveHandler !== undefined || dev instanceof Bridge) {
      throw new KernelError("EBUSY", `${name} is in use`);
    }
    return this.#link("netdev", dev);
  }

  /** A port with a device of its own. @throws KernelError EEXIST */
  addInternal(name: string): Vport {
    const vport = this.#addInternal(this.#freeNumber(), name);
    this.#created(vport);
    return vport;
  }

  /** A port whose frames leave in VXLAN, where to says what is set for each. @throws KernelError EEXIST, EADDRINUSE */
  addVxlan(name: string, udpPort: number): Vport {
    const mtu = 65535; // IP_MAX_MTU, vport-vxlan.c vxlan_tnl_create
    const dev = new Vxlan(this.netns, { name, vni: 0, port: udpPort, external: true, mtu });
    try {
      dev.setUp();
    } catch (error) {
      dev.remove();
      throw error;
    }
    return this.#link("vxlan", dev);
  }

  /** `OVS_VPORT_CMD_DEL`. @throws KernelError ENODEV, EINVAL for the local port */
  deletePort(number: number): void {
    const vport = this.#ports.get(number);
    if (vport === undefined) throw new KernelError("ENODEV", `no port ${number} of ${this.name}`);
    if (number === OVSP_LOCAL) throw new KernelError("EINVAL", `${this.name} is the local port`);
    this.#detach(vport);
    if (vport.type !== "netdev") vport.dev.remove();
  }

  /** The device of a port is about to be deleted (`dp_device_event`). */
  deviceRemoved(vport: Vport): void {
    if (this.#ports.get(vport.number) === vport) this.#detach(vport);
  }

  /** `OVS_DP_CMD_DEL`. */
  remove(): void {
    for (const { number } of this.ports) if (number !== OVSP_LOCAL) this.deletePort(number);
    this.#table.clear();
    datapaths.get(this.netns)?.delete(this.name);
    this.#ports.delete(OVSP_LOCAL);
    this.local.dev.remove();
  }

  #addInternal(number: number, name: string): Vport {
    const dev: OvsInternalDevice = new OvsInternalDevice(this.netns, { name }, (skb) =>
      this.receive(vport, skb, undefined),
    );
    const vport: Vport = new Vport(this, number, "internal", dev);
    dev.promiscuity++;
    this.#ports.set(number, vport);
    return vport;
  }

  #link(type: VportType, dev: NetDevice): Vport {
    const vport = new Vport(this, this.#freeNumber(), type, dev);
    dev.receiveHandler = vport;
    dev.promiscuity++;
    this.#ports.set(vport.number, vport);
    this.#created(vport);
    return vport;
  }

  #created(vport: Vport): void {
    this.netns.network.touch();
    this.#listener?.vportCreated?.(vport);
  }

  #detach(vport: Vport): void {
    this.#ports.delete(vport.number);
    if (vport.dev.receiveHandler === vport) vport.dev.receiveHandler = undefined;
    vport.dev.promiscuity--;
    this.netns.network.touch();
    this.#listener?.vportDeleted?.(vport);
  }

  #freeNumber(): number {
    let number = OVSP_LOCAL + 1;
    while (this.#ports.has(number)) number++;
    return number;
  }

  // --- flows

  /** All, those first whose mask came first. */
  flows(): Iterable<DatapathFlow> {
    return this.#table.flows();
  }

  /** `OVS_FLOW_CMD_NEW`: makes a flow, or gives one other actions. @throws KernelError ENOENT where others overlap */
  putFlow(match: FlowMatch, actions: readonly OvsAction[]): DatapathFlow {
    const flow = this.#table.put(match, actions);
    this.netns.network.touch();
    return flow;
  }

  /** @throws KernelError ENOENT */
  deleteFlow(match: FlowMatch): void {
    this.#table.delete(match);
    this.netns.network.touch();
  }

  /** `OVS_FLOW_CMD_DEL` without a key. */
  flushFlows(): void {
    this.#table.clear();
    this.netns.network.touch();
  }

  // --- packets

  /** A frame comes in by a port (`ovs_dp_process_packet`). */
  receive(from: Vport, skb: Skb, tunnel: TunnelKey | undefined): void {
    const key = extractFlowKey(skb, from.number, tunnel);
    const { flow, tried } = this.#table.lookup(key);
    this.#maskHit += tried;
    if (flow === undefined) {
      this.#miss(from, key, skb);
      return;
    }
    const bytes = skb.packet.length + ETHERNET_HEADER_LENGTH;
    const { network } = this.netns;
    this.#count(flow, 1, bytes, network.clock.now);
    network.recording?.effect({
      repeat: (packets, time) => {
        this.#maskHit += packets * tried;
        this.#count(flow, packets, packets * bytes, time);
      },
    });
    this.#trace("hit", from, key, skb, flow, flow.actions);
    this.#execute(flow.actions, key, skb);
  }

  #count(flow: DatapathFlow, packets: number, bytes: number, time: number): void {
    this.#hit += packets;
    flow.packets += packets;
    flow.bytes += bytes;
    flow.used = time;
  }

  /** A program has a packet of its own sent (`OVS_PACKET_CMD_EXECUTE`), and whatever follows from that done. */
  execute(skb: Skb, actions: readonly OvsAction[]): void {
    const key = extractFlowKey(skb, NO_PORT, undefined);
    skb.dev = this.local.dev;
    this.#trace("execute", undefined, key, skb, undefined, actions);
    this.#execute(actions, key, skb);
    this.netns.network.run();
  }

  #miss(from: Vport, key: FlowKey, skb: Skb): void {
    this.netns.network.recording?.unrepeatable();
    this.#missed++;
    this.#trace("miss", from, key, skb, undefined, []);
    if (!this.#upcall("miss", key, skb)) {
      from.dev.drop(skb, "OVS_UPCALL_LOST", `no flow of ${this.name} fits, and no program has it`);
    }
  }

  /** What crosses to the program is bytes: nothing of the machine's own goes along. */
  #upcall(command: Upcall["command"], key: FlowKey, skb: Skb): boolean {
    this.netns.network.recording?.unrepeatable();
    if (this.#listener === undefined) {
      this.#lost++;
      return false;
    }
    skb.scrub(true);
    skb.bpf = undefined;
    skb.gso = false;
    this.#listener.upcall({ command, key, skb });
    return true;
  }

  /** `do_execute_actions`. */
  #execute(actions: readonly OvsAction[], key: FlowKey, skb: Skb): void {
    if (!actions.some(({ type }) => type !== "set-tunnel")) {
      this.local.dev.drop(skb, "OVS_LAST_ACTION", `the flow of ${this.name} sends it nowhere`);
      return;
    }
    let tunnel: TunnelKey | undefined;
    const last = actions.findLastIndex(({ type }) => type !== "set-tunnel");
    actions.forEach((action, i) => {
      if (action.type === "set-tunnel") {
        tunnel = action.tunnel;
        return;
      }
      if (i > last) return;
      const copy = i === last ? skb : skb.clone();
      if (i !== last) this.netns.network.recording?.unrepeatable();
      if (action.type === "userspace") this.#upcall("action", key, copy);
      else this.#output(action.port, copy, tunnel);
    });
  }

  /** `do_output`, `ovs_vport_send`. */
  #output(number: number, skb: Skb, tunnel: TunnelKey | undefined): void {
    const vport = this.#ports.get(number);
    if (vport === undefined) {
      this.local.dev.drop(skb, "DEV_READY", `${this.name} has no port ${number}`);
      return;
    }
    const { dev } = vport;
    if (skb.packet.length > dev.mtu && !skb.gso) {
      const detail = `${skb.packet.length} byte packet, MTU ${dev.mtu} of ${dev.name}`;
      dev.drop(skb, "PKT_TOO_BIG", detail);
      return;
    }
    if (dev instanceof OvsInternalDevice) {
      skb.dev = dev;
      dev.bringIn(skb);
      return;
    }
    skb.dst = undefined;
    skb.bpf = undefined;
    if (tunnel !== undefined) {
      skb.bpf = new SkbBpf();
      skb.bpf.tunnelTx = tunnel;
    }
    dev.queueTransmit(skb);
  }

  #trace(
    event: "hit" | "miss" | "execute",
    from: Vport | undefined,
    key: FlowKey,
    skb: Skb,
    flow: DatapathFlow | undefined,
    actions: readonly OvsAction[],
  ): void {
    const { trace, number: packet } = skb;
    if (trace === undefined) return;
    const { netns } = this;
    const to = outputs(actions).map((port) => this.#ports.get(port)?.name ?? `port ${port}`);
    trace.steps.push({
      kind: "datapath",
      netns,
      packet,
      datapath: this,
      event,
      from,
      key,
      flow,
      to,
    });
  }
}

/** Datapaths of a namespace by name (`ovs-dpctl dump-dps`). */
export function datapathsOf(netns: NetNamespace): ReadonlyMap<string, Datapath> {
  return datapaths.get(netns) ?? NONE;
}

const datapaths = new WeakMap<NetNamespace, Map<string, Datapath>>();
const NONE: ReadonlyMap<string, Datapath> = new Map();

function outputs(actions: readonly OvsAction[]): number[] {
  return actions.flatMap((action) => (action.type === "output" ? [action.port] : []));
}
