import { originsOf } from "../corefile/zone-names.ts";
import type { DnsMessage, ResourceRecord } from "../message/message.ts";
import { fqdn, isSubdomain, longestZone, normalizeName, relativeTo } from "../message/name.ts";
import { parseResolvConf } from "../resolver/resolv-conf.ts";
import type { PluginSetup } from "../server/plugin.ts";
import {
  clientWritten,
  type DnsRequest,
  type Handler,
  type Reply,
  type Respond,
  withQuestion,
} from "../server/request.ts";

/** A plugin that knows the search list of who asks; the last element is the empty name. */
export interface AutoPather {
  autoPath(request: DnsRequest): readonly string[];
}

/** CoreDNS `plugin/autopath`: walks the client's search list on the server. */
export const setupAutopath: PluginSetup = (uses, context) => {
  const use = uses.at(-1) as (typeof uses)[number];
  const source = use.words.at(-1);
  if (source === undefined) throw use.error("no resolv-conf specified");
  const zones = originsOf(use.words.slice(0, -1), context.zones);
  let search: (request: DnsRequest) => readonly string[];
  if (source.startsWith("@")) {
    search = (request) => {
      const plugin = context.handlers.get(source.slice(1)) as
        | (Handler & Partial<AutoPather>)
        | undefined;
      return plugin?.autoPath?.(request) ?? [];
    };
  } else {
    const text = context.readFile(source);
    if (text === undefined) throw use.error(`failed to read "${source}"`);
    const path = [...parseResolvConf(text).search.map(normalizeName), ""];
    search = () => path;
  }
  return (next) => new Autopath(next, zones, search);
};

class Autopath implements Handler {
  readonly #next: Handler;
  readonly #zones: readonly string[];
  readonly #search: (request: DnsRequest) => readonly string[];

  constructor(
    next: Handler,
    zones: readonly string[],
    search: (request: DnsRequest) => readonly string[],
  ) {
    this.#next = next;
    this.#zones = zones;
    this.#search = search;
  }

  serve(request: DnsRequest, respond: Respond): void {
    const search =
      longestZone(this.#zones, request.name) === undefined ? [] : this.#search(request);
    const first = search[0];
    if (first === undefined || !isSubdomain(first, request.name)) {
      this.#next.serve(request, respond);
      return;
    }
    if (first === request.name) {
      // dnsutil.TrimZone takes a name that is the zone itself for an error.
      respond({ rcode: "SERVFAIL", error: `overshot qname: ${request.question.name}` });
      return;
    }
    const original = request.question.name;
    const base = relativeTo(first, original);
    let firstReply: Reply | undefined;
    const ask = (i: number): void => {
      const suffix = search[i];
      if (suffix === undefined) {
        respond(firstReply as Reply);
        return;
      }
      const name = fqdn(suffix === "." || suffix === "" ? base : `${base}.${suffix}`);
      this.#next.serve(withQuestion(request, { ...request.question, name }), (reply) => {
        if (reply.error !== undefined) return respond({ rcode: reply.rcode, error: reply.error });
        firstReply ??= withOriginal(reply, original, false);
        const { message } = reply;
        if (message === undefined || !clientWritten(reply.rcode) || message.rcode === "NXDOMAIN") {
          return ask(i + 1);
        }
        respond(withOriginal(reply, original, true));
      });
    };
    ask(0);
  }
}

/** The reply to the name that was asked, with a CNAME from there to the one that was found. */
function withOriginal(reply: Reply, original: string, withCname: boolean): Reply {
  if (reply.message === undefined) return reply;
  const { message } = reply;
  const found = withCname
    ? message.answer.find(({ name }) => name.toLowerCase() !== original.toLowerCase())
    : undefined;
  const cname: readonly ResourceRecord[] =
    found === undefined
      ? []
      : [{ name: original, ttl: found.ttl, type: "CNAME", data: found.name }];
  const question = message.question.map((asked, i) =>
    i === 0 ? { ...asked, name: original } : asked,
  );
  const changed: DnsMessage = { ...message, question, answer: [...cname, ...message.answer] };
  return { ...reply, message: changed };
}
