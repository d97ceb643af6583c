import type { Trace } from "@cnilab/linux";
import { explainableTerms } from "../explain/explain.ts";
import { namespaceName, type TraceHop, type TracePacket, traceHops, tracePackets } from "./hops.ts";
import { type NameOf, packetText } from "./packet-text.ts";
import { type StepText, stepText, type Weight } from "./step-text.ts";
import { PLAIN_STYLE, type TraceStyle } from "./style.ts";

export interface TraceTextOptions {
  /** `summary`: a line a hop. `normal`: decisions and reasons. `verbose`: every frame, ARP included. */
  readonly level?: Weight;
  readonly style?: TraceStyle;
  /** Names for addresses, as pods and Services have them. */
  readonly nameOf?: NameOf;
}

/** A trace for people: packet after packet, place after place, with the reason for every decision. */
export function traceText(trace: Trace, options: TraceTextOptions = {}): string {
  if (trace.steps.length === 0) return "Nothing was sent.\n";
  return new TraceWriter(trace, options).write();
}

interface WrittenHop {
  readonly place: string;
  readonly lines: readonly StepText[];
}

class TraceWriter {
  readonly #trace: Trace;
  readonly #level: Weight;
  readonly #style: TraceStyle;
  readonly #nameOf: NameOf | undefined;
  readonly #terms = new Set<string>();

  constructor(trace: Trace, { level, style, nameOf }: TraceTextOptions) {
    this.#trace = trace;
    this.#level = level ?? "normal";
    this.#style = style ?? PLAIN_STYLE;
    this.#nameOf = nameOf;
  }

  write(): string {
    const hops = traceHops(this.#trace);
    const ways = new Map<string, number>();
    const parts: string[] = [];
    for (const packet of tracePackets(this.#trace)) {
      if (packet.direction === "neighbour" && this.#level !== "verbose") continue;
      const written = this.#hopsOf(packet, hops);
      const way = JSON.stringify(written.map((h) => [h.place, h.lines.flatMap((l) => wayOf(l))]));
      const earlier = this.#level === "verbose" ? undefined : ways.get(way);
      parts.push(this.#head(packet));
      if (earlier !== undefined) {
        parts.push(`  ${this.#style.faint(`takes the same way as #${earlier}`)}\n`);
        continue;
      }
      ways.set(way, packet.number);
      for (const hop of written) parts.push(this.#hop(hop));
    }
    return parts.join("") + this.#footer();
  }

  /** Neighbouring hops in one place are one once the ARP between them is left out. */
  #hopsOf(packet: TracePacket, hops: readonly TraceHop[]): WrittenHop[] {
    const written: { readonly place: string; readonly lines: StepText[] }[] = [];
    for (const hop of hops) {
      if (hop.packet !== packet.number) continue;
      let last = written.at(-1);
      const place = this.#placeOf(hop);
      if (last?.place !== place) {
        last = { place, lines: [] };
        written.push(last);
      }
      for (const traced of hop.steps) {
        const text = stepText(traced, this.#nameOf);
        if (this.#isShown(text)) last.lines.push(text);
      }
    }
    return written.filter((hop) => hop.lines.length > 0);
  }

  #placeOf({ netns, place }: TraceHop): string {
    const name = namespaceName(netns, this.#nameOf);
    return name === undefined ? place : `${netns.kernel.hostname}/${name}`;
  }

  #isShown({ weight }: StepText): boolean {
    if (this.#level === "verbose") return true;
    return this.#level === "normal" ? weight !== "verbose" : weight === "summary";
  }

  #head({ number, summary, direction, end, leg }: TracePacket): string {
    const text = summary === undefined ? "a packet" : packetText(summary, this.#nameOf);
    const arrow = direction === "back" ? "<-" : "->";
    const { packet, good, bad, faint } = this.#style;
    const tail = end === "delivered" ? good(end) : end === "dropped" ? bad(end) : faint(end);
    const which = leg === undefined ? "" : ` [leg ${leg}]`;
    return `${packet(`${arrow} #${number}${which} ${text}`)}: ${tail}\n`;
  }

  #hop({ place, lines }: WrittenHop): string {
    const { place: placeStyle } = this.#style;
    if (this.#level === "summary") {
      const what = lines.map((l) => this.#colour(l, `${l.label}: ${l.text}`)).join("; ");
      return `  ${placeStyle(place)}  ${what}\n`;
    }
    const written = lines.map((l) => this.#line(l)).join("");
    return `  ${placeStyle(place)}\n${written}`;
  }

  #line(step: StepText): string {
    for (const term of step.terms) this.#terms.add(term);
    const label = this.#style.label(step.label.padEnd(11));
    const more = step.more.map((m) => `    ${" ".repeat(11)} ${this.#style.faint(m)}\n`);
    const detail = this.#level === "verbose" && step.detail !== undefined ? `: ${step.detail}` : "";
    return `    ${label} ${this.#colour(step, step.text)}${detail}\n${more.join("")}`;
  }

  #colour({ label }: StepText, text: string): string {
    return label === "DROP" ? this.#style.bad(text) : text;
  }

  #footer(): string {
    const terms = explainableTerms([...this.#terms]);
    if (terms.length === 0) return "";
    return this.#style.faint(`cnilab explain knows: ${terms.join(", ")}\n`);
  }
}

/** What makes two packets' ways equal: the decisions, without sizes, ports and the state of ARP. */
function wayOf({ label, text }: StepText): string[] {
  switch (label) {
    case "neighbour":
      return [];
    case "send":
    case "deliver":
    case "conntrack":
      return [label];
    case "wrap":
      return [text.replace(/:\d+ >/, " >")];
    default:
      return [`${label} ${text}`];
  }
}
