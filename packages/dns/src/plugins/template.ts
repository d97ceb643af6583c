import { formatIp } from "@cnilab/net";
import type { PluginArguments, Property } from "../corefile/directive-cursor.ts";
import { type GoMatch, GoPattern } from "../corefile/go-pattern.ts";
import { compileTemplate, TemplateError } from "../corefile/go-template.ts";
import { originsOf } from "../corefile/zone-names.ts";
import { type DnsMessage, type Rcode, type ResourceRecord, replyTo } from "../message/message.ts";
import { longestZone } from "../message/name.ts";
import { dataWords } from "../message/record-data.ts";
import { parseRecord } from "../message/record-text.ts";
import { RCODES, typeNumber } from "../message/record-types.ts";
import { Fallthrough } from "../server/fallthrough.ts";
import type { PluginSetup } from "../server/plugin.ts";
import type { DnsRequest, Handler, Respond } from "../server/request.ts";

type RecordTemplate = ReturnType<typeof compileTemplate>;

interface Template {
  readonly zones: readonly string[];
  /** `ANY` for all. */
  readonly type: string;
  readonly rcode: Rcode;
  readonly patterns: readonly GoPattern[];
  readonly answer: readonly RecordTemplate[];
  readonly additional: readonly RecordTemplate[];
  readonly authority: readonly RecordTemplate[];
  readonly fallthrough: Fallthrough;
}

const PROPERTIES = ["match", "answer", "additional", "authority", "rcode", "fallthrough"];

/** CoreDNS `plugin/template`: records made of patterns and Go templates. */
export const setupTemplate: PluginSetup = (uses, context) => {
  const templates = uses.map((use) => parse(use, context.zones));
  return (next) => new Templates(next, templates);
};

function parse(use: PluginArguments, blockZones: readonly string[]): Template {
  const [dnsClass, type, ...zones] = use.words;
  if (dnsClass === undefined || type === undefined) {
    throw use.error("wrong argument count: it needs a class and a type");
  }
  if (!["IN", "CH", "HS", "ANY", "NONE", "CS"].includes(dnsClass)) {
    throw use.error(`invalid query class ${dnsClass}`, use.args[0]);
  }
  if (typeNumber(type) === undefined || type !== type.toUpperCase()) {
    throw use.error(`invalid RR class ${type}`, use.args[1]);
  }
  const many = Number.POSITIVE_INFINITY;
  const patterns: GoPattern[] = [];
  const records: Record<"answer" | "additional" | "authority", RecordTemplate[]> = {
    answer: [],
    additional: [],
    authority: [],
  };
  let rcode: Rcode = "NOERROR";
  let fallthrough = new Fallthrough();
  for (const property of use.properties) {
    const name = property.name.text;
    switch (name) {
      case "match":
        for (const text of use.argsOf(property, 1, many)) {
          const pattern = GoPattern.compile(text);
          if (pattern === undefined)
            throw use.error(`could not parse regex: ${text}`, property.name);
          patterns.push(pattern);
        }
        break;
      case "answer":
      case "additional":
      case "authority":
        records[name].push(
          ...use.argsOf(property, 1, many).map((text) => compile(use, property, text)),
        );
        break;
      case "rcode": {
        const [text] = use.argsOf(property, 1) as [Rcode];
        if (!(RCODES as readonly string[]).includes(text)) {
          throw use.error(`unknown rcode ${text}`, property.name);
        }
        rcode = text;
        break;
      }
      case "fallthrough":
        fallthrough = new Fallthrough(property.args.map(({ text }) => text));
        break;
      case "upstream":
        break;
      case "ederror":
      case "expr":
      case "var":
        throw use.error(`${name} is not modelled`, property.name);
      default:
        throw use.unknown(property, PROPERTIES);
    }
  }
  if (patterns.length === 0) patterns.push(GoPattern.compile(".*") as GoPattern);
  return { zones: originsOf(zones, blockZones), type, rcode, patterns, ...records, fallthrough };
}

function compile(use: PluginArguments, property: Property, text: string): RecordTemplate {
  try {
    return compileTemplate(text);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw use.error(`could not compile template: ${text}: ${error.message}`, property.name);
  }
}

class Templates implements Handler {
  readonly #next: Handler;
  readonly #templates: readonly Template[];
  readonly #zones: readonly string[];

