import type { NetNamespace } from "../../net-namespace.ts";
import type { TableFamily } from "./command.ts";
import type { DeviceNames } from "./data-type.ts";
import { listTable } from "./list.ts";
import { parseCommands } from "./parse-command.ts";
import type { Table } from "./table.ts";
import { type RuleOrigin, type Ruleset, Transaction, tableKey } from "./transaction.ts";

/** nf_tables of one network namespace, as nft 1.0.6 programs it on kernel 6.1. */
export class Nftables {
  readonly #netns: NetNamespace;
  readonly #ruleset: Ruleset = { tables: new Map<string, Table>(), lastTable: 0 };
  readonly #devices: DeviceNames;

  constructor(netns: NetNamespace) {
    this.#netns = netns;
    this.#devices = {
      index: (name) => netns.findDevice(name)?.ifindex,
      name: (index) => netns.devices.find((dev) => dev.ifindex === index)?.name,
    };
  }

  /**
   * `nft -f`: all commands of the text, or none.
   * @throws NftablesError with line and column of what is wrong
   */
  apply(text: string, options: { readonly origin?: RuleOrigin } = {}): void {
    const { network } = this.#netns;
    network.settleFlows();
    const now = network.clock.now;
    const transaction = new Transaction(this.#ruleset, this.#devices, now, options.origin);
    transaction.run(parseCommands(text));
    network.touch();
  }

  hasTable(family: TableFamily, name: string): boolean {
    return this.#ruleset.tables.has(tableKey(family, name));
  }

  /** `nft -s list ruleset`. */
  list(): string {
    const { now } = this.#netns.network.clock;
    let text = "";
    for (const table of this.#ruleset.tables.values()) text += listTable(table, this.#devices, now);
    return text;
  }
}
