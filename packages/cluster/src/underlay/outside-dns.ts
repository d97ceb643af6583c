import {
  type DnsClient,
  type DnsMessage,
  DnsServer,
  type ResourceRecord,
  replyTo,
  truncate,
} from "@cnilab/dns";
import type { NetNamespace } from "@cnilab/linux";
import { formatIp, type IpAddress } from "@cnilab/net";

const TTL_SECONDS = 300;
const NEGATIVE_TTL_SECONDS = 60;
/** Bytes of an answer that everybody takes, RFC 1035 §4.2.1. */
const LEAST_UDP = 512;

/** The root's, as it is beside an answer that there is no such name. */
const ROOT_SOA: ResourceRecord = {
  name: ".",
  ttl: NEGATIVE_TTL_SECONDS,
  type: "SOA",
  data: `a.root-servers.net. nstld.verisign-grs.com. 2026010100 1800 900 604800 ${NEGATIVE_TTL_SECONDS}`,
};

/** Addresses of a name in small letters, without a dot at the end; `undefined` where it is not known. */
export type NameSource = (name: string) => readonly IpAddress[] | undefined;

/** The resolver that the world outside asks: it knows a few names, and that there are no others. */
export class OutsideDns {
  readonly #names: readonly NameSource[];

  /** @param names the first that knows a name has it */
  constructor(netns: NetNamespace, owner: string, names: readonly NameSource[]) {
    this.#names = names;
    new DnsServer(netns, {
      port: 53,
      owner,
      handle: (query, client, done) => done(this.#answer(query, client)),
    });
  }

  #answer(query: DnsMessage, client: DnsClient): DnsMessage {
    const [question] = query.question;
    if (question === undefined) return replyTo(query, "FORMERR");
    const name = question.name.toLowerCase().replace(/\.$/, "");
    const addresses = this.#find(name);
    const empty = replyTo(query, addresses === undefined ? "NXDOMAIN" : "NOERROR");
    const found = (addresses ?? []).flatMap((a) => recordOf(question.name, a));
    const answer = found.filter(({ type }) => type === question.type);
    const reply: DnsMessage = {
      ...empty,
      flags: { ...empty.flags, ra: true },
      answer,
      authority: answer.length === 0 ? [ROOT_SOA] : [],
    };
    return client.protocol === "tcp" ? reply : truncate(reply, query.edns?.udpSize ?? LEAST_UDP);
  }

  #find(name: string): readonly IpAddress[] | undefined {
    for (const find of this.#names) {
      const addresses = find(name);
      if (addresses !== undefined) return addresses;
    }
    return undefined;
  }
}

function recordOf(name: string, address: IpAddress): ResourceRecord {
  const type = typeof address === "number" ? "A" : "AAAA";
  return { name, ttl: TTL_SECONDS, type, data: formatIp(address) };
}
