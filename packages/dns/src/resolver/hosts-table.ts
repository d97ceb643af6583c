import { familyOf, type IpAddress, type IpFamily, tryParseIp } from "@cnilab/net";

/** What /etc/hosts knows: addresses by name, in any case. */
export class HostsTable {
  readonly #addresses = new Map<string, IpAddress[]>();

  constructor(text: string) {
    for (const line of text.split("\n")) {
      const [first = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
      const address = tryParseIp(first);
      if (address === undefined) continue;
      for (const name of names) {
        const key = keyOf(name);
        this.#addresses.set(key, [...(this.#addresses.get(key) ?? []), address]);
      }
    }
  }

  /** Without repetition, in the file's order. */
  of(name: string, families: readonly IpFamily[]): IpAddress[] {
    const all = this.#addresses.get(keyOf(name)) ?? [];
    return [...new Set(all)].filter((address) => families.includes(familyOf(address)));
  }
}

function keyOf(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
