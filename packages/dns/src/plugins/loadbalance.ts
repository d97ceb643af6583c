import type { Random } from "@cnilab/core";
import { type Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import type { ResourceRecord } from "../message/message.ts";
import { onlyUse, type PluginSetup } from "../server/plugin.ts";
import type { DnsRequest, Handler, Respond } from "../server/request.ts";

/** CoreDNS `plugin/loadbalance`: shuffles A, AAAA and MX records of each answer. */
export const setupLoadBalance: PluginSetup = (uses, { options }) => {
  const use = onlyUse(uses);
  const [policy, ...more] = use.words;
  if (policy === "weighted")
    throw use.error("the weighted policy is not modelled; use round_robin");
  if (policy !== undefined && policy !== "round_robin")
    throw use.error(`unknown policy: ${policy}`);
  if (more.length > 0) throw use.error(`unknown property for ${policy}`);
  const preferred: Prefix[] = [];
  for (const property of use.properties) {
    if (property.name.text !== "prefer") throw use.unknown(property, ["prefer"]);
    for (const { text } of property.args) {
      const prefix = tryParsePrefix(text);
      if (prefix === undefined) throw use.error(`invalid CIDR "${text}"`, property.name);
      preferred.push(prefix);
    }
  }
  const random = options.random.fork("loadbalance");
  return (next) => new LoadBalance(next, random, preferred);
};

class LoadBalance implements Handler {
  readonly #next: Handler;
  readonly #random: Random;
  readonly #preferred: readonly Prefix[];

  constructor(next: Handler, random: Random, preferred: readonly Prefix[]) {
    this.#next = next;
    this.#random = random;
    this.#preferred = preferred;
  }

  serve(request: DnsRequest, respond: Respond): void {
    this.#next.serve(request, (reply) => {
      const { message } = reply;
      if (message?.rcode !== "NOERROR") return respond(reply);
      respond({
        ...reply,
        message: {
          ...message,
          answer: this.#order(message.answer),
          authority: this.#shuffled(message.authority),
          additional: this.#shuffled(message.additional),
        },
      });
    });
  }

  #order(records: readonly ResourceRecord[]): readonly ResourceRecord[] {
    const shuffled = this.#shuffled(records);
    if (this.#preferred.length === 0) return shuffled;
    const address = ({ type }: ResourceRecord): boolean => type === "A" || type === "AAAA";
    const rank = ({ data }: ResourceRecord): number => {
      const ip = tryParseIp(data);
      const at = this.#preferred.findIndex((prefix) => ip !== undefined && prefix.contains(ip));
      return at < 0 ? this.#preferred.length : at;
    };
    const addresses = shuffled.filter(address).sort((x, y) => rank(x) - rank(y));
    return [...shuffled.filter((record) => !address(record)), ...addresses];
  }

  /** CNAMEs first, then all that is not shuffled, then addresses, then MX. */
  #shuffled(records: readonly ResourceRecord[]): readonly ResourceRecord[] {
    if (records.length <= 1) return records;
    const of = (...types: string[]) => records.filter(({ type }) => types.includes(type));
    const rest = records.filter(({ type }) => !["CNAME", "A", "AAAA", "MX"].includes(type));
    return [...of("CNAME"), ...rest, ...this.#mix(of("A", "AAAA")), ...this.#mix(of("MX"))];
  }

  #mix(records: ResourceRecord[]): ResourceRecord[] {
    for (let i = 0; i < records.length - 1; i++) {
      const other = i + this.#random.below(records.length - i);
      [records[i], records[other]] = [
        records[other] as ResourceRecord,
        records[i] as ResourceRecord,
      ];
    }
    return records;
  }
}
