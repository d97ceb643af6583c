import { familyOf, formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import type { PluginArguments } from "../corefile/directive-cursor.ts";
import { parseDuration } from "../corefile/go-duration.ts";
import { originsOf } from "../corefile/zone-names.ts";
import type { ResourceRecord } from "../message/message.ts";
import {
  addressOfReverseName,
  fqdn,
  longestZone,
  nextLabel,
  normalizeName,
} from "../message/name.ts";
import { Fallthrough } from "../server/fallthrough.ts";
import { onlyUse, type PluginContext, type PluginSetup } from "../server/plugin.ts";
import { answerWith, type DnsRequest, type Handler, type Respond } from "../server/request.ts";

interface HostsSettings {
  readonly zones: readonly string[];
  readonly fallthrough: Fallthrough;
  readonly fallthroughUnsupported: boolean;
  readonly ttl: number;
  readonly entries: HostEntries;
}

/** Addresses by name and names by address, out of lines as in /etc/hosts. */
class HostEntries {
  readonly addresses = new Map<string, IpAddress[]>();
  readonly names = new Map<IpAddress, string[]>();

  add(lines: readonly string[], zones: readonly string[], reverse: boolean): void {
    for (const line of lines) {
      const [text = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
      const address = tryParseIp(text.replace(/%.*/, ""));
      if (address === undefined) continue;
      for (const each of names) {
        const name = normalizeName(each);
        if (longestZone(zones, name) === undefined) continue;
        append(this.addresses, name, address);
        if (reverse && !name.startsWith("*.")) append(this.names, address, name);
      }
    }
  }

  /** Of the name itself, else of a `*` in place of its first label, family by family. */
  of(name: string, family: 4 | 6): IpAddress[] {
    const exact = this.addresses.get(name)?.filter((address) => familyOf(address) === family) ?? [];
    if (exact.length > 0) return exact;
    const wildcard = this.addresses.get(`*.${name.slice(nextLabel(name, 0))}`) ?? [];
    return name.startsWith("*.") ? [] : wildcard.filter((address) => familyOf(address) === family);
  }
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const there = map.get(key);
  if (there === undefined) map.set(key, [value]);
  else there.push(value);
}

/** CoreDNS `plugin/hosts`. Files are read once: nothing here changes a file while it runs. */
export const setupHosts: PluginSetup = (uses, context) => {
  const settings = parse(onlyUse(uses), context);
  return (next) => new Hosts(next, settings);
};

function parse(use: PluginArguments, context: PluginContext): HostsSettings {
  const [path = "/etc/hosts", ...args] = use.words;
  const zones = originsOf(args, context.zones);
  const text = context.readFile(path);
  if (text === undefined && use.args.length > 0) context.warn(`File does not exist: ${path}`);
  const inline: string[] = [];
  let fallthrough = new Fallthrough();
  let fallthroughUnsupported = false;
  let reverse = true;
  let ttl = 3600;
  for (const property of use.properties) {
    const args = property.args.map((arg) => arg.text);
    switch (property.name.text) {
      case "fallthrough":
        fallthrough = new Fallthrough(args);
        break;
      case "fallthrough_unsupported":
        use.argsOf(property, 0);
        fallthroughUnsupported = true;
        break;
      case "no_reverse":
        reverse = false;
        break;
      case "ttl":
        ttl = use.number(property, use.argsOf(property, 1)[0] as string, 1, 65_535);
        break;
      case "reload":
        if ((parseDuration(use.argsOf(property, 1)[0] as string) ?? -1) < 0) {
          throw use.error(`invalid duration for reload '${args[0]}'`, property.name);
        }
        break;
      default:
        // Lines of hosts stand before `fallthrough`; what comes after it must be a property.
        if (fallthrough.zones.length > 0) {
          throw use.unknown(property, [
            "fallthrough",
            "no_reverse",
            "ttl",
            "reload",
            "lines as in /etc/hosts",
          ]);
        }
        inline.push([property.name.text, ...args].join(" "));
    }
  }
  if (fallthroughUnsupported && fallthrough.zones.length === 0) {
    throw use.error("fallthrough_unsupported requires fallthrough");
  }
  const entries = new HostEntries();
  entries.add((text ?? "").split(/\r?\n/), zones, reverse);
  entries.add(inline, zones, reverse);
  return { zones, fallthrough, fallthroughUnsupported, ttl, entries };
}

class Hosts implements Handler {
  readonly #next: Handler;
  readonly #settings: HostsSettings;

  constructor(next: Handler, settings: HostsSettings) {
    this.#next = next;
    this.#settings = settings;
  }

  serve(request: DnsRequest, respond: Respond): void {
    const { zones, fallthrough, entries } = this.#settings;
    const { name, question } = request;
    const { type } = question;
    if (type !== "PTR" && longestZone(zones, name) === undefined) {
      this.#next.serve(request, respond);
      return;
    }
    let records: ResourceRecord[] = [];
    if (type === "PTR") {
      const address = addressOfReverseName(name);
      const names = address === undefined ? undefined : entries.names.get(address);
      if (names === undefined) {
        this.#next.serve(request, respond);
        return;
      }
      records = names.map((each) => this.#record(name, "PTR", fqdn(each)));
    } else if (type === "A" || type === "AAAA") {
      const addresses = entries.of(name, type === "A" ? 4 : 6);
      records = addresses.map((address) => this.#record(name, type, formatIp(address)));
    } else if (this.#settings.fallthroughUnsupported && fallthrough.through(name)) {
      this.#next.serve(request, respond);
      return;
    }
    const exists = entries.of(name, 4).length > 0 || entries.of(name, 6).length > 0;
    if (records.length === 0 && !exists) {
      if (fallthrough.through(name)) {
        this.#next.serve(request, respond);
        return;
      }
      respond({ rcode: "SERVFAIL" });
      return;
    }
    respond(answerWith(request, records));
  }

  #record(name: string, type: string, data: string): ResourceRecord {
    return { name, ttl: this.#settings.ttl, type, data };
  }
}
