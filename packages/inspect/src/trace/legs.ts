import {
  type DeviceStep,
  isWireMessage,
  messageOf,
  type NetNamespace,
  type Socket,
  type SocketStep,
  TcpConnection,
  type Trace,
  type TraceStep,
  UdpSocket,
} from "@cnilab/linux";
import { IPPROTO_UDP, IpPacket, TcpSegment, UdpDatagram } from "@cnilab/net";
import { innermost, type PacketSummary, summarise } from "./packet-text.ts";
import { isTunnelSocket } from "./tunnel-socket.ts";

/** Everything that one client's socket and whoever answers it say to each other. */
export interface TraceLeg {
  /** The client's. */
  readonly socket: Socket;
  readonly netns: NetNamespace;
  /** Numbers of its packets. */
  readonly there: ReadonlySet<number>;
  readonly back: ReadonlySet<number>;
  /** The first packet as it left; `undefined` where it came to no device. */
  readonly asked: PacketSummary | undefined;
  /** Namespaces that the first packet passed, the client's first. */
  readonly places: readonly NetNamespace[];
  /** Where the first packet was delivered, and to whom. */
  readonly server: Socket | undefined;
  /** The first packet as it came there. */
  readonly arrived: PacketSummary | undefined;
  /** What the client said and heard, in the order of sending, as `GET /cart` and `200 OK`; bytes without a meaning are left out. */
  readonly said: readonly string[];
  readonly heard: readonly string[];
}

interface Building extends TraceLeg {
  readonly there: Set<number>;
  readonly back: Set<number>;
  places: NetNamespace[];
  asked: PacketSummary | undefined;
  server: Socket | undefined;
  arrived: PacketSummary | undefined;
  readonly said: string[];
  readonly heard: string[];
}

/**
 * Cuts a trace into legs: a request that goes through proxies is several conversations, each with a client of its own, and a name
 * that is looked up first is one as well. Packets that no program sent (ARP, ICMP errors) belong to none.
 */
export function traceLegs(trace: Trace): TraceLeg[] {
  const legs: Building[] = [];
  const byClient = new Map<Socket, Building>();
  const byServer = new Map<Socket, Building>();
  const byPacket = new Map<number, Building>();
  /** The leg whose packet came last to a namespace: whoever speaks there next without having begun, answers it. */
  const heard = new Map<NetNamespace, Building>();
  const frames = new Map<number, DeviceStep>();
  for (const step of trace.steps) {
    if (step.kind === "send" && step.socket !== undefined) {
      const leg = sender(step, step.socket);
      if (leg !== undefined) byPacket.set(step.packet, leg);
    }
    const leg = byPacket.get(step.packet);
    if (leg !== undefined) {
      follow(leg, step, frames.get(step.packet));
      if (step.kind === "transmit" && !frames.has(step.packet)) listen(leg, step);
    }
    if (step.kind === "receive" || step.kind === "transmit") frames.set(step.packet, step);
    if (step.kind === "deliver" && leg !== undefined) heard.set(step.netns, leg);
  }
  return legs;

  function sender({ packet, netns, text }: SocketStep, socket: Socket): Building | undefined {
    const own = byClient.get(socket);
    if (own !== undefined) {
      own.there.add(packet);
      return own;
    }
    if (begins(socket, text)) {
      const made: Building = {
        socket,
        netns,
        there: new Set([packet]),
        back: new Set(),
        asked: undefined,
        places: [],
        server: undefined,
        arrived: undefined,
        said: [],
        heard: [],
      };
      legs.push(made);
      byClient.set(socket, made);
      return made;
    }
    // A server of datagrams has one socket for all its clients; of a connection it has one for each.
    const isStream = socket instanceof TcpConnection;
    const answered = (isStream ? byServer.get(socket) : undefined) ?? heard.get(netns);
    if (answered === undefined) return undefined;
    if (isStream) byServer.set(socket, answered);
    answered.back.add(packet);
    return answered;
  }
}

/** Whether this is the first word of a client. */
function begins(socket: Socket, text: string): boolean {
  if (socket instanceof TcpConnection) return text === "SYN";
  if (socket instanceof UdpSocket) return socket.remoteAddress !== undefined;
  return socket.protocol !== IPPROTO_UDP && !text.includes("ACK") && !text.includes("reply");
}

/** Notes what a packet says, once for all segments of one message. */
function listen(leg: Building, { packet, frame }: DeviceStep): void {
  const carried = innermost(frame.payload);
  if (!(carried instanceof IpPacket)) return;
  const { payload } = carried;
  if (!(payload instanceof TcpSegment || payload instanceof UdpDatagram)) return;
  const message = messageOf(payload.payload);
  if (!isWireMessage(message)) return;
  const texts = leg.there.has(packet) ? leg.said : leg.heard;
  const text = String(message);
  if (texts.at(-1) !== text) texts.push(text);
}

/** Notes the way of a leg's first packet. */
function follow(leg: Building, step: TraceStep, before: DeviceStep | undefined): void {
  const [first] = leg.there;
  if (step.packet !== first) return;
  // A SYN that is sent again has a number of its own; a copy of it that was flooded elsewhere is dropped there.
  if (step.kind === "drop" && step.reason === "OTHERHOST") {
    if (leg.places.at(-1) === step.netns) leg.places.pop();
    return;
  }
  if (leg.server === undefined && leg.places.at(-1) !== step.netns) leg.places.push(step.netns);
  if (step.kind === "transmit" && leg.asked === undefined) {
    leg.asked = summarise(innermost(step.frame.payload));
  }
  if (step.kind === "deliver" && !isTunnelSocket(step)) {
    leg.server ??= step.socket;
    leg.arrived ??= before === undefined ? undefined : summarise(innermost(before.frame.payload));
  }
}
