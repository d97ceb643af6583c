import { familyOf, type IpAddress, type IpFamily } from "@cnilab/net";

/** Whose record it is. */
interface NameRecord {
  readonly address: IpAddress;
  /** Id of the endpoint that has the name. */
  readonly owner: string;
}

/** Names and addresses of one network (libnetwork `svcInfo`): several containers may have one name. */
export class NameRecords {
  /** In lower case. */
  readonly #byName = new Map<string, NameRecord[]>();
  readonly #byAddress = new Map<IpAddress, { readonly name: string; readonly owner: string }[]>();

  /** @param names the first is what addresses are called the other way round */
  add(owner: string, names: readonly string[], addresses: readonly IpAddress[]): void {
    names.forEach((name, i) => {
      for (const address of addresses) {
        append(this.#byName, name.toLowerCase(), { address, owner });
        if (i === 0) append(this.#byAddress, address, { name, owner });
      }
    });
  }

  remove(owner: string): void {
    for (const records of [this.#byName, this.#byAddress] as Map<unknown, { owner: string }[]>[]) {
      for (const [key, known] of records) {
        const left = known.filter((record) => record.owner !== owner);
        if (left.length === 0) records.delete(key);
        else if (left.length < known.length) records.set(key, left);
      }
    }
  }

  /** Of one family, each once: none where the name has addresses of the other only, `undefined` where there is no such name. */
  addressesOf(name: string, family: IpFamily): readonly IpAddress[] | undefined {
    const records = this.#byName.get(name.toLowerCase());
    if (records === undefined) return undefined;
    const fitting = records.filter(({ address }) => familyOf(address) === family);
    return [...new Set(fitting.map(({ address }) => address))];
  }

  /** The first that had the address. */
  nameOf(address: IpAddress): string | undefined {
    return this.#byAddress.get(address)?.[0]?.name;
  }
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}
