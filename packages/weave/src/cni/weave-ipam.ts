import {
  type Clock,
  CNI_ERROR,
  CniError,
  CniWaiting,
  type IpamEngine,
  type IpamRequest,
  type IpamResult,
} from "@cnilab/core";
import {
  formatIp,
  type InterfaceAddress,
  type IpAddress,
  type Ipv4Address,
  type Prefix,
} from "@cnilab/net";
import { cidrs } from "../ipam/address-range.ts";
import type { Weaver } from "../weaver/weaver.ts";
import type { WeaverApi } from "../weaver/weaver-api.ts";
import type { WeaverConfig } from "../weaver/weaver-config.ts";

/** A request that weaver has not answered yet. */
interface PendingRequest {
  readonly weaver: Weaver;
  readonly listeners: Set<() => void>;
  /** Whoever asked has gone: the connection is closed. */
  cancelled: boolean;
  answer: Ipv4Address | Error | undefined;
}

/** Asks the node's weaver for addresses, as its plugins do over HTTP. It is there while weaver is not. */
export class WeaveIpam implements IpamEngine, WeaverApi {
  readonly #config: WeaverConfig;
  readonly #clock: Clock;
  readonly #pending = new Map<string, PendingRequest>();
  /** Containers that went while weaver was away: the kubelet repeats DEL until it is done. */
  readonly #releases = new Set<string>();
  #weaver: Weaver | undefined;

  constructor(config: WeaverConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
  }

  get expectsNpc(): boolean {
    return this.#config.expectNpc;
  }

  /** Why addresses are not given that somebody waits for; `undefined` where nobody does. */
  get problem(): string | undefined {
    const waiting = [...this.#pending.values()].filter(({ answer }) => answer === undefined);
    const [first] = waiting;
    return first && `${waiting.length} of its pods wait for an address: ${whatFor(first.weaver)}`;
  }

  /** Weaver runs now, or no longer. */
  weaverIs(weaver: Weaver | undefined): void {
    this.#weaver = weaver;
    for (const [ident, request] of this.#pending) {
      if (request.weaver !== weaver) this.#answer(ident, request, refused(ident));
    }
    if (weaver === undefined) return;
    for (const ident of this.#releases) weaver.allocator.delete(ident);
    this.#releases.clear();
  }

  addressOf(ident: string): InterfaceAddress {
    return this.#ask(ident, (weaver, request, done) => {
      const { ipallocRange: subnet } = this.#config;
      const hasBeenCancelled = () => request.cancelled;
      weaver.allocator.allocate({ ident, subnet, isContainer: false, hasBeenCancelled }, done);
    });
  }

  claim(ident: string, address: IpAddress): InterfaceAddress {
    if (typeof address !== "number") {
      throw new CniError(CNI_ERROR.generic, `Unable to claim: ${formatIp(address)} is not IPv4`);
    }
    return this.#ask(ident, (weaver, request, done) => {
      const { length } = this.#config.ipallocRange;
      const hasBeenCancelled = () => request.cancelled;
      weaver.allocator.claim(
        { ident, address, length, isContainer: false, hasBeenCancelled },
        (error) => done(error ?? address),
      );
    });
  }

  release(ident: string): void {
    const request = this.#pending.get(ident);
    if (request !== undefined) {
      this.#pending.delete(ident);
      request.cancelled = true;
    }
    if (this.#weaver === undefined) this.#releases.add(ident);
    else this.#weaver.allocator.delete(ident);
  }

  // --- as the cluster's IPAM

  allocate({ containerId, requested = [] }: IpamRequest): IpamResult {
    const [wanted] = requested;
    const address =
      wanted === undefined ? this.addressOf(containerId) : this.claim(containerId, wanted);
    return { ips: [{ address }], routes: [] };
  }

  check(containerId: string): void {
    if (this.#weaver?.allocator.owned.get(containerId) !== undefined) return;
    throw new CniError(CNI_ERROR.generic, `no addresses for ${containerId}`);
  }

  /** The overlay finds any address by ARP, wherever it is. */
  holds(address: IpAddress): boolean {
    return this.#config.ipallocRange.contains(address);
  }

  /** What this peer owns of the ring now. */
  ranges(): readonly Prefix[] {
    return this.#weaver?.allocator.ring.ownedRanges().flatMap(cidrs) ?? [];
  }

  // --- requests

  #ask(
    ident: string,
    ask: (
      weaver: Weaver,
      request: PendingRequest,
      done: (answer: Ipv4Address | Error) => void,
    ) => void,
  ): InterfaceAddress {
    let request = this.#pending.get(ident);
    if (request === undefined) {
      const weaver = this.#weaver;
      if (weaver === undefined) throw new CniError(CNI_ERROR.generic, refused(ident).message);
      const asked: PendingRequest = {
        weaver,
        listeners: new Set(),
        cancelled: false,
        answer: undefined,
      };
      request = asked;
      this.#pending.set(ident, request);
      ask(weaver, request, (answer) => this.#answer(ident, asked, answer));
    }
    const { answer, listeners } = request;
    if (answer === undefined) {
      const why = `weave-net waits for an address: ${whatFor(request.weaver)}`;
      throw new CniWaiting(why, (callback) => {
        listeners.add(callback);
        return () => listeners.delete(callback);
      });
    }
    this.#pending.delete(ident);
    if (typeof answer === "number") return request.weaver.addressOf(answer);
    throw new CniError(CNI_ERROR.generic, answer.message);
  }

  /** In a moment of its own: it comes in the middle of what a message has set off. */
  #answer(ident: string, request: PendingRequest, answer: Ipv4Address | Error): void {
    if (request.cancelled || request.answer !== undefined) return;
    request.answer = answer;
    if (request.listeners.size === 0) return;
    this.#clock.schedule(0, () => {
      if (this.#pending.get(ident) !== request) return;
      for (const listener of [...request.listeners]) listener();
    });
  }
}

/** As `weave status` says it. */
function whatFor({ allocator }: Weaver): string {
  const { waiting, knownNodes, quorum } = allocator.consensus;
  if (quorum > 0 && waiting) return `awaiting consensus (quorum: ${quorum}, known: ${knownNodes})`;
  if (allocator.ring.isEmpty)
    return "priming, as an observer does until a peer has told it of a ring";
  return `waiting for IP range grant from peers, of ${allocator.universe}`;
}

function refused(ident: string): Error {
  return new Error(
    `Post "http://127.0.0.1:6784/ip/${ident}": dial tcp 127.0.0.1:6784: connect: connection refused`,
  );
}
