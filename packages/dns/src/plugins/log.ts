import { formatIp } from "@cnilab/net";
import type { PluginArguments } from "../corefile/directive-cursor.ts";
import { responseType } from "../message/classify.ts";
import { type DnsMessage, replyTo } from "../message/message.ts";
import { messageLength } from "../message/message-length.ts";
import { isSubdomain, normalizeName } from "../message/name.ts";
import type { PluginSetup } from "../server/plugin.ts";
import { clientWritten, type DnsRequest } from "../server/request.ts";

const COMMON =
  '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}';
const CLASSES = ["all", "success", "denial", "error"] as const;
type LogClass = (typeof CLASSES)[number];

interface LogRule {
  readonly zone: string;
  readonly format: string;
  readonly classes: ReadonlySet<LogClass>;
}

/** CoreDNS `plugin/log`: a line for each query. */
export const setupLog: PluginSetup = (uses, { options }) => {
  const rules = uses.flatMap(parse);
  const { clock, log } = options;
  return (next) => ({
    serve: (request, respond) => {
      const rule = rules.find(({ zone }) => isSubdomain(zone, request.name));
      if (rule === undefined || log === undefined) return next.serve(request, respond);
      const start = clock.now;
      next.serve(request, (reply) => {
        const seen =
          reply.message ??
          (clientWritten(reply.rcode) ? undefined : replyTo(request.message, reply.rcode));
        if (rule.classes.has("all") || rule.classes.has(classOf(seen))) {
          log({ level: "INFO", text: lineOf(rule.format, request, seen, clock.now - start) });
        }
        respond(reply);
      });
    },
  });
};

function parse(use: PluginArguments): LogRule[] {
  let zones = use.words;
  let format = COMMON;
  const last = zones.at(-1);
  if (last?.includes("{")) {
    format = last.replaceAll("{common}", COMMON).replaceAll("{combined}", `${COMMON} "{>opcode}"`);
    zones = zones.slice(0, -1);
  }
  const classes = new Set<LogClass>();
  for (const property of use.properties) {
    if (property.name.text !== "class") throw use.unknown(property, ["class"]);
    for (const text of use.argsOf(property, 1, Number.POSITIVE_INFINITY)) {
      const known = CLASSES.find((each) => each === text);
      if (known === undefined) {
        throw use.error(`invalid class: ${text}; known: ${CLASSES.join(", ")}`, property.name);
      }
      classes.add(known);
    }
  }
  if (classes.size === 0) classes.add("all");
  return (zones.length === 0 ? ["."] : zones).map((zone) => ({
    zone: normalizeName(zone),
    format,
    classes,
  }));
}

function classOf(message: DnsMessage | undefined): LogClass {
  if (message === undefined) return "error";
  const type = responseType(message);
  if (type === "NameError" || type === "NoData") return "denial";
  return type === "OtherError" || type === "ServerError" ? "error" : "success";
}

function lineOf(
  format: string,
  { message, question, name, client }: DnsRequest,
  reply: DnsMessage | undefined,
  ms: number,
): string {
  const address = formatIp(client.address);
  const flags = reply?.flags;
  const set = ["qr", "aa", "tc", "rd", "ra", "ad", "cd"].filter(
    (flag) => flags?.[flag as keyof typeof flags],
  );
  const values: Readonly<Record<string, string>> = {
    "{remote}": address.includes(":") ? `[${address}]` : address,
    "{port}": String(client.port),
    "{>id}": String(message.id),
    "{>opcode}": "0",
    "{type}": question.type,
    "{class}": question.class ?? "IN",
    "{name}": name,
    "{proto}": client.protocol,
    "{size}": String(messageLength(message)),
    "{>do}": String(message.edns?.do ?? false),
    "{>bufsize}": String(
      client.protocol === "tcp" ? 65_535 : Math.max(message.edns?.udpSize ?? 0, 512),
    ),
    "{rcode}": reply?.rcode ?? "-",
    "{>rflags}": reply === undefined ? "-" : set.join(","),
    "{rsize}": String(reply === undefined ? 0 : messageLength(reply)),
    "{duration}": `${secondsOf(ms)}s`,
  };
  return format.replace(/\{>?\w+\}/g, (label) => values[label] ?? "-");
}

/** Whole nanoseconds, as Go measures, and no zeros at the end. */
function secondsOf(ms: number): string {
  return (ms / 1000).toFixed(9).replace(/\.?0+$/, "");
}
