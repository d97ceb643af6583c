import { type DnsMessage, DnsWireMessage, type Rcode, replyTo } from "@cnilab/dns";
import {
  Message,
  MessageReader,
  messageOf,
  type ReceivedDatagram,
  say,
  type TcpConnection,
  TcpListener,
  type Trace,
  UdpSocket,
} from "@cnilab/linux";
import { IPPROTO_TCP, IPPROTO_UDP, type IpFamily, type Payload, parseIp } from "@cnilab/net";
import { identityMark, MARK_MAGIC_PROXY_EGRESS } from "../../datapath/lib/mark.ts";
import type { AccessLogEnd } from "../../hubble/access-log-message.ts";
import { MESSAGE_TYPE } from "../../hubble/monitor-messages.ts";
import {
  IDENTITY_SCOPE,
  isWorld,
  RESERVED_IDENTITY,
  scopeOf,
} from "../../identity/numeric-identity.ts";
import type { ProxiedEndpoint, ProxiedEnds, ProxyEnvironment } from "../proxy-environment.ts";
import type { DnsRules } from "./dns-rules.ts";
import { type MessageDetails, messageDetails } from "./message-details.ts";
import type { NameManager } from "./name-manager.ts";
import { DnsUpstreams, type UpstreamResult } from "./upstream.ts";

export interface DnsProxyOptions {
  readonly port: number;
  readonly families: readonly IpFamily[];
  readonly rejectCode: "refused" | "nameError";
  readonly rules: DnsRules;
  readonly names: NameManager;
}

/** `ProxyForwardTimeout` (pkg/fqdn/dnsproxy). */
const FORWARD_TIMEOUT_MS = 10_000;

/** One question on its way, and who waits for the answer. */
interface Question {
  readonly message: DnsMessage;
  readonly ends: ProxiedEnds;
  readonly trace: Trace | undefined;
  readonly reply: (answer: DnsMessage) => void;
}

/**
 * The agent's DNS proxy (pkg/fqdn/dnsproxy). It answers questions that no rule allows, and sends the others on in the name of who
 * asked, to whom they were for. What an answer says is known to policies before the answer is passed on.
 */
export class DnsProxy {
  readonly #environment: ProxyEnvironment;
  readonly #options: DnsProxyOptions;
  readonly #upstreams: DnsUpstreams;
  readonly #sockets: { close(): void }[] = [];
  readonly #connections = new Set<TcpConnection>();

  /** @throws KernelError EADDRINUSE */
  constructor(environment: ProxyEnvironment, options: DnsProxyOptions) {
    this.#environment = environment;
    this.#options = options;
    this.#upstreams = new DnsUpstreams(environment.netns, OWNER);
    try {
      for (const family of options.families) this.#listen(family);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #listen(family: IpFamily): void {
    const { netns } = this.#environment;
    const { port } = this.#options;
    const address = parseIp(family === 4 ? "127.0.0.1" : "::1");
    const socket = { owner: OWNER, transparent: true, mark: MARK_MAGIC_PROXY_EGRESS };
    this.#sockets.push(
      new TcpListener(netns, {
        ...socket,
        address,
        port,
        onAccept: (connection) => this.#accept(connection),
      }),
      new UdpSocket(netns, {
        ...socket,
        localAddress: address,
        localPort: port,
        onReceive: (datagram) => this.#datagram(datagram),
      }),
    );
  }

  /** The agent ends: so do its sockets. */
  close(): void {
    for (const socket of this.#sockets.splice(0)) socket.close();
    for (const connection of [...this.#connections]) connection.close();
    this.#upstreams.close();
  }

  #datagram({ src, srcPort, dst, dstPort, payload, skb }: ReceivedDatagram): void {
    const { trace } = skb;
    const ends = {
      protocol: IPPROTO_UDP,
      client: src,
      clientPort: srcPort,
      server: dst,
      serverPort: dstPort,
    };
    const answer = (reply: Payload) => this.#respond(ends, reply, trace);
    const asked = messageOf(payload);
    if (!(asked instanceof DnsWireMessage)) {
      this.#passOn(ends, payload, trace, answer);
      return;
    }
    this.#ask({
      message: asked.message,
      ends,
      trace,
      reply: (message) => {
        const wire = new DnsWireMessage(message, "udp");
        answer(new Message(wire.wireLength, wire));
      },
    });
  }