  constructor(next: Handler, templates: readonly Template[]) {
    this.#next = next;
    this.#templates = templates;
    this.#zones = templates.flatMap(({ zones }) => zones);
  }

  serve(request: DnsRequest, respond: Respond): void {
    if (longestZone(this.#zones, request.name) === undefined) {
      this.#next.serve(request, respond);
      return;
    }
    for (const template of this.#templates) {
      const zone = longestZone(template.zones, request.name);
      const { type } = request.question;
      if (
        zone === undefined ||
        (template.type !== "ANY" && type !== "ANY" && type !== template.type)
      ) {
        continue;
      }
      const pattern = template.patterns.find((each) => each.test(request.name));
      if (pattern !== undefined) {
        this.#answer(template, zone, pattern, request, respond);
        return;
      }
      // A template that is for the name but does not match it ends the search, unless it falls through.
      if (!template.fallthrough.through(request.name)) {
        respond({ rcode: "SERVFAIL" });
        return;
      }
    }
    this.#next.serve(request, respond);
  }

  #answer(
    template: Template,
    zone: string,
    pattern: GoPattern,
    request: DnsRequest,
    respond: Respond,
  ): void {
    const { rcode } = template;
    if (rcode === "SERVFAIL") {
      respond({ rcode });
      return;
    }
    const data = dataOf(template, zone, pattern, request);
    const message = replyTo(request.message, rcode);
    const sections: Record<"answer" | "authority" | "additional", ResourceRecord[]> = {
      answer: [],
      authority: [],
      additional: [],
    };
    for (const section of ["answer", "additional", "authority"] as const) {
      for (const make of template[section]) {
        const made = makeRecord(make, data);
        if (typeof made === "string") {
          respond({ rcode: "SERVFAIL", error: made });
          return;
        }
        sections[section].push(made);
      }
    }
    this.#withTargets(sections.answer, request, ({ answer, tc }) => {
      const whole: DnsMessage = {
        ...message,
        ...sections,
        flags: { ...message.flags, aa: true, tc },
        answer,
      };
      respond({ message: whole, rcode });
    });
  }

  /** The records, and after each CNAME what the whole server says of its target. */
  #withTargets(
    records: readonly ResourceRecord[],
    request: DnsRequest,
    done: (found: { readonly answer: readonly ResourceRecord[]; readonly tc: boolean }) => void,
  ): void {
    const { type } = request.question;
    const answer: ResourceRecord[] = [];
    let tc = false;
    const add = (i: number): void => {
      const record = records[i];
      if (record === undefined) {
        done({ answer, tc });
        return;
      }
      answer.push(record);
      if (record.type !== "CNAME" || (type !== "A" && type !== "AAAA")) {
        add(i + 1);
        return;
      }
      request.lookup(record.data, type, (found) => {
        answer.push(...(found?.answer ?? []));
        tc = found?.flags.tc ?? tc;
        add(i + 1);
      });
    };
    add(0);
  }
}

function dataOf(
  template: Template,
  zone: string,
  pattern: GoPattern,
  { name, question, message, client }: DnsRequest,
): Parameters<RecordTemplate>[0] {
  const { groups, named } = pattern.exec(name) as GoMatch;
  return {
    Zone: zone,
    Name: name,
    Regex: pattern.source,
    Match: groups,
    Group: { ...Object.fromEntries(groups.map((text, i) => [String(i), text])), ...named },
    Class: "IN",
    Type: question.type === "ANY" ? template.type : question.type,
    Question: { Name: question.name, Qtype: typeNumber(question.type) ?? 0, Qclass: 1 },
    Message: { Id: message.id },
    Remote: formatIp(client.address),
  };
}

/** A record, or what is wrong with the text that the template made. */
function makeRecord(
  make: RecordTemplate,
  data: Parameters<RecordTemplate>[0],
): ResourceRecord | string {
  let text: string;
  try {
    text = make(data);
  } catch (error) {
    if (error instanceof TemplateError) return error.message;
    throw error;
  }
  const record = parseRecord(
    dataWords(text.trim()).filter((word) => word !== ""),
    { origin: "." },
  );
  return "problem" in record ? `"${text}": ${record.problem}` : record;
}
