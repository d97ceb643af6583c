import type { DnsMessage, Question, Rcode, ResourceRecord } from "../message/message.ts";
import { replyTo } from "../message/message.ts";
import type { DnsClient } from "./core-dns.ts";

/** What a chain of plugins says to a query. */
export interface Reply {
  /** What was written to the client; absent where nothing was. */
  readonly message?: DnsMessage;
  /**
   * What the plugin returned. Where nothing was written, the server itself answers SERVFAIL, REFUSED, FORMERR and NOTIMP,
   * and is silent otherwise.
   */
  readonly rcode: Rcode;
  /** Why, for the log. */
  readonly error?: string;
}

export type Respond = (reply: Reply) => void;

/** A query on its way through the plugins. */
export interface DnsRequest {
  readonly message: DnsMessage;
  readonly question: Question;
  /** The question's name in lower case. */
  readonly name: string;
  readonly client: DnsClient;
  /**
   * Asks the whole server that the query came to, as a plugin does for the target of a CNAME. Nothing where that leads in a
   * circle.
   */
  lookup(name: string, type: string, done: (answer: DnsMessage | undefined) => void): void;
}

/** A plugin, or a chain of them. */
export interface Handler {
  serve(request: DnsRequest, respond: Respond): void;
}

/** The request with another question. */
export function withQuestion(request: DnsRequest, question: Question): DnsRequest {
  return {
    message: { ...request.message, question: [question, ...request.message.question.slice(1)] },
    question,
    name: question.name.toLowerCase(),
    client: request.client,
    lookup: request.lookup,
  };
}

/** A reply with records and the AA flag, which is what most plugins write. */
export function answerWith(
  request: DnsRequest,
  answer: readonly ResourceRecord[],
  authority: readonly ResourceRecord[] = [],
  additional: readonly ResourceRecord[] = [],
  rcode: Rcode = "NOERROR",
): Reply {
  const message = replyTo(request.message, rcode);
  return {
    message: {
      ...message,
      flags: { ...message.flags, aa: true },
      answer,
      authority,
      additional,
    },
    rcode: "NOERROR",
  };
}

/** Whether a plugin that returned this has answered the client, CoreDNS `plugin.ClientWrite`. */
export function clientWritten(rcode: Rcode): boolean {
  return rcode !== "SERVFAIL" && rcode !== "REFUSED" && rcode !== "FORMERR" && rcode !== "NOTIMP";
}

/** The end of a chain: nobody is left to ask. */
export const NO_NEXT_PLUGIN: Handler = {
  serve: (_, respond) => respond({ rcode: "SERVFAIL", error: "no next plugin found" }),
};
