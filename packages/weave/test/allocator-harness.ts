import { formatIp, parsePrefix } from "@cnilab/net";
import {
  Allocator,
  formatRange,
  type IpamMessage,
  type IpamState,
  type PeerName,
} from "../src/index.ts";
import { type RingText, ringText } from "./golden/ring-text.ts";
import { peerNumber } from "./golden/rings.ts";

export interface Delivered {
  readonly from: PeerName;
  readonly to: PeerName;
  readonly kind: "broadcast" | IpamMessage["kind"];
  readonly range?: string;
}

export interface PeerText {
  readonly owned: Readonly<Record<string, readonly string[]>>;
  readonly ring: RingText;
  readonly space: string;
}

export interface AllocatorSetup {
  readonly peers: readonly PeerName[];
  readonly quorum: number;
  readonly seed: readonly PeerName[] | null;
  readonly universe: string;
}

export interface Operation {
  /** A word and its arguments, as in `shared/vectors/weave-ipam/README.md`. */
  readonly op: readonly string[];
  /** What the real one delivered: whom it asked for space was at random where there were several. */
  readonly trace?: readonly Delivered[] | null;
}

/** Allocators that talk through one queue, driven by the operations of the vectors. */
export class AllocatorHarness {
  readonly #setup: AllocatorSetup;
  readonly #alive = new Map<PeerName, Allocator>();
  readonly #cut = new Set<string>();
  readonly #queue: (() => void)[] = [];
  #trace: Delivered[] = [];
  /** Whom the real one asked for space in this step: with several it was at random. */
  #asked: Delivered[] = [];

  constructor(setup: AllocatorSetup) {
    this.#setup = setup;
  }

  run({ op, trace }: Operation): {
    readonly trace: readonly Delivered[];
    readonly state: Readonly<Record<PeerName, PeerText>>;
    readonly result: string | undefined;
  } {
    this.#trace = [];
    this.#asked = (trace ?? []).filter(({ kind }) => kind === "spaceRequest");
    const result = this.#do(op);
    this.#drain();
    return {
      trace: this.#trace,
      state: Object.fromEntries([...this.#alive].map(([name, peer]) => [name, peerText(peer)])),
      result: result(),
    };
  }

  /** Whether a request for that container has no answer yet. */
  waits(ident: string): boolean {
    return [...this.#alive.values()].some(({ pending }) =>
      pending.allocations.some((each) => each.ident === ident),
    );
  }

  /** @returns what came of it, once all messages are delivered */
  #do(op: readonly string[]): () => string | undefined {
    const [what, first = "", second = "", third = ""] = op;
    const name = /^\d+$/.test(first) ? peerNumber(Number(first)) : first;
    const peer = this.#alive.get(name) as Allocator;
    const ok = () => "ok";
    let result: string | undefined;
    switch (what) {
      case "start":
        for (const each of this.#setup.peers) this.#start(each);
        return () => undefined;
      case "alloc":
        peer.allocate({ ident: second, subnet: parsePrefix(third), isContainer: true }, (got) => {
          result = got instanceof Error ? `error: ${got.message}` : formatIp(got);
        });
        return () => result ?? "PENDING";
      case "claim": {
        const [address = "", length] = third.split("/");
        const request = {
          ident: second,
          address: parsePrefix(`${address}/32`).address as number,
          length: Number(length),
          isContainer: true,
        };
        peer.claim(request, (error) => {
          result = error === undefined ? "ok" : `error: ${error.message}`;
        });
        return () => result ?? "PENDING";
      }
      case "free":
        result = peer.free(second, parsePrefix(`${third}/32`).address as number)
          ? "ok"
          : `error: Free: address ${third} not found for ${second}`;
        return () => result;
      case "delete":
        result = peer.delete(second) ? "ok" : `error: Delete: no addresses for ${second}`;
        return () => result;
      case "rmpeer": {
        const victim = /^\d+$/.test(second) ? peerNumber(Number(second)) : second;
        result = String(peer.takeOverRanges(victim));
        return () => result;
      }
      case "kill":
        this.#alive.delete(name);
        return ok;
      case "shutdown":
        peer.shutdown();
        // It is there until its last words are heard.
        this.#drain();
        this.#alive.delete(name);
        return ok;
      case "retry":
        peer.tick();
        return ok;
      case "gossip":
        for (const from of this.#alive.values()) this.#broadcast(from, () => from.state());
        return ok;
      case "cut":
      case "heal": {
        const link = linkOf(name, peerNumber(Number(second)));
        if (what === "cut") this.#cut.add(link);
        else this.#cut.delete(link);
        return ok;
      }
      default:
        throw new Error(`no such operation: ${op.join(" ")}`);
    }
  }

  #start(name: PeerName): void {
    const { universe, seed, quorum } = this.#setup;
    const number = Number.parseInt(name.replaceAll(":", ""), 16);
    const allocator: Allocator = new Allocator({
      name,
      uid: number,
      nickname: `nick${number}`,
      universe: parsePrefix(universe),
      ...(seed !== null && { seed }),
      quorum: () => quorum,
      donors: (free) => {
        const asked = this.#asked.find(({ from, to }) => from === name && free.has(to));
        if (asked === undefined) return [...free.keys()];
        this.#asked = this.#asked.filter((each) => each !== asked);
        return [asked.to];
      },
      isKnownPeer: (peer) => this.#alive.has(peer),
      now: () => 0,
      gossip: {
        broadcast: (state) => this.#broadcast(allocator, state),
        unicast: (to, message) => this.#unicast(name, to, message),
      },
    });
    this.#alive.set(name, allocator);
    allocator.start();
  }

  #broadcast({ name }: Allocator, state: () => IpamState): void {
    for (const to of this.#alive.keys()) {
      if (to === name || !this.#reaches(name, to)) continue;
      this.#queue.push(() => {
        this.#trace.push({ from: name, kind: "broadcast", to });
        this.#alive.get(to)?.onGossip(state(), name);
      });
    }
  }

  #unicast(from: PeerName, to: PeerName, message: IpamMessage): boolean {
    if (!this.#alive.has(to) || !this.#reaches(from, to)) return false;
    this.#queue.push(() => {
      const range = "range" in message ? { range: formatRange(message.range) } : {};
      this.#trace.push({ from, kind: message.kind, ...range, to });
      this.#alive.get(to)?.onUnicast(from, message);
    });
    return true;
  }

  #reaches(from: PeerName, to: PeerName): boolean {
    return !this.#cut.has(linkOf(from, to));
  }

  #drain(): void {
    for (let deliver = this.#queue.shift(); deliver !== undefined; deliver = this.#queue.shift()) {
      deliver();
    }
  }
}

function linkOf(x: PeerName, y: PeerName): string {
  return [x, y].sort().join(" ");
}

function peerText(peer: Allocator): PeerText {
  return {
    owned: Object.fromEntries(
      [...peer.owned.entries()].map(([ident, { addresses }]) => [
        ident,
        addresses.map(({ address, length }) => `${formatIp(address)}/${length}`),
      ]),
    ),
    ring: ringText(peer.ring),
    space: peer.space.toString().trim(),
  };
}
