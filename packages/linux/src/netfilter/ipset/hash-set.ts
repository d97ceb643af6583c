import {
  addressBits,
  addToIp,
  compareIp,
  formatIp,
  formatMac,
  type IpAddress,
  type IpFamily,
  Ipv6Address,
  ipv4Mask,
  maskIp,
} from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import type { HookState } from "../hooks.ts";
import { WordTable } from "../word-table.ts";
import { type FieldValue, formatNet, formatPort } from "./element-syntax.ts";
import {
  alreadyAdded,
  type ElementOptions,
  Entry,
  Ipset,
  type IpsetOptions,
  notAdded,
  type SharedElements,
} from "./ipset.ts";
import { kernelRefusal } from "./ipset-error.ts";
import { addressOf, type Direction, deviceOf, macOf, portOf } from "./packet-fields.ts";
import type { ElementField, SetType } from "./set-type.ts";

const NAME_WORDS = 4;

/** Elements of a set. Not changed any more once it is shared. */
class Elements implements SharedElements {
  readonly type: SetType;
  readonly family: IpFamily;
  readonly table: WordTable;
  /** By number in the table. */
  readonly entries: (Entry | undefined)[];
  /** For each network in an element the lengths that occur, longest first, and how often. */
  readonly lengths: readonly Lengths[];
  /** Numbers of elements whose interface is the beginning of a name. */
  readonly wildcards: Set<number>;
  isShared = false;

  constructor(
    of: { readonly type: SetType; readonly family: IpFamily },
    table: WordTable,
    entries: (Entry | undefined)[],
    lengths: readonly Lengths[],
    wildcards: Set<number>,
  ) {
    this.type = of.type;
    this.family = of.family;
    this.table = table;
    this.entries = entries;
    this.lengths = lengths;
    this.wildcards = wildcards;
  }

  /** One that may be changed. */
  copy(): Elements {
    // Entries that are shared are replaced, not changed.
    const entries = this.entries.slice();
    const lengths = this.lengths.map((each) => ({ ...each, counts: [...each.counts] }));
    return new Elements(this, this.table.clone(), entries, lengths, new Set(this.wildcards));
  }
}

interface Lengths {
  readonly place: Place;
  lengths: number[];
  readonly counts: number[];
}

/** Where a part of an element stands in its key. */
interface Place {
  readonly field: ElementField;
  /** First word. */
  readonly at: number;
}

/**
 * A set of type `hash:…`: one hash table of elements as words. A part that is a network has its length
 * behind the address; a search tries the lengths that occur, longest first, and what it finds first
 * decides (net/netfilter/ipset/ip_set_hash_gen.h mtype_test_cidrs).
 */
export class HashSet extends Ipset {
  readonly #places: readonly Place[];
  readonly #addressWords: number;
  readonly #key: Uint32Array;
  #elements: Elements;

  constructor(netns: NetNamespace, name: string, type: SetType, options: IpsetOptions) {
    super(netns, name, type, options);
    this.#addressWords = options.family === 4 ? 1 : 4;
    const places: Place[] = [];
    let width = 0;
    for (const field of type.fields) {
      places.push({ field, at: width });
      width += this.#wordsOf(field);
    }
    this.#places = places;
    this.#key = new Uint32Array(width);
    const lengths = places
      .filter(({ field }) => field === "net")
      .map((place) => ({ place, lengths: [], counts: [] }));
    const of = { type, family: options.family };
    this.#elements = new Elements(of, new WordTable(width), [], lengths, new Set());
  }

  override get isShareable(): boolean {
    return this.options.timeout === undefined && !this.options.counters;
  }

  override share(): SharedElements {
    if (!this.isShareable) super.share();
    this.#elements.isShared = true;
    return this.#elements;
  }

  override adopt(elements: SharedElements): void {
    const { type, options } = this;
    const fits =
      elements instanceof Elements && elements.type === type && elements.family === options.family;
    if (!fits || !this.isShareable) super.adopt(elements);
    else if (this.#elements !== elements) {
      this.#elements = elements;
      this.changed();
    }
  }

