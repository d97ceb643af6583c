import {
  hangUp,
  messageOf,
  type NetNamespace,
  passTo,
  type ReceivedDatagram,
  SctpAssociation,
  SctpListener,
  TcpConnection,
  TcpListener,
  UdpSocket,
} from "@cnilab/linux";
import { formatEndpoint, type IpAddress, type Payload } from "@cnilab/net";
import type { PortProtocol } from "./port-allocator.ts";

const OWNER = "docker-proxy";
/** Milliseconds without an answer after which a client of UDP is forgotten (cmd/docker-proxy/udp_proxy_linux.go). */
const UDP_TIMEOUT_MS = 90_000;

/** Where a userland proxy listens, and where it goes. */
export interface ProxiedPort {
  readonly protocol: PortProtocol;
  /** 0.0.0.0 or :: for all addresses of the host of one family. */
  readonly hostIp: IpAddress;
  readonly hostPort: number;
  /** Of the container, in whichever family. */
  readonly address: IpAddress;
  readonly port: number;
}

/**
 * The userland proxy of one published port: a program of the host that dials the container, which sees the host's own
 * address. What DNAT takes never gets here.
 * @returns what ends it
 * @throws KernelError EADDRINUSE
 */
export function startDockerProxy(netns: NetNamespace, published: ProxiedPort): () => void {
  switch (published.protocol) {
    case "tcp":
      return proxyTcp(netns, published);
    case "udp":
      return proxyUdp(netns, published);
    case "sctp":
      return proxySctp(netns, published);
  }
}

function proxyTcp(
  netns: NetNamespace,
  { hostIp, hostPort, address, port }: ProxiedPort,
): () => void {
  const listener = new TcpListener(netns, {
    address: hostIp,
    port: hostPort,
    owner: OWNER,
    onAccept: (client) => {
      const heard: Payload[] = [];
      client.onData = (data) => heard.push(data);
      const backend = TcpConnection.connect(netns, {
        dst: address,
        port,
        owner: OWNER,
        trace: client.trace,
        prepare: (connection) => {
          connection.onData = passTo(client);
          connection.onEnd = () => refuse(client);
          client.onEnd = () => hangUp(connection);
          connection.onEstablished = () => {
            connection.onEnd = () => hangUp(client);
            client.onData = passTo(connection);
            for (const data of heard.splice(0)) passTo(connection)(data);
          };
        },
      });
      if ("errno" in backend) refuse(client);
    },
  });
  return () => listener.close();
}

/** As {@link hangUp}, where nobody has read what it sent: that ends by a RST (net/ipv4/tcp.c `__tcp_close`). */
function refuse(connection: TcpConnection): void {
  connection.onEnd = undefined;
  connection.netns.network.clock.schedule(0, () => {
    if (connection.state === "CLOSED") return;
    if (connection.received > 0) connection.reset();
    else connection.close();
  });
}

function proxyUdp(
  netns: NetNamespace,
  { hostIp, hostPort, address, port }: ProxiedPort,
): () => void {
  const clients = new Map<string, UdpSocket>();
  const open = ({ src, srcPort, dst }: ReceivedDatagram, front: UdpSocket): UdpSocket => {
    const key = formatEndpoint(src, srcPort);
    const known = clients.get(key);
    if (known !== undefined) return known;
    let lastAnswer = netns.network.clock.now;
    const backend = new UdpSocket(netns, {
      remoteAddress: address,
      remotePort: port,
      owner: OWNER,
      onReceive: ({ payload, skb }) => {
        lastAnswer = netns.network.clock.now;
        front.sendTo(src, srcPort, payload, { src: dst, trace: skb.trace });
      },
    });
    clients.set(key, backend);
    const expire = () => {
      const left = lastAnswer + UDP_TIMEOUT_MS - netns.network.clock.now;
      if (clients.get(key) !== backend) return;
      if (left > 0) {
        netns.network.clock.schedule(left, expire, { background: true });
        return;
      }
      clients.delete(key);
      backend.close();
    };
    netns.network.clock.schedule(UDP_TIMEOUT_MS, expire, { background: true });
    return backend;
  };
  const front = new UdpSocket(netns, {
    localAddress: hostIp,
    localPort: hostPort,
    owner: OWNER,
    onReceive: (datagram, socket) => {
      open(datagram, socket).sendTo(address, port, datagram.payload, { trace: datagram.skb.trace });
    },
  });
  return () => {
    front.close();
    for (const backend of clients.values()) backend.close();
    clients.clear();
  };
}

function proxySctp(
  netns: NetNamespace,
  { hostIp, hostPort, address, port }: ProxiedPort,
): () => void {
  const listener = new SctpListener(netns, {
    address: hostIp,
    port: hostPort,
    owner: OWNER,
    onAssociate: (client) => {
      const heard: Payload[] = [];
      client.onData = (data) => heard.push(data);
      const pass = (to: SctpAssociation) => (data: Payload) => {
        // What one side takes in a packet may be several on the other (RFC 9260 section 6.9).
        let left = data.length;
        for (; left > to.maxSegmentSize; left -= to.maxSegmentSize) {
          if (to.state === "ESTAB") to.send(to.maxSegmentSize);
        }
        if (to.state === "ESTAB") to.send(left, messageOf(data));
      };
      const { trace } = client;
      const backend = SctpAssociation.connect(netns, { dst: address, port, owner: OWNER, trace });
      backend.onData = pass(client);
      backend.onEstablished = () => {
        client.onData = pass(backend);
        for (const data of heard.splice(0)) pass(backend)(data);
      };
      if (backend.state === "ESTAB") backend.onEstablished();
    },
  });
  return () => listener.close();
}
