import { isPolicyOrigin } from "@cnilab/core";
import { DnsWireMessage, type ResolverStep } from "@cnilab/dns";
import { type Drop, messageOf, type NetNamespace } from "@cnilab/linux";
import { formatEndpoint, type IpAddress, TcpSegment, UdpDatagram } from "@cnilab/net";
import { innermostOf } from "./innermost-packet.ts";

const DNS_PORT = 53;

/** A packet of DNS that ended on the way: a question, or the answer to one. */
export interface LostQuestion {
  readonly drop: Drop;
  /** Whether the resolver sent the question itself; otherwise a server asked another one on its behalf. */
  readonly own: boolean;
  readonly isAnswer: boolean;
  /** Who asked, and who was asked, as the packet had it where it ended: behind address translation. */
  readonly asker: IpAddress;
  readonly server: IpAddress;
  /** As `10.244.1.5:53/UDP`. */
  readonly where: string;
  /** What was asked for; absent in a packet of TCP that carries no message. */
  readonly name: string | undefined;
}

/** Which of the packets that ended meanwhile were DNS, in order. */
export function lostQuestions(
  drops: readonly Drop[],
  netns: NetNamespace,
  steps: readonly ResolverStep[],
): LostQuestion[] {
  const own = new Set(netns.devices.flatMap((dev) => dev.addresses.map(({ address }) => address)));
  // What is masqueraded has lost its sender, and still goes to a server that was asked.
  const servers = new Set(steps.map(({ server }) => server));
  return drops.flatMap((drop) => {
    const lost = lostQuestion(drop);
    if (lost === undefined) return [];
    const isOwn = own.has(lost.asker) || servers.has(lost.server);
    return [{ ...lost, own: isOwn }];
  });
}

/** The one to tell about: what a policy dropped, or else the last. */
export function tellingLoss(lost: readonly LostQuestion[]): LostQuestion | undefined {
  return lost.find(({ drop }) => isPolicyOrigin(drop.rule?.origin)) ?? lost.at(-1);
}

function lostQuestion(drop: Drop): Omit<LostQuestion, "own"> | undefined {
  if (!drop.skb.isIp) return undefined;
  const { src, dst, payload } = innermostOf(drop.skb.ip);
  if (!(payload instanceof UdpDatagram || payload instanceof TcpSegment)) return undefined;
  const { srcPort, dstPort } = payload;
  const carried = messageOf(payload.payload);
  const message = carried instanceof DnsWireMessage ? carried.message : undefined;
  // A handshake carries no message: there the port says what it is for.
  if (message === undefined && srcPort !== DNS_PORT && dstPort !== DNS_PORT) return undefined;
  const isAnswer = message?.flags.qr ?? srcPort === DNS_PORT;
  const [asker, server, port] = isAnswer ? [dst, src, srcPort] : [src, dst, dstPort];
  const protocol = payload instanceof TcpSegment ? "TCP" : "UDP";
  return {
    drop,
    isAnswer,
    asker,
    server,
    where: `${formatEndpoint(server, port)}/${protocol}`,
    name: message?.question[0]?.name,
  };
}
