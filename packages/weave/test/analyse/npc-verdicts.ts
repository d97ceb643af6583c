import type { NetNamespace } from "@cnilab/linux";
import { type IpAddress, parseIp, parsePrefix } from "@cnilab/net";

/** A packet that begins a connection, as the rules look at it. */
export interface NewPacket {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** `tcp`, `udp`, `sctp`, `icmp`. */
  readonly protocol: string;
  readonly port: number;
  /** It is for an address of the node. */
  readonly isForNode: boolean;
}

type Match = (packet: NewPacket, mark: boolean) => boolean;

interface SavedRule {
  readonly matches: readonly Match[];
  readonly target: string;
}

/** What weave-npc's rules do with packets, read out of what `iptables-save` and `ipset save` print: no other part of the model has a say. */
export class NpcVerdicts {
  readonly #chains = new Map<string, SavedRule[]>();
  readonly #sets = new Map<string, string[]>();

  constructor(netns: NetNamespace) {
    for (const line of netns.ipsets.save().split("\n")) {
      const [command, name = "", entry = ""] = line.split(" ");
      if (command === "create") this.#sets.set(name, []);
      if (command === "add") this.#sets.get(name)?.push(entry);
    }
    for (const line of netns.iptables(4).save("filter").split("\n")) {
      const [, chain = "", rest = ""] = /^-A (\S+) (.*)$/.exec(line) ?? [];
      if (!chain.startsWith("WEAVE-NPC")) continue;
      const rules = this.#chains.get(chain) ?? [];
      this.#chains.set(chain, rules);
      rules.push(this.#read(rest));
    }
  }

  /** Whether it may leave the pod: what nothing has dropped goes on. */
  egress(packet: NewPacket): boolean {
    return this.#walk("WEAVE-NPC-EGRESS", packet, { marked: false }) !== "DROP";
  }

  /** Whether it may come to the pod: what nothing has accepted is dropped behind the chain. */
  ingress(packet: NewPacket): boolean {
    return this.#walk("WEAVE-NPC", packet, { marked: false }) === "ACCEPT";
  }

  #walk(chain: string, packet: NewPacket, state: { marked: boolean }): string | undefined {
    for (const { matches, target } of this.#chains.get(chain) ?? []) {
      if (!matches.every((match) => match(packet, state.marked))) continue;
      if (target === "ACCEPT" || target === "DROP") return target;
      if (target === "RETURN") return undefined;
      if (target === "MARK") state.marked = true;
      const verdict = this.#walk(target, packet, state);
      if (verdict !== undefined) return verdict;
    }
    return undefined;
  }

  #read(text: string): SavedRule {
    const words = (text.replace(/--comment "[^"]*"/, "").match(/\S+/g) ?? []).filter(
      (word, i, all) => word !== "-m" && all[i - 1] !== "-m",
    );
    const matches: Match[] = [];
    let target = "";
    let not = false;
    for (let word = words.shift(); word !== undefined; word = words.shift()) {
      if (word === "!") {
        not = true;
        continue;
      }
      if (word === "-j") {
        target = words.shift() ?? "";
        break;
      }
      const match = this.#match(word, words);
      const isNot = not;
      matches.push(isNot ? (packet, mark) => !match(packet, mark) : match);
      not = false;
    }
    return { matches, target };
  }

  #match(word: string, words: string[]): Match {
    // Nothing here is bridged from or to other peers: that is theirs to judge.
    if (word === "--physdev-is-bridged") return () => false;
    const value = words.shift() ?? "";
    switch (word) {
      case "--physdev-in":
      case "--physdev-out":
        return () => true;
      case "--state":
        return () => value.split(",").includes("NEW");
      case "--dst-type":
        return ({ isForNode }) => isForNode;
      case "--mark":
        return (_, mark) => mark;
      case "-p":
        return ({ protocol }) => protocol === value;
      case "-s":
        return ({ source }) => parsePrefix(value).contains(source);
      case "-d":
        return ({ destination }) => parsePrefix(value).contains(destination);
      case "--dport": {
        const [first, last = first] = value.split(":").map(Number) as [number, number?];
        return ({ port }) => port >= first && port <= last;
      }
      case "--match-set":
        return words.shift() === "src"
          ? ({ source }) => this.#isIn(value, source)
          : ({ destination }) => this.#isIn(value, destination);
      default:
        throw new Error(`nobody knows the match ${word}`);
    }
  }

  #isIn(set: string, address: IpAddress): boolean {
    return (this.#sets.get(set) ?? []).some((entry) => {
      if (this.#sets.has(entry)) return this.#isIn(entry, address);
      return entry.includes("/")
        ? parsePrefix(entry).contains(address)
        : parseIp(entry) === address;
    });
  }
}
