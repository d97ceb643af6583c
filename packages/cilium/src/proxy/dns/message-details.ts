import { type DnsMessage, RCODES } from "@cnilab/dns";
import { type IpAddress, tryParseIp } from "@cnilab/net";

/** What the proxy looks at of a message (pkg/fqdn/dnsproxy ExtractMsgDetails). */
export interface MessageDetails {
  /** In lower case. */
  readonly name: string;
  readonly ips: readonly IpAddress[];
  /** The least of its records'; without records that count, the most that 32 bits hold. */
  readonly ttl: number;
  readonly cnames: readonly string[];
  readonly rcode: number;
  readonly answerTypes: readonly string[];
  readonly questionTypes: readonly string[];
}

const MAX_TTL = 0xffffffff;
/** The one that needs EDNS to be said (RFC 6891 §9). */
const BADVERS = 16;

/** A chain of CNAMEs counts for the name that was asked. `undefined` for a message without a question. */
export function messageDetails(message: DnsMessage): MessageDetails | undefined {
  const name = message.question[0]?.name.toLowerCase();
  if (name === undefined) return undefined;
  const ips: IpAddress[] = [];
  const cnames: string[] = [];
  let ttl = MAX_TTL;
  for (const { type, data, ttl: own } of message.answer) {
    if (type !== "A" && type !== "AAAA" && type !== "CNAME") continue;
    ttl = Math.min(ttl, own);
    const ip = type === "CNAME" ? undefined : tryParseIp(data);
    if (type === "CNAME") cnames.push(data);
    else if (ip !== undefined) ips.push(ip);
  }
  return {
    name,
    ips,
    ttl,
    cnames,
    rcode: message.rcode === "BADVERS" ? BADVERS : RCODES.indexOf(message.rcode),
    answerTypes: message.answer.map(({ type }) => type),
    questionTypes: message.question.map(({ type }) => type),
  };
}
