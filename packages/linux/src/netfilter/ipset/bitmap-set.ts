import { formatIp, IPPROTO_TCP, IPPROTO_UDP, type IpPacket, ipv4Mask } from "@cnilab/net";
import type { Skb } from "../../skb.ts";
import type { HookState } from "../hooks.ts";
import type { FieldValue } from "./element-syntax.ts";
import { alreadyAdded, type ElementOptions, Entry, Ipset, notAdded } from "./ipset.ts";
import { kernelRefusal } from "./ipset-error.ts";
import { addressOf, type Direction, portOf } from "./packet-fields.ts";

/** A set of type `bitmap:port` or `bitmap:ip`: any of the values of one range. */
export class BitmapSet extends Ipset {
  /** By value; of addresses under the netmask. */
  readonly #entries: Map<number, Entry> = new Map();

  get size(): number {
    this.#collect();
    return this.#entries.size;
  }

  add(values: readonly FieldValue[], options: ElementOptions): void {
    this.check(options);
    this.#forEach(values, (value) => {
      const there = this.#live(value);
      if (there !== undefined && !options.exist) throw alreadyAdded();
      const entry = there ?? new Entry();
      this.update(entry, options);
      this.#entries.set(value, entry);
      this.changed();
    });
  }

  delete(values: readonly FieldValue[], options: ElementOptions): void {
    this.#forEach(values, (value) => {
      const there = this.#live(value) !== undefined;
      this.#entries.delete(value);
      if (!there && !options.exist) throw notAdded();
      this.changed();
    });
  }

  test(values: readonly FieldValue[]): boolean {
    const value = this.#bounds(values)[0];
    return this.#inRange(value) && this.#live(this.#masked(value)) !== undefined;
  }

  flush(): void {
    this.#entries.clear();
    this.changed();
  }

  elements(): string[] {
    this.#collect();
    return [...this.#entries]
      .sort(([x], [y]) => x - y)
      .map(([value, entry]) => this.#format(value) + this.describe(entry));
  }

  protected find(skb: Skb, _state: HookState, directions: readonly Direction[]): Entry | undefined {
    const packet: IpPacket = skb.ip;
    const direction = directions[0] as Direction;
    if (this.#isPorts) {
      // Protocols are not told apart, and only those of two count (ip_set_get_ip_port).
      const { protocol } = packet;
      if (protocol !== IPPROTO_TCP && protocol !== IPPROTO_UDP) return undefined;
      const port = portOf(packet, direction);
      return port < 0 ? undefined : this.#live(port);
    }
    const address = addressOf(packet, direction);
    return typeof address === "number" ? this.#live(this.#masked(address)) : undefined;
  }

  get #isPorts(): boolean {
    return this.type.fields[0] === "port";
  }

  #live(value: number): Entry | undefined {
    const entry = this.#entries.get(value);
    return entry !== undefined && entry.expires > this.now ? entry : undefined;
  }

  #masked(value: number): number {
    const { netmask } = this.options;
    return netmask === undefined ? value : (value & ipv4Mask(netmask)) >>> 0;
  }

  #inRange(value: number): boolean {
    const { from, to } = this.options.range as { from: number; to: number };
    return value >= from && value <= to;
  }

  #bounds(values: readonly FieldValue[]): readonly [number, number] {
    const [value] = values;
    if (value?.field === "port") return [value.from, value.to];
    if (value?.field === "ip") return [value.from as number, value.to as number];
    throw new TypeError(`a bitmap has no ${value?.field}`);
  }

  #forEach(values: readonly FieldValue[], each: (value: number) => void): void {
    const [from, to] = this.#bounds(values);
    if (!this.#inRange(from) || !this.#inRange(to)) {
      throw kernelRefusal("Element is out of the range of the set");
    }
    const step = 2 ** (32 - (this.options.netmask ?? 32));
    for (let value = this.#masked(from); value <= to; value += step) each(value);
  }

  #collect(): void {
    const { now } = this;
    for (const [value, { expires }] of this.#entries) {
      if (expires <= now) this.#entries.delete(value);
    }
  }

  #format(value: number): string {
    return this.#isPorts ? String(value) : formatIp(value);
  }
}
