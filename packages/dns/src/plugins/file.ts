import { InputError } from "@cnilab/core";
import type { PluginArguments } from "../corefile/directive-cursor.ts";
import { parseDuration } from "../corefile/go-duration.ts";
import { originsOf } from "../corefile/zone-names.ts";
import { replyTo } from "../message/message.ts";
import { longestZone } from "../message/name.ts";
import { Fallthrough } from "../server/fallthrough.ts";
import type { PluginContext, PluginSetup } from "../server/plugin.ts";
import type { DnsRequest, Handler, Reply, Respond } from "../server/request.ts";
import { Zone, type ZoneAnswer } from "../zone/zone.ts";
import { parseZoneFile } from "../zone/zone-file.ts";

/** CoreDNS `plugin/file`. */
export const setupFile: PluginSetup = (uses, context) => {
  const zones = new Map<string, Zone>();
  let fallthrough = new Fallthrough();
  for (const use of uses) {
    for (const zone of readZones(use, context)) zones.set(zone.origin, zone);
    for (const property of use.properties) {
      switch (property.name.text) {
        case "fallthrough":
          fallthrough = new Fallthrough(property.args.map(({ text }) => text));
          break;
        case "reload":
          if (parseDuration(use.argsOf(property, 1)[0] as string) === undefined) {
            throw use.error("reload needs a duration", property.name);
          }
          break;
        case "reload_by_mtime":
        case "upstream":
          break;
        default:
          throw use.unknown(property, ["fallthrough", "reload", "reload_by_mtime"]);
      }
    }
  }
  return (next) => new ZoneFiles(next, zones, fallthrough);
};

function readZones(use: PluginArguments, context: PluginContext): Zone[] {
  const [path, ...args] = use.words;
  if (path === undefined) throw use.error("wrong argument count: it needs the name of a zone file");
  const text = context.readFile(path);
  // CoreDNS starts without the file and tries again; here it would never come.
  if (text === undefined) throw use.error(`failed to open "${path}"`, use.args[0]);
  return originsOf(args, context.zones).map((origin) => {
    const zone = new Zone(origin, parseZoneFile(text, origin, path, context.readFile));
    if (!zone.hasSoa) throw new InputError(`it has no SOA record for origin ${origin}`, path);
    return zone;
  });
}

class ZoneFiles implements Handler {
  readonly #next: Handler;
  readonly #zones: ReadonlyMap<string, Zone>;
  readonly #origins: readonly string[];
  readonly #fallthrough: Fallthrough;

  constructor(next: Handler, zones: ReadonlyMap<string, Zone>, fallthrough: Fallthrough) {
    this.#next = next;
    this.#zones = zones;
    this.#origins = [...zones.keys()];
    this.#fallthrough = fallthrough;
  }

  serve(request: DnsRequest, respond: Respond): void {
    const { name, question } = request;
    const origin = longestZone(this.#origins, name);
    if (origin === undefined) {
      this.#next.serve(request, respond);
      return;
    }
    if (question.type === "AXFR" || question.type === "IXFR") {
      respond({ rcode: "REFUSED" });
      return;
    }
    if (request.message.opcode === "NOTIFY") {
      respond({ rcode: "NOERROR" });
      return;
    }
    const elsewhere: Parameters<Zone["lookup"]>[2] = (target, type, done) =>
      request.lookup(target, type, (message) => {
        if (message === undefined) return done({ answer: [], result: "ServerFailure" });
        const { rcode, answer } = message;
        if (rcode === "NXDOMAIN") return done({ answer, result: "NameError" });
        if (rcode === "SERVFAIL") return done({ answer, result: "ServerFailure" });
        done({ answer, result: rcode === "NOERROR" && answer.length === 0 ? "NoData" : "Success" });
      });
    (this.#zones.get(origin) as Zone).lookup(name, question.type, elsewhere, (found) => {
      const nothing = found.result === "NameError" || found.result === "Success";
      if (found.answer.length === 0 && nothing && this.#fallthrough.through(name)) {
        return this.#next.serve(request, respond);
      }
      respond(replyWith(request, found));
    });
  }
}

function replyWith(
  request: DnsRequest,
  { result, answer, authority, additional }: ZoneAnswer,
): Reply {
  if (result === "ServerFailure" && answer.length === 0) return { rcode: "SERVFAIL" };
  const rcode =
    result === "NameError" ? "NXDOMAIN" : result === "ServerFailure" ? "SERVFAIL" : "NOERROR";
  const message = replyTo(request.message, rcode);
  // A referral is not the zone's own data.
  const aa = result !== "Delegation" || answer.length > 0;
  return {
    message: { ...message, flags: { ...message.flags, aa }, answer, authority, additional },
    rcode: "NOERROR",
  };
}
