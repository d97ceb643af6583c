import { addressIn, prefixOf, type Step } from "../topology.ts";

/** A place where a namespace is attached: it is `host` of a subnet. */
export interface Attachment {
  readonly netns: string;
  readonly subnet: number;
  readonly host: number;
  readonly dev: string;
}

/** The network that steps make, as far as later steps must know it. */
export class Plan {
  readonly steps: Step[] = [];
  readonly attachments: Attachment[] = [];
  readonly routers: string[] = [];
  readonly hosts: string[] = [];
  /** Bridges with the ports that each has. */
  readonly bridges: { readonly netns: string; readonly subnet: number; readonly ports: number }[] =
    [];
  /** Sets of each namespace that rules can ask. */
  readonly ipsets: IpsetPlan[] = [];
  #subnets = 0;

  get subnets(): number {
    return this.#subnets;
  }

  get namespaces(): readonly string[] {
    return [...this.routers, ...this.hosts];
  }

  add(step: Step): void {
    this.steps.push(step);
  }

  newSubnet(): number {
    return ++this.#subnets;
  }

  router(): string {
    const netns = `r${this.routers.length + 1}`;
    this.routers.push(netns);
    this.add({ do: "namespace", netns });
    return netns;
  }

  host(): string {
    const netns = `h${this.hosts.length + 1}`;
    this.hosts.push(netns);
    this.add({ do: "namespace", netns });
    return netns;
  }

  attach(netns: string, subnet: number, host: number, dev: string): void {
    this.attachments.push({ netns, subnet, host, dev });
  }

  cable(a: string, b: string, mtu: number): void {
    const subnet = this.newSubnet();
    this.add({ do: "cable", a, b, subnet, mtu });
    this.attach(a, subnet, 1, `e${subnet}`);
    this.attach(b, subnet, 2, `e${subnet}`);
  }

  attachmentsOf(netns: string): Attachment[] {
    return this.attachments.filter((a) => a.netns === netns);
  }

  /** Where a namespace is attached first; each is somewhere. */
  firstOf(netns: string): Attachment {
    return this.attachments.find((a) => a.netns === netns) as Attachment;
  }

  /** Who else is on the subnets of a namespace. */
  neighboursOf(netns: string): Attachment[] {
    const subnets = this.attachmentsOf(netns).map((a) => a.subnet);
    return this.attachments.filter((a) => a.netns !== netns && subnets.includes(a.subnet));
  }

  set(netns: string, path: string, value: number): void {
    this.add({ do: "sysctl", netns, path, value });
  }

  /** The neighbours that are next on the shortest ways from a router to a subnet; none when it is attached. */
  nextHops(from: string, subnet: number): Attachment[] {
    const isAt = (netns: string): boolean =>
      this.attachments.some((a) => a.netns === netns && a.subnet === subnet);
    if (isAt(from)) return [];
    const neighbours = this.neighboursOf(from).filter((n) => this.routers.includes(n.netns));
    const distances = neighbours.map((n) => this.#distance(n.netns, isAt, from));
    const least = Math.min(...distances);
    return neighbours.filter((_, i) => distances[i] === least && least < Infinity);
  }

  /** Hops from a router to the first for which `isGoal` holds, not by way of `without`. */
  #distance(start: string, isGoal: (netns: string) => boolean, without: string): number {
    const distance = new Map([[start, 0]]);
    for (const [netns, hops] of distance) {
      if (isGoal(netns)) return hops;
      for (const { netns: next } of this.neighboursOf(netns)) {
        if (next === without || distance.has(next) || !this.routers.includes(next)) continue;
        distance.set(next, hops + 1);
      }
    }
    return Infinity;
  }
}

/** A set and which address family its elements are of, and how a rule names the fields of a packet. */
export interface IpsetPlan {
  readonly netns: string;
  readonly name: string;
  /** `undefined` for sets without addresses. */
  readonly family: 4 | 6 | undefined;
  readonly dimensions: number;
}

export const addressOf = (family: 4 | 6, { subnet, host }: Attachment): string =>
  addressIn(family, subnet, host);

export const netOf = (family: 4 | 6, { subnet }: Attachment): string => prefixOf(family, subnet);

export const everything = (family: 4 | 6): string => (family === 4 ? "0.0.0.0/0" : "::/0");

/** A virtual address that nobody has: rules translate it. */
export const vip = (family: 4 | 6): string => (family === 4 ? "10.96.0.1" : "fd00:96::1");
