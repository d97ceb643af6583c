import {
  ClientHello,
  HttpRequest,
  messageOf,
  passTo,
  serveHttp,
  TcpConnection,
  TcpListener,
} from "@cnilab/linux";
import { IPPROTO_TCP, type IpFamily, type Payload, parseIp } from "@cnilab/net";
import {
  identityMark,
  MARK_MAGIC_PROXY_EGRESS,
  MARK_MAGIC_PROXY_INGRESS,
} from "../../datapath/lib/mark.ts";
import { MESSAGE_TYPE } from "../../hubble/monitor-messages.ts";
import type { ProxiedEnds, ProxyEnvironment } from "../proxy-environment.ts";
import type { ListenerName } from "../proxy-ports.ts";
import { HttpForwarding } from "./http-forwarding.ts";
import type { ProxiedConnection, ProxyNetworkPolicy } from "./network-policy.ts";
import { ENVOY, type UpstreamSource } from "./upstream-source.ts";

/**
 * A listener of cilium-envoy for policies (pkg/envoy/xds_server.go getListenerConf; filters cilium.bpf_metadata, cilium.network and
 * cilium.l7policy of cilium/proxy): ends connections that TPROXY gives it, judges them by the policy of the pod at one end, and makes
 * connections of its own to whom they were for.
 */
export class PolicyListener {
  readonly #environment: ProxyEnvironment;
  readonly #ingress: boolean;
  readonly #isHttp: boolean;
  readonly #sockets: TcpListener[] = [];

  /** @throws KernelError EADDRINUSE */
  constructor(
    environment: ProxyEnvironment,
    name: Exclude<ListenerName, "cilium-dns-egress">,
    port: number,
    families: readonly IpFamily[],
  ) {
    this.#environment = environment;
    this.#ingress = name.endsWith("-ingress");
    this.#isHttp = name.startsWith("cilium-http-");
    for (const family of families) {
      this.#sockets.push(
        new TcpListener(environment.netns, {
          address: parseIp(family === 4 ? "127.0.0.1" : "::1"),
          port,
          owner: ENVOY,
          transparent: true,
          mark: this.#magic,
          onAccept: (connection) => this.#accept(connection),
        }),
      );
    }
  }

  close(): void {
    for (const socket of this.#sockets.splice(0)) socket.close();
  }

  get #magic(): number {
    return this.#ingress ? MARK_MAGIC_PROXY_INGRESS : MARK_MAGIC_PROXY_EGRESS;
  }

  /** What is said first tells what it is (envoy.filters.listener.tls_inspector). */
  #accept(connection: TcpConnection): void {
    connection.onData = (data) => {
      connection.onData = undefined;
      this.#begin(connection, data);
    };
  }

  #begin(connection: TcpConnection, data: Payload): void {
    const { remoteAddress: client, localAddress: server } = connection;
    const ends: ProxiedEnds = {
      protocol: IPPROTO_TCP,
      client,
      clientPort: connection.remotePort,
      server,
      serverPort: connection.localPort,
    };
    const environment = this.#environment;
    const endpoint = environment.endpointAt(this.#ingress ? server : client);
    const policy = endpoint && environment.policyOf(endpoint.id);
    const source = environment.sourceIdentity(ends, this.#ingress);
    const destination = this.#ingress ? 0 : environment.identityOf(server);
    const hello = messageOf(data);
    const proxied: ProxiedConnection = {
      direction: this.#ingress ? "ingress" : "egress",
      port: ends.serverPort,
      remote: this.#ingress ? source : destination,
      serverName: hello instanceof ClientHello ? hello.serverName : undefined,
    };
    if (policy === undefined || !policy.allowsConnection(proxied)) {
      this.#refuse(connection, ends, source, destination);
      return;
    }
    const upstream = this.#upstreamSource(ends, source);
    if (!this.#isHttp || !isKnown(hello)) this.#relay(connection, ends, upstream, data);
    // Without a certificate of its own there is nothing to end TLS with (cilium.tls_wrapper).
    else if (hello instanceof ClientHello) this.#refuse(connection, ends, source, destination);
    else this.#serve(connection, policy, proxied, ends, { source, destination }, upstream, data);
  }

  /**
   * In the name of who asks, by its own address and port, only on the way out and to other nodes (cilium/bpf_metadata.cc). Pods behind a
   * proxy of ingress see the node.
   */
  #upstreamSource(ends: ProxiedEnds, source: number): UpstreamSource {
    const mark = identityMark(source, this.#magic);
    const isLocal = this.#environment.endpointAt(ends.server) !== undefined;
    if (this.#ingress || isLocal) return { mark, transparent: true };
    return { mark, transparent: true, src: ends.client, localPort: ends.clientPort };
  }

  #serve(
    connection: TcpConnection,
    policy: ProxyNetworkPolicy,
    proxied: ProxiedConnection,
    ends: ProxiedEnds,
    identities: { readonly source: number; readonly destination: number },
    upstream: UpstreamSource,
    data: Payload,
  ): void {
    const forwarding = new HttpForwarding(this.#environment, {
      policy,
      proxied,
      ends,
      ...identities,
      upstream,
      trace: connection.trace,
    });
    serveHttp(connection, { handle: (received, answer) => forwarding.handle(received, answer) });
    connection.onEnd = () => forwarding.close();
    connection.onData?.(data, connection);
  }

  /** Both ways, unread (envoy.filters.network.tcp_proxy). What is no message of a protocol stands for what rules let pass. */
  #relay(
    connection: TcpConnection,
    ends: ProxiedEnds,
    source: UpstreamSource,
    first: Payload,
  ): void {
    const waiting: Payload[] = [first];
    let upstream: TcpConnection | undefined;
    connection.onData = (data) => {
      if (upstream?.state === "ESTAB") passTo(upstream)(data);
      else waiting.push(data);
    };
    connection.onEnd = () => hangUp(upstream);
    const made = TcpConnection.connect(this.#environment.netns, {
      ...source,
      dst: ends.server,
      port: ends.serverPort,
      owner: ENVOY,
      trace: connection.trace,
      prepare: (to) => {
        upstream = to;
        to.onData = passTo(connection);
        to.onEnd = () => hangUp(connection);
        to.onEstablished = () => {
          for (const data of waiting.splice(0)) passTo(to)(data);
        };
      },
    });
    if ("errno" in made || made.state === "CLOSED") hangUp(connection);
  }

  /** `conn.close(AbortReset, "access denied")` (cilium/network_filter.cc). */
  #refuse(connection: TcpConnection, ends: ProxiedEnds, source: number, destination: number): void {
    const { nodeName, netns } = this.#environment;
    this.#environment.log({
      type: MESSAGE_TYPE.l7,
      node: nodeName,
      time: netns.network.clock.now,
      kind: "REQUEST",
      verdict: "DENIED",
      ingress: this.#ingress,
      transport: "TCP",
      source: { address: ends.client, port: ends.clientPort, identity: source },
      destination: { address: ends.server, port: ends.serverPort, identity: destination },
    });
    connection.reset();
  }
}

/** Once what is under way now is done with: it takes its own packets there and back. */
function hangUp(connection: TcpConnection | undefined): void {
  if (connection?.state !== "ESTAB") return;
  connection.netns.network.clock.schedule(0, () => connection.close());
}

/** HTTP and TLS; other bytes mean nothing in particular. */
function isKnown(message: unknown): boolean {
  return message instanceof HttpRequest || message instanceof ClientHello;
}
