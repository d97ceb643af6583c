import { parseIp } from "@cnilab/net";
import { Dummy, type IpvsStep, type NetNamespace, TcpConnection, Trace } from "../src/index.ts";
import { cable, connect, forwarding, Lab, routes, serve, up } from "./lab.ts";

/** A connection that a client has opened, and which server it has. */
export interface Held {
  readonly server: string;
  close(): void;
}

/**
 * A load balancer `lb` with the virtual addresses 10.96.0.10 and fd00:96::a on kube-ipvs0, real servers
 * 10.1.N.2 and fd00:1:N::2 behind it, and a client 10.0.0.2, fd00::2, which has its way to all by it.
 */
export class Balancer {
  readonly lab: Lab = new Lab();
  readonly lb: NetNamespace;
  readonly client: NetNamespace;
  readonly servers: NetNamespace[] = [];

  /** @param count real servers: they are numbered from 1 on */
  constructor(count: number) {
    this.lb = this.lab.host("lb", "10.0.0.1/24", "fd00::1/64");
    this.client = this.lab.host("client", "10.0.0.2/24", "fd00::2/64");
    routes(this.client, "10.96.0.0/16 via 10.0.0.1", "fd00:96::/64 via fd00::1");
    routes(this.client, "10.1.0.0/16 via 10.0.0.1", "fd00:1::/32 via fd00::1");
    forwarding(this.lb);
    up(new Dummy(this.lb, { name: "kube-ipvs0" }), "10.96.0.10/32", "fd00:96::a/128");
    for (let n = 1; n <= count; n++) this.#addServer(n);
  }

  #addServer(n: number): void {
    const netns = this.lb.kernel.addNamespace(`s${n}`);
    netns.loopback.setUp();
    const [near, far] = cable(this.lb, `veth${n}`, netns, "eth0");
    up(near, `10.1.${n}.1/24`, `fd00:1:${n}::1/64`);
    up(far, `10.1.${n}.2/24`, `fd00:1:${n}::2/64`);
    routes(netns, `0.0.0.0/0 via 10.1.${n}.1`, `::/0 via fd00:1:${n}::1`);
    this.servers.push(netns);
  }

  /** Every server listens on the port. */
  serve(port: number, protocol?: number): this {
    for (const server of this.servers) serve(server, port, protocol);
    return this;
  }

  /** The number of the server that answers; the outcome where none does. */
  ask(to: string, port: number, options: Parameters<typeof connect>[3] = {}): number | string {
    const { outcome, report } = connect(this.client, to, port, options);
    const at = report === undefined ? -1 : this.servers.indexOf(report.netns);
    return at < 0 ? outcome : at + 1;
  }

  /**
   * Opens TCP connections and keeps them: the numbers of the servers that have them, x where none does.
   * @param srcPorts where given, ports of the client, one after the other
   */
  hold(to: string, port: number, count: number, srcPorts?: readonly number[]): Held[] {
    return Array.from({ length: count }, (_, i) => {
      const localPort = srcPorts?.[i];
      const options = { dst: parseIp(to), port, owner: "client" };
      const connection = TcpConnection.connect(
        this.client,
        localPort === undefined ? options : { ...options, localPort },
      );
      if (!(connection instanceof TcpConnection) || connection.state !== "ESTAB") {
        return { server: "x", close: () => {} };
      }
      const entry = this.lb.ipvs.connections
        .entries()
        .find((c) => c.cport === connection.localPort && c.caddr === connection.localAddress);
      const at = this.servers.findIndex((s) => entry !== undefined && s.hasAddress(entry.daddr));
      return { server: String(at + 1), close: () => connection.close() };
    });
  }

  /** What IPVS says of a connection. */
  explain(to: string, port: number, protocol?: number): IpvsStep[] {
    const trace = new Trace();
    connect(this.client, to, port, { trace, ...(protocol === undefined ? {} : { protocol }) });
    return trace.steps.filter((step) => step.kind === "ipvs");
  }
}
