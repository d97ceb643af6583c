import type { ResourceRecord } from "../message/message.ts";
import { isSubdomain, labelsOf, nextLabel, normalizeName } from "../message/name.ts";
import { targetOf } from "../message/record-data.ts";

export interface ZoneAnswer {
  readonly result: "Success" | "NameError" | "Delegation" | "NoData" | "ServerFailure";
  readonly answer: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
}

/** Asks for a name that the zone does not have, as the target of an alias. */
export type LookupElsewhere = (
  name: string,
  type: string,
  done: (found: {
    readonly answer: readonly ResourceRecord[];
    readonly result: ZoneAnswer["result"];
  }) => void,
) => void;

type Node = Map<string, ResourceRecord[]>;

/** More aliases than these in a row are not followed. */
const MAX_ALIASES = 8;

/** The records of a zone, and how they answer (RFC 1034 §4.3.2, RFC 4592, RFC 6672; CoreDNS `plugin/file/lookup.go`). */
export class Zone {
  readonly origin: string;
  readonly #nodes = new Map<string, Node>();
  /** Names without records that have names below them. */
  readonly #nonTerminals = new Set<string>();
  #soa: ResourceRecord | undefined;
  #ns: readonly ResourceRecord[] = [];

  /** @param origin absolute and in lower case */
  constructor(origin: string, records: readonly ResourceRecord[]) {
    this.origin = origin;
    for (const record of records) this.#add(record);
  }

  get hasSoa(): boolean {
    return this.#soa !== undefined;
  }