  /** From the address that was asked, by a raw socket (sessionUDP.WriteResponse). */
  #respond(ends: ProxiedEnds, payload: Payload, trace: Trace | undefined): void {
    const socket = new UdpSocket(this.#environment.netns, {
      localAddress: ends.server,
      localPort: ends.serverPort,
      remoteAddress: ends.client,
      remotePort: ends.clientPort,
      owner: OWNER,
      transparent: true,
      mark: MARK_MAGIC_PROXY_EGRESS,
      accepted: true,
    });
    socket.sendTo(ends.client, ends.clientPort, payload, { trace });
    socket.close();
  }

  #accept(connection: TcpConnection): void {
    this.#connections.add(connection);
    const reader = new MessageReader();
    const ends = {
      protocol: IPPROTO_TCP,
      client: connection.remoteAddress,
      clientPort: connection.remotePort,
      server: connection.localAddress,
      serverPort: connection.localPort,
    };
    const { trace } = connection;
    const answer = (length: number, message: unknown) => {
      if (connection.state === "ESTAB") connection.send(length, message);
    };
    connection.onData = (data) => {
      const asked = reader.take(data);
      if (asked === undefined) return;
      if (!(asked instanceof DnsWireMessage)) {
        this.#passOn(ends, data, trace, (reply) => answer(reply.length, messageOf(reply)));
        return;
      }
      const reply = (message: DnsMessage) => {
        if (connection.state === "ESTAB") say(connection, new DnsWireMessage(message, "tcp"));
      };
      this.#ask({ message: asked.message, ends, trace, reply });
    };
    connection.onEnd = () => {
      this.#connections.delete(connection);
      this.#upstreams.hangUp(ends);
    };
  }

  /** DNSProxy.ServeDNS */
  #ask(question: Question): void {
    const { message, ends } = question;
    const details = messageDetails(message);
    const endpoint = this.#environment.endpointAt(ends.client);
    if (details === undefined || endpoint === undefined) {
      question.reply(replyTo(message, "SERVFAIL"));
      return;
    }
    const { rules, rejectCode } = this.#options;
    const server = this.#environment.identityOf(ends.server);
    const at = { protocol: ends.protocol, port: ends.serverPort, identity: server };
    if (!rules.allows(endpoint.id, at, details.name)) {
      const rcode: Rcode = rejectCode === "refused" ? "REFUSED" : "NXDOMAIN";
      question.reply(replyTo(message, rcode));
      this.#log(question, endpoint, server, details, "REQUEST", "DENIED");
      return;
    }
    this.#log(question, endpoint, server, details, "REQUEST", "FORWARDED");
    const { network } = this.#environment.netns;
    // Where packets take no time the answer is there before the call that asks is over.
    let stop: (() => void) | undefined;
    let isDone = false;
    const done = (result: UpstreamResult) => {
      if (isDone) return;
      isDone = true;
      timer.cancel();
      stop?.();
      if (result !== "timeout") this.#answered(question, endpoint, server, details, result);
    };
    const timer = network.clock.schedule(FORWARD_TIMEOUT_MS, () => done("timeout"));
    const from = { ...ends, ...this.#source(endpoint, server) };
    stop = this.#upstreams.ask(message, from, question.trace, done);
    if (isDone) stop();
  }

  #answered(
    question: Question,
    endpoint: ProxiedEndpoint,
    server: number,
    asked: MessageDetails,
    result: DnsMessage | "failed",
  ): void {
    if (result === "failed") {
      question.reply(replyTo(question.message, "SERVFAIL"));
      this.#log(question, endpoint, server, asked, "REQUEST", "ERROR");
      return;
    }
    const details = messageDetails(result);
    if (details === undefined) {
      question.reply(replyTo(question.message, "SERVFAIL"));
      return;
    }
    if (details.rcode === 0 && details.ips.length > 0) {
      this.#options.names.learn(endpoint.id, details.name, details.ips, details.ttl);
    }
    this.#log(question, endpoint, server, details, "RESPONSE", "FORWARDED");
    question.reply({ ...result, id: question.message.id });
  }

  /** Who asks upstream: the pod itself, where whom it asks is in the cluster, and not on the node itself; else the node. */
  #source(endpoint: ProxiedEndpoint, server: number) {
    const mark = identityMark(endpoint.identity, MARK_MAGIC_PROXY_EGRESS);
    const isOwn =
      endpoint.isHost ||
      isWorld(server) ||
      scopeOf(server) === IDENTITY_SCOPE.local ||
      server === RESERVED_IDENTITY.host;
    return { mark, transparent: !isOwn };
  }

  /** What is no DNS a real proxy would not answer. Here it stands for whatever rules let pass: it goes to the server as it is. */
  #passOn(
    ends: ProxiedEnds,
    payload: Payload,
    trace: Trace | undefined,
    answer: (payload: Payload) => void,
  ): void {
    const endpoint = this.#environment.endpointAt(ends.client);
    if (endpoint === undefined) return;
    const server = this.#environment.identityOf(ends.server);
    this.#upstreams.passOn(payload, { ...ends, ...this.#source(endpoint, server) }, trace, answer);
  }

  #log(
    { ends }: Question,
    endpoint: ProxiedEndpoint,
    server: number,
    details: MessageDetails,
    kind: "REQUEST" | "RESPONSE",
    verdict: "FORWARDED" | "DENIED" | "ERROR",
  ): void {
    const { nodeName, netns } = this.#environment;
    const pod: AccessLogEnd = {
      address: ends.client,
      port: ends.clientPort,
      identity: endpoint.identity,
    };
    const other = { address: ends.server, port: ends.serverPort, identity: server };
    const { name: query, ips, ttl, cnames, rcode, questionTypes, answerTypes } = details;
    this.#environment.log({
      type: MESSAGE_TYPE.l7,
      node: nodeName,
      time: netns.network.clock.now,
      kind,
      verdict,
      ingress: false,
      transport: ends.protocol === IPPROTO_TCP ? "TCP" : "UDP",
      source: kind === "REQUEST" ? pod : other,
      destination: kind === "REQUEST" ? other : pod,
      dns: { query, ips, ttl, cnames, rcode, questionTypes, answerTypes },
    });
  }
}

const OWNER = "cilium-agent";