  get #table(): WordTable {
    return this.#elements.table;
  }

  get #entries(): (Entry | undefined)[] {
    return this.#elements.entries;
  }

  get #lengths(): readonly Lengths[] {
    return this.#elements.lengths;
  }

  get #wildcards(): Set<number> {
    return this.#elements.wildcards;
  }

  /** Before a change: what others have as well stays as it is. */
  #own(): void {
    if (this.#elements.isShared) this.#elements = this.#elements.copy();
  }

  #wordsOf(field: ElementField): number {
    switch (field) {
      case "ip":
        return this.#addressWords;
      case "net":
        return this.#addressWords + 1;
      case "iface":
        // and whether it is a port of a bridge
        return NAME_WORDS + 1;
      case "mac":
        return 2;
      default:
        return 1;
    }
  }

  get size(): number {
    this.#collect();
    return this.#table.size;
  }

  add(values: readonly FieldValue[], options: ElementOptions): void {
    this.check(options);
    this.#own();
    this.#forEach(values, () => this.#addKey(options));
  }

  delete(values: readonly FieldValue[], options: ElementOptions): void {
    this.#own();
    this.#forEach(values, () => {
      const number = this.#live(this.#table.find(this.#key));
      if (number >= 0) this.#remove(number);
      else if (!options.exist) throw notAdded();
      this.changed();
    });
  }

  test(values: readonly FieldValue[], options: ElementOptions): boolean {
    const ranged = values.some(
      (v) => (v.field === "ip" && !v.plain) || (v.field === "port" && v.range),
    );
    if (ranged && values.length > 1) {
      const { family } = this.options;
      throw kernelRefusal(
        `IP/CIDR range is not allowed in command test with set type ${this.type.name} and family ${family === 4 ? "inet" : "inet6"}`,
      );
    }
    this.#write(values, 0);
    const bits = addressBits(this.options.family);
    // A network is looked for as such, an address in all networks.
    const exact = values.some((v) => v.field === "net" && (v.prefixes[0]?.length ?? bits) < bits);
    const number = exact ? this.#table.find(this.#key) : this.#search(0);
    const entry = number < 0 ? undefined : this.#entries[number];
    if (entry === undefined || entry.expires <= this.now) return false;
    return entry.nomatch === options.nomatch;
  }

  flush(): void {
    this.#own();
    this.#table.clear();
    this.#entries.length = 0;
    this.#wildcards.clear();
    for (const each of this.#lengths) {
      each.lengths = [];
      each.counts.length = 0;
    }
    this.changed();
  }

  /** In the order of their values, where the kernel's depends on the seed of its hash. */
  elements(): string[] {
    this.#collect();
    const numbers: number[] = [];
    this.#entries.forEach((entry, number) => {
      if (entry !== undefined) numbers.push(number);
    });
    numbers.sort((x, y) => this.#compare(x, y));
    return numbers.map(
      (number) => this.#format(number) + this.describe(this.#entries[number] as Entry),
    );
  }

  protected find(skb: Skb, state: HookState, directions: readonly Direction[]): Entry | undefined {
    const packet = skb.ip;
    if (packet.version !== this.options.family && this.type.name !== "hash:mac") return undefined;
    const key = this.#key;
    for (let i = 0; i < this.#places.length; i++) {
      const { field, at } = this.#places[i] as Place;
      const direction = directions[i] as Direction;
      switch (field) {
        case "ip":
          this.#writeAddress(this.#masked(addressOf(packet, direction)), at);
          break;
        case "net":
          this.#writeAddress(addressOf(packet, direction), at);
          break;
        case "port": {
          const port = portOf(packet, direction);
          if (port < 0) return undefined;
          key[at] = (packet.protocol << 16) | port;
          break;
        }
        case "iface": {
          const dev = deviceOf(skb, state, direction, false);
          if (dev === undefined) return undefined;
          this.#writeName(dev.name, false, at);
          break;
        }
        case "mac": {
          const mac = macOf(skb, direction);
          if (mac === undefined) return undefined;
          key[at] = mac / 0x100000000;
          key[at + 1] = mac;
          break;
        }
      }
    }
    const number = this.#search(0);
    return number < 0 ? undefined : this.#entries[number];
  }

  /** The number of the element that holds {@link #key}, whose networks from `index` on are addresses. */
  #search(index: number): number {
    const net = this.#lengths[index];
    if (net === undefined) return this.#live(this.#findExact());
    const { at } = net.place;
    const key = this.#key;
    const words = this.#addressWords;
    const a = key[at] as number;
    const b = words > 1 ? (key[at + 1] as number) : 0;
    const c = words > 1 ? (key[at + 2] as number) : 0;
    const d = words > 1 ? (key[at + 3] as number) : 0;
    let found = -1;
    for (const length of net.lengths) {
      key[at] = a & ipv4Mask(Math.min(32, length));
      if (words > 1) {
        key[at + 1] = b & maskWord(length - 32);
        key[at + 2] = c & maskWord(length - 64);
        key[at + 3] = d & maskWord(length - 96);
      }
      key[at + words] = length;
      found = this.#search(index + 1);
      if (found >= 0) break;
    }
    key[at] = a;
    if (words > 1) {
      key[at + 1] = b;
      key[at + 2] = c;
      key[at + 3] = d;
    }
    return found;
  }

  #findExact(): number {
    const number = this.#table.find(this.#key);
    if (number >= 0 || this.#wildcards.size === 0) return number;
    const { at } = this.#places.at(-1) as Place;
    for (const wildcard of this.#wildcards)
      if (this.#matchesWildcard(wildcard, at)) return wildcard;
    return -1;
  }

  /** The same network, and a name that begins as the element says. */
  #matchesWildcard(number: number, nameAt: number): boolean {
    for (let i = 0; i < nameAt; i++) {
      if (this.#table.word(number, i) !== this.#key[i]) return false;
    }
    for (let byte = 0; byte < 16; byte++) {
      const shift = 24 - 8 * (byte & 3);
      const wanted = (this.#table.word(number, nameAt + (byte >>> 2)) >>> shift) & 255;
      if (wanted === 0) return true;
      const has = ((this.#key[nameAt + (byte >>> 2)] as number) >>> shift) & 255;
      if (wanted !== has) return false;
    }
    return true;
  }

  #live(number: number): number {
    if (number < 0) return -1;
    return (this.#entries[number] as Entry).expires > this.now ? number : -1;
  }

  #addKey(options: ElementOptions): void {
    let number = this.#table.find(this.#key);
    const there = number < 0 ? undefined : (this.#entries[number] as Entry);
    if (there !== undefined && there.expires > this.now) {
      if (!options.exist) throw alreadyAdded();
      const entry = this.options.counters ? there : Object.assign(new Entry(), there);
      this.update(entry, options);
      this.#entries[number] = entry;
      this.changed();
      return;
    }
    if (there !== undefined) this.#remove(number);
    this.#makeRoom();
    const entry = new Entry();
    this.update(entry, options);
    number = this.#table.add(this.#key);
    this.#entries[number] = entry;
    if (options.wildcard) this.#wildcards.add(number);
    for (const net of this.#lengths) {
      const length = this.#key[net.place.at + this.#addressWords] as number;
      net.counts[length] = (net.counts[length] ?? 0) + 1;
      if (net.counts[length] === 1) {
        net.lengths = [...net.lengths, length].sort((x, y) => y - x);
      }
    }
    this.changed();
  }

  /** A full set drops what has expired, and with `forceadd` any element. */
  #makeRoom(): void {
    if (this.#table.size < this.options.maxelem) return;
    this.#collect();
    if (this.#table.size < this.options.maxelem) return;
    const first = this.#entries.findIndex((entry) => entry !== undefined);
    if (!this.options.forceadd || first < 0) {
      throw kernelRefusal("Hash is full, cannot add more elements");
    }
    this.#remove(first);
  }

  #remove(number: number): void {
    for (const net of this.#lengths) {
      const length = this.#table.word(number, net.place.at + this.#addressWords);
      const left = (net.counts[length] ?? 1) - 1;
      net.counts[length] = left;
      if (left === 0) net.lengths = net.lengths.filter((each) => each !== length);
    }
    this.#wildcards.delete(number);
    this.#table.delete(number);
    this.#entries[number] = undefined;
  }

  #collect(): void {
    if (this.options.timeout === undefined) return;
    const { now } = this;
    this.#entries.forEach((entry, number) => {
      if (entry !== undefined && entry.expires <= now) this.#remove(number);
    });
  }

  // Keys from text

  /** Calls `each` with every element that the values stand for in {@link #key}. */
  #forEach(values: readonly FieldValue[], each: () => void): void {
    const visit = (index: number): void => {
      const value = values[index];
      if (value === undefined) {
        each();
        return;
      }
      const { at } = this.#places[index] as Place;
      switch (value.field) {
        case "ip":
          this.#forEachAddress(value.from, value.to, (address) => {
            this.#writeAddress(address, at);
            visit(index + 1);
          });
          return;
        case "net":
          for (const { address, length } of value.prefixes) {
            this.#checkLength(length);
            this.#writeAddress(address, at);
            this.#key[at + this.#addressWords] = length;
            visit(index + 1);
          }
          return;
        case "port":
          for (let port = value.from; port <= value.to; port++) {
            this.#key[at] = (value.protocol << 16) | port;
            visit(index + 1);
          }
          return;
        default:
          this.#writeOther(value, at);
          visit(index + 1);
      }
    };
    visit(0);
  }

  #forEachAddress(from: IpAddress, to: IpAddress, each: (address: IpAddress) => void): void {
    const { family, netmask } = this.options;
    const step = 2 ** (netmask === undefined ? 0 : addressBits(family) - netmask);
    for (let at = this.#masked(from); compareIp(at, to) <= 0; at = addToIp(at, step)) {
      this.#refuseNull(at);
      each(at);
      if (compareIp(addToIp(at, step), at) <= 0) break; // the end of all addresses
    }
  }

  #refuseNull(address: IpAddress): void {
    const isNull = address === 0 || (typeof address !== "number" && compareIp(address, NULL) === 0);
    if (isNull && this.type.name === "hash:ip") {
      throw kernelRefusal("Null-valued element, cannot be stored in a hash type of set");
    }
  }

  #checkLength(length: number): void {
    if (length === 0 && !this.type.zeroCidr) {
      throw kernelRefusal("The value of the CIDR parameter of the IP address is invalid");
    }
  }

  #masked(address: IpAddress): IpAddress {
    const { netmask } = this.options;
    return netmask === undefined ? address : maskIp(address, netmask);
  }

  /** The first element that the values stand for. */
  #write(values: readonly FieldValue[], from: number): void {
    values.forEach((value, i) => {
      if (i < from) return;
      const { at } = this.#places[i] as Place;
      switch (value.field) {
        case "ip":
          this.#writeAddress(this.#masked(value.from), at);
          break;
        case "net": {
          const [prefix] = value.prefixes;
          if (prefix === undefined) return;
          this.#writeAddress(prefix.address, at);
          this.#key[at + this.#addressWords] = prefix.length;
          break;
        }
        case "port":
          this.#key[at] = (value.protocol << 16) | value.from;
          break;
        default:
          this.#writeOther(value, at);
      }
    });
  }

  #writeOther(value: FieldValue, at: number): void {
    if (value.field === "iface") this.#writeName(value.name, value.physdev, at);
    if (value.field === "mac") {
      this.#key[at] = value.mac / 0x100000000;
      this.#key[at + 1] = value.mac;
    }
  }

  #writeAddress(address: IpAddress, at: number): void {
    const key = this.#key;
    if (typeof address === "number") {
      key[at] = address;
      return;
    }
    key[at] = address.a;
    key[at + 1] = address.b;
    key[at + 2] = address.c;
    key[at + 3] = address.d;
  }

  #writeName(name: string, physdev: boolean, at: number): void {
    for (let word = 0; word < NAME_WORDS; word++) {
      let value = 0;
      for (let i = 0; i < 4; i++) {
        const code = name.charCodeAt(4 * word + i);
        value = (value << 8) | (Number.isNaN(code) ? 0 : code & 255);
      }
      this.#key[at + word] = value;
    }
    this.#key[at + NAME_WORDS] = physdev ? 1 : 0;
  }

  // Text from keys

  #compare(x: number, y: number): number {
    for (let i = 0; i < this.#table.width; i++) {
      const difference = this.#table.word(x, i) - this.#table.word(y, i);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #format(number: number): string {
    return this.#places.map((place) => this.#formatPart(number, place)).join();
  }

  #formatPart(number: number, { field, at }: Place): string {
    const word = (i: number) => this.#table.word(number, at + i);
    switch (field) {
      case "ip":
        return formatIp(this.#readAddress(number, at));
      case "net":
        return formatNet(this.#readAddress(number, at), word(this.#addressWords));
      case "port":
        return formatPort(word(0) >>> 16, word(0) & 0xffff, this.options.family);
      case "iface":
        return (word(NAME_WORDS) === 1 ? "physdev:" : "") + this.#readName(number, at);
      case "mac":
        return formatMac(word(0) * 0x100000000 + word(1)).toUpperCase();
      default:
        return "";
    }
  }

  #readAddress(number: number, at: number): IpAddress {
    const word = (i: number) => this.#table.word(number, at + i);
    return this.#addressWords === 1 ? word(0) : Ipv6Address.of(word(0), word(1), word(2), word(3));
  }

  #readName(number: number, at: number): string {
    let name = "";
    for (let i = 0; i < 16; i++) {
      const code = (this.#table.word(number, at + (i >>> 2)) >>> (24 - 8 * (i & 3))) & 255;
      if (code === 0) break;
      name += String.fromCharCode(code);
    }
    return name;
  }
}

const NULL: Ipv6Address = Ipv6Address.of(0, 0, 0, 0);

/** The mask of the next 32 bits of an address, of which `bits` belong to the network. */
function maskWord(bits: number): number {
  return ipv4Mask(Math.min(32, Math.max(0, bits)));
}
