import type { DnsMessage, ResourceRecord } from "./message.ts";

/** What kind of answer a message is, CoreDNS `plugin/pkg/response` Typify. */
export type ResponseType =
  | "NoError"
  | "NameError"
  | "ServerError"
  | "NoData"
  | "Delegation"
  | "Meta"
  | "OtherError";

export function responseType(message: DnsMessage): ResponseType {
  const { rcode, answer, authority } = message;
  const type = message.question[0]?.type;
  if ((message.opcode ?? "QUERY") !== "QUERY" || type === "AXFR" || type === "IXFR") return "Meta";
  if (answer.length > 0 && rcode === "NOERROR") return "NoError";
  if (answer.length > 0 && rcode === "NXDOMAIN") return "OtherError";
  if (rcode === "NXDOMAIN") return "NameError";
  if (rcode === "SERVFAIL" || rcode === "NOTIMP") return "ServerError";
  if (rcode !== "NOERROR") return "OtherError";
  if (has(authority, "SOA")) return "NoData";
  return has(authority, "NS") ? "Delegation" : "NoError";
}

function has(records: readonly ResourceRecord[], type: string): boolean {
  return records.some((record) => record.type === type);
}

export function hasSoa(message: DnsMessage): boolean {
  return has(message.authority, "SOA");
}

/** Whether the answer has a record of the type that was asked, at the end of its chain of CNAMEs. */
export function answersQuestion({ rcode, question, answer }: DnsMessage): boolean {
  const asked = question[0];
  if (rcode !== "NOERROR" || asked === undefined) return false;
  let name = asked.name.toLowerCase();
  const at = (type?: string): ResourceRecord | undefined =>
    answer.find(
      (record) =>
        (type === undefined || record.type === type) && record.name.toLowerCase() === name,
    );
  if (asked.type === "ANY") return at() !== undefined;
  if (asked.type === "CNAME") return at("CNAME") !== undefined;
  const visited = new Set<string>();
  for (let cname = at("CNAME"); cname !== undefined; cname = at("CNAME")) {
    if (visited.has(name)) return false;
    visited.add(name);
    name = cname.data.toLowerCase();
  }
  return at(asked.type) !== undefined;
}