  #add(record: ResourceRecord): void {
    const { type, data } = record;
    const name = record.name.toLowerCase();
    const lowered = ["NS", "CNAME", "MX", "SOA"].includes(type) ? data.toLowerCase() : data;
    const kept: ResourceRecord = { ...record, name, data: lowered };
    if (type === "SOA") {
      this.#soa = kept;
      return;
    }
    if (type === "NS" && name === this.origin) {
      this.#ns = [...this.#ns, kept];
      return;
    }
    const node = this.#nodes.get(name) ?? new Map<string, ResourceRecord[]>();
    this.#nodes.set(name, node);
    const there = node.get(type);
    if (there === undefined) node.set(type, [kept]);
    else if (!there.some((each) => each.data === kept.data)) there.push(kept);
    for (let at = nextLabel(name, 0); at < name.length; at = nextLabel(name, at)) {
      const above = name.slice(at);
      if (!isSubdomain(this.origin, above)) break;
      this.#nonTerminals.add(above);
    }
  }

  /**
   * @param name in lower case, in the zone
   * @param elsewhere for aliases that lead out of what the zone has
   */
  lookup(
    name: string,
    type: string,
    elsewhere: LookupElsewhere,
    done: (answer: ZoneAnswer) => void,
  ): void {
    const soa = this.#soa;
    if (soa === undefined) {
      done({ ...NOTHING, result: "ServerFailure" });
      return;
    }
    if (name === this.origin && type === "SOA") {
      done(this.#success([soa]));
      return;
    }
    if (name === this.origin && type === "NS") {
      done({ ...NOTHING, answer: this.#ns, additional: this.#glue(this.#ns) });
      return;
    }
    // From the zone's own name downwards: an alias of the tree or a delegation on the way decides.
    const path = this.#path(name);
    let wildcard: string | undefined;
    for (const step of path) {
      const node = this.#nodes.get(step);
      if (node === undefined) {
        const star = `*.${step.slice(nextLabel(step, 0))}`;
        if (this.#nodes.has(star)) wildcard = star;
        continue;
      }
      const dname = node.get("DNAME")?.[0];
      if (dname !== undefined && step !== name) {
        this.#followTree(dname, name, type, elsewhere, done);
        return;
      }
      const ns = node.get("NS");
      if (ns !== undefined && !(type === "DS" && step === name)) {
        done({
          ...NOTHING,
          result: "Delegation",
          authority: ns,
          additional: this.#glue(ns),
        });
        return;
      }
    }
    const node = this.#nodes.get(name);
    const empty = (result: "NoData" | "NameError" | "Success") =>
      done({ ...NOTHING, result, authority: [soa] });
    if (node !== undefined) {
      const cname = node.get("CNAME");
      if (cname !== undefined && type !== "CNAME") {
        this.#follow(cname, type, elsewhere, done);
        return;
      }
      const records = node.get(type) ?? [];
      records.length === 0 ? empty("NoData") : done(this.#success(records));
      return;
    }
    if (wildcard !== undefined && !this.#closerNonTerminal(name, wildcard)) {
      const found = this.#nodes.get(wildcard) as Node;
      const named = (records: readonly ResourceRecord[] = []) =>
        records.map((record) => ({ ...record, name }));
      const cname = named(found.get("CNAME"));
      if (cname.length > 0 && type !== "CNAME") {
        this.#follow(cname, type, elsewhere, done);
        return;
      }
      const records = named(found.get(type));
      records.length === 0 ? empty("NoData") : done(this.#success(records));
      return;
    }
    empty(name === this.origin || this.#nonTerminals.has(name) ? "Success" : "NameError");
  }

  /** The name and those above it up to the zone's, the zone's first. */
  #path(name: string): string[] {
    const path = [name];
    for (let at = 0; path[0] !== this.origin; ) {
      at = nextLabel(name, at);
      if (at >= name.length) return [this.origin, ...path];
      path.unshift(name.slice(at));
    }
    return path;
  }

  /** Whether a name without records stands between the wildcard and the name: then the wildcard does not apply. */
  #closerNonTerminal(name: string, wildcard: string): boolean {
    const parent = wildcard.slice(2);
    for (let at = nextLabel(name, 0); at < name.length; at = nextLabel(name, at)) {
      const above = name.slice(at);
      if (above === parent) return false;
      if (this.#nonTerminals.has(above)) return true;
    }
    return false;
  }

  #success(answer: readonly ResourceRecord[]): ZoneAnswer {
    return { result: "Success", answer, authority: this.#ns, additional: this.#additional(answer) };
  }

  #followTree(
    dname: ResourceRecord,
    name: string,
    type: string,
    elsewhere: LookupElsewhere,
    done: (answer: ZoneAnswer) => void,
  ): void {
    const labels = labelsOf(name).slice(0, labelsOf(name).length - labelsOf(dname.name).length);
    const target = [...labels, dname.data].join(".");
    if (target.toLowerCase() === name) {
      done({ ...NOTHING, result: "ServerFailure" });
      return;
    }
    const cname = { name, ttl: dname.ttl, type: "CNAME", data: target };
    const withDname = (found: ZoneAnswer) => done({ ...found, answer: [dname, ...found.answer] });
    if (type === "CNAME") {
      withDname({ ...NOTHING, answer: [cname], authority: this.#ns });
      return;
    }
    this.#follow([cname], type, elsewhere, withDname);
  }

  /** Goes from alias to alias, within the zone as far as it has them. */
  #follow(
    aliases: readonly ResourceRecord[],
    type: string,
    elsewhere: LookupElsewhere,
    done: (answer: ZoneAnswer) => void,
  ): void {
    const answer = [...aliases];
    for (let i = 0; ; i++) {
      const target = normalizeName((answer.at(-1) as ResourceRecord).data);
      const delegation = this.#delegationOf(target, type);
      if (delegation !== undefined) {
        done({
          result: "Delegation",
          answer,
          authority: delegation,
          additional: this.#glue(delegation),
        });
        return;
      }
      const node = this.#nodes.get(target);
      if (node === undefined || type === "NS" || (type === "SOA" && target === this.origin)) {
        elsewhere(target, type, (found) => {
          const all = [...answer, ...found.answer];
          const negative = found.result === "NameError" || found.result === "NoData";
          done({
            result: found.result,
            answer: all,
            authority: negative ? [this.#soa as ResourceRecord] : this.#ns,
            additional: this.#additional(all),
          });
        });
        return;
      }
      const next = node.get("CNAME");
      if (next !== undefined && type !== "CNAME" && i < MAX_ALIASES) {
        answer.push(...next);
        continue;
      }
      if (next === undefined) answer.push(...(node.get(type) ?? []));
      done(this.#success(answer));
      return;
    }
  }

  #delegationOf(name: string, type: string): readonly ResourceRecord[] | undefined {
    if (name === this.origin || !isSubdomain(this.origin, name)) return undefined;
    for (const step of this.#path(name).slice(1)) {
      const ns = this.#nodes.get(step)?.get("NS");
      if (ns !== undefined && !(type === "DS" && step === name)) return ns;
    }
    return undefined;
  }

  /** Addresses of name servers that the zone itself knows. */
  #glue(ns: readonly ResourceRecord[]): ResourceRecord[] {
    return ns.flatMap(({ type, data }) => this.#addressesOf(targetOf(type, data) ?? ""));
  }

  #additional(answer: readonly ResourceRecord[]): ResourceRecord[] {
    const targets = new Set<string>();
    for (const { type, data } of answer) {
      if (type === "SRV" || type === "MX")
        targets.add(normalizeName(targetOf(type, data) as string));
    }
    return [...targets].flatMap((target) => this.#addressesOf(target));
  }

  #addressesOf(name: string): ResourceRecord[] {
    const node = this.#nodes.get(name.toLowerCase());
    return [...(node?.get("A") ?? []), ...(node?.get("AAAA") ?? [])];
  }
}

const NOTHING: ZoneAnswer = { result: "Success", answer: [], authority: [], additional: [] };
