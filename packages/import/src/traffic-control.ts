import { type NetDevice, type NetNamespace, TrafficControl } from "@cnilab/linux";
import type { Fields } from "./fields.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import type { Unmodelled } from "./unmodelled.ts";

/** Disciplines that delay packets at most, which nothing here does. */
const QUEUES = ["noqueue", "noop", "pfifo_fast", "pfifo", "bfifo", "fq", "fq_codel", "mq", "cake"];

/** `tc -j qdisc show`, and `tc -j filter show` of devices that have filters. @throws InputError */
export function addTrafficControl(
  netns: NetNamespace,
  saved: SavedNamespace,
  unmodelled: Unmodelled,
): void {
  for (const fields of saved.files.objects("qdiscs.json")) {
    const dev = netns.findDevice(fields.string("dev"));
    const kind = fields.string("kind");
    if (dev === undefined || QUEUES.includes(kind)) continue;
    if (kind === "tbf" && fields.has("root")) addTokenBucket(dev, fields);
    else if (kind === "ingress" || kind === "clsact") addFilters(dev, saved, unmodelled);
    else unmodelled.note(saved.node, `${kind} queueing disciplines`, `on ${dev.name}`);
  }
}

function addTokenBucket(dev: NetDevice, fields: Fields): void {
  const options = fields.object("options");
  if (options === undefined) throw fields.error("options", "is missing");
  const rate = options.number("rate");
  const burst = bytesOf(String(options.stringOrNumber("burst")));
  if (burst === undefined) throw options.error("burst", "must be a number of bytes");
  // tc prints the time that the queue holds in place of its length: limit = rate * latency + burst.
  const limit =
    options.numberOr("limit", undefined) ??
    Math.round((rate * options.number("lat")) / 1e6) + burst;
  const tc = dev.tc ?? new TrafficControl(dev);
  tc.root = { kind: "tbf", handle: fields.string("handle"), rate, burst, limit };
  dev.tc = tc;
}

const UNITS: Readonly<Record<string, number>> = { b: 1, Kb: 1024, Mb: 1024 * 1024 };

/** Bytes as tc prints them; `tc -d` rounds to `10Kb`, and adds the size of a cell: `10Kb/1` (iproute2 lib/utils.c `print_size`). */
function bytesOf(text: string): number | undefined {
  const [, count, unit = "b"] = /^(\d+(?:\.\d+)?)(b|Kb|Mb)?(?:\/\d+)?$/.exec(text) ?? [];
  return count === undefined ? undefined : Math.round(Number(count) * (UNITS[unit] ?? 1));
}

/** The bandwidth plugin sends all that comes in through an ifb; other filters are not modelled. */
function addFilters(dev: NetDevice, saved: SavedNamespace, unmodelled: Unmodelled): void {
  for (const fields of saved.files.objects(`filters/${dev.name}.json`)) {
    const kind = fields.string("kind");
    const options = fields.object("options");
    // The first lines of a classifier tell of itself and of its hash tables.
    if (options === undefined || options.has("ht_divisor")) continue;
    const [action, ...others] = options.objects("actions");
    const to = action?.stringOr("to_dev", undefined);
    const isRedirect =
      action?.stringOr("kind", "") === "mirred" &&
      action.stringOr("mirred_action", "") === "redirect" &&
      action.stringOr("direction", "") === "egress" &&
      others.length === 0;
    const target = to === undefined ? undefined : dev.netns.findDevice(to);
    if (!isRedirect || target === undefined || !takesAll(kind, options)) {
      const what =
        kind === "bpf" ? "BPF programs at tc, passed by" : `${kind} filters at tc, passed by`;
      unmodelled.note(saved.node, what, `on ${dev.name}`);
      continue;
    }
    const tc = dev.tc ?? new TrafficControl(dev);
    tc.redirect = { kind: "mirred", to: target };
    dev.tc = tc;
  }
}

function takesAll(kind: string, options: Fields): boolean {
  if (kind === "matchall") return true;
  const match = kind === "u32" ? options.object("match") : undefined;
  return match?.stringOr("value", "") === "0" && match.stringOr("mask", "") === "0";
}
