import {
  alignTabs,
  type Condition,
  type Event,
  type KubeObject,
  type Labels,
  rfc1123z,
} from "@cnilab/core";
import { age } from "../human-duration.ts";

/** Longer annotations get lines of their own. */
const MAX_ANNOTATION_LENGTH = 140;
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/** The text of `kubectl describe`, line by line; cells end with tabs. */
export class Description {
  readonly #lines: string[] = [];
  /** Milliseconds since 1970, by which ages are told. */
  readonly now: number;

  constructor(now: number) {
    this.now = now;
  }

  /** @param level two spaces each */
  line(level: number, text: string): void {
    this.#lines.push("  ".repeat(level) + text);
  }

  /** A field of the object itself. */
  field(title: string, value: string | number | boolean): void {
    this.line(0, `${title}:\t${value}`);
  }

  /** Several values, one a line below the other. */
  list(title: string, values: readonly string[]): void {
    const [first = "<none>", ...more] = values;
    this.line(0, `${title}:\t${first}`);
    for (const value of more) this.line(0, `\t${value}`);
  }

  labels(title: string, labels: Labels | undefined): void {
    this.list(
      title,
      sorted(labels).map(([key, value]) => `${key}=${value}`),
    );
  }

  annotations(title: string, annotations: Labels | undefined): void {
    const shown = sorted(annotations).filter(([key]) => key !== LAST_APPLIED);
    const values = shown.flatMap(([key, text]) => {
      const value = text.replace(/\n$/, "");
      if (key.length + value.length + 2 <= MAX_ANNOTATION_LENGTH && !value.includes("\n"))
        return [`${key}: ${value}`];
      return [`${key}:`, ...value.split("\n").map((each) => `  ${shortened(each)}`)];
    });
    this.list(title, values);
  }

  /** Name and namespace, as most kinds begin. */
  head({ metadata }: KubeObject): void {
    this.field("Name", metadata.name);
    this.field("Namespace", metadata.namespace ?? "");
  }

  conditions(conditions: readonly (Condition & { readonly reason?: string })[]): void {
    if (conditions.length === 0) return;
    this.line(0, "Conditions:");
    this.line(0, "  Type\tStatus\tReason");
    this.line(1, "----\t------\t------");
    for (const { type, status, reason = "" } of conditions)
      this.line(1, `${type} \t${status}\t${reason}`);
  }

  events(events: readonly Event[]): void {
    if (events.length === 0) {
      this.field("Events", "<none>");
      return;
    }
    this.line(0, "Events:");
    this.line(0, "  Type\tReason\tAge\tFrom\tMessage");
    this.line(1, "----\t------\t----\t----\t-------");
    for (const {
      type,
      reason,
      count = 1,
      firstTimestamp,
      lastTimestamp,
      source,
      message,
    } of events) {
      const first = age(firstTimestamp, this.now);
      const when = count > 1 ? `${age(lastTimestamp, this.now)} (x${count} over ${first})` : first;
      this.line(1, `${type}\t${reason}\t${when}\t${source?.component ?? ""}\t${message.trim()}`);
    }
  }

  toString(): string {
    // kubectl pkg/describe `tabbedString`.
    return alignTabs(this.#lines, { minWidth: 0, padding: 2 });
  }
}

function sorted(pairs: Labels | undefined): [string, string][] {
  return Object.entries(pairs ?? {}).sort(([x], [y]) => (x < y ? -1 : 1));
}

function shortened(text: string): string {
  const most = MAX_ANNOTATION_LENGTH - 2;
  return text.length > most ? `${text.slice(0, most)}...` : text;
}

/** A time stamp as Go's RFC1123Z. */
export function rfc1123(timestamp: string | undefined): string {
  if (timestamp === undefined) return "Mon, 01 Jan 0001 00:00:00 +0000";
  return rfc1123z(timestamp) ?? timestamp;
}

/** `ReplicaSet/web-5d` */
export function controllerOf({ metadata }: KubeObject): string | undefined {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  return owner && `${owner.kind}/${owner.name}`;
}
