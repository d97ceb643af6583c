import { Loopback, type NetDevice, type NetNamespace, type TokenBucket } from "@cnilab/linux";
import type { JsonObject } from "../json.ts";
import { qdiscOf } from "./links.ts";

/** `tc qdisc show` (iproute2 6.1). */
export function qdiscsText(netns: NetNamespace): string {
  return netns.devices
    .flatMap((dev) => {
      const lines: string[] = [];
      const kind = qdiscOf(dev);
      const root = dev.tc?.root;
      if (root !== undefined) {
        lines.push(
          `qdisc tbf ${root.handle} dev ${dev.name} root refcnt 2 rate ${rateText(root.rate)} burst ${sizeText(root.burst)} lat ${timeText(latency(root))} `,
        );
      } else if (kind === "pfifo_fast") {
        lines.push(
          `qdisc pfifo_fast 0: dev ${dev.name} root refcnt 2 bands 3 priomap ${PRIOMAP.join(" ")}`,
        );
      } else if (kind !== "noop") {
        lines.push(`qdisc ${kind} 0: dev ${dev.name} root refcnt 2 `);
      }
      if (dev.tc?.redirect !== undefined) {
        lines.push(`qdisc ingress ffff: dev ${dev.name} parent ffff:fff1 ---------------- `);
      }
      return lines;
    })
    .map((line) => `${line}\n`)
    .join("");
}

/** `tc -j qdisc show`. */
export function qdiscsJson(netns: NetNamespace): JsonObject[] {
  return netns.devices.flatMap((dev) => {
    const list: JsonObject[] = [];
    const kind = qdiscOf(dev);
    const root = dev.tc?.root;
    const common = { dev: dev.name, root: true, refcnt: 2 };
    if (root !== undefined) {
      const options = { rate: root.rate, burst: root.burst, lat: latency(root) };
      list.push({ kind, handle: root.handle, ...common, options });
    } else if (kind === "pfifo_fast") {
      const options = { bands: 3, priomap: PRIOMAP, multiqueue: false };
      list.push({ kind, handle: "0:", ...common, options });
    } else if (kind !== "noop") {
      list.push({ kind, handle: "0:", ...common, options: {} });
    }
    if (dev.tc?.redirect !== undefined) {
      list.push({
        kind: "ingress",
        handle: "ffff:",
        dev: dev.name,
        parent: "ffff:fff1",
        options: {},
      });
    }
    return list;
  });
}

/** `tc filter show dev DEV parent ffff:`: the catch-all that sends what comes in through another device. */
export function ingressFilterText(dev: NetDevice): string {
  const to = dev.tc?.redirect?.to;
  if (to === undefined || dev instanceof Loopback) return "";
  return `${[
    "filter protocol all pref 49152 u32 chain 0 ",
    "filter protocol all pref 49152 u32 chain 0 fh 800: ht divisor 1 ",
    "filter protocol all pref 49152 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 terminal flowid not_in_hw ",
    "  match 00000000/00000000 at 0",
    `\taction order 1: mirred (Egress Redirect to device ${to.name}) stolen`,
    "\tindex 1 ref 1 bind 1",
    "",
  ].join("\n")}\n`;
}

/** Bands by priority (net/sched/sch_generic.c). */
const PRIOMAP = [1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

/** Microseconds that the last byte of a full queue waits (iproute2 tc/q_tbf.c). */
function latency({ rate, burst, limit }: TokenBucket): number {
  return Math.trunc((1_000_000 * limit) / rate) - Math.trunc((1_000_000 * burst) / rate);
}

/** Bytes a second as tc prints them: in bits, with decimal prefixes. */
function rateText(rate: number): string {
  let value = rate * 8;
  for (const unit of ["bit", "Kbit", "Mbit", "Gbit"]) {
    if (unit === "Gbit" || value < 1000 || (value % 1000 !== 0 && value < 1_000_000)) {
      return `${Math.trunc(value)}${unit}`;
    }
    value /= 1000;
  }
  return `${value}Tbit`;
}

/** Bytes with binary prefixes. */
function sizeText(bytes: number): string {
  if (bytes >= 1024 * 1024 && Math.abs(1024 * 1024 * rint(bytes / 1048576) - bytes) < 1024) {
    return `${rint(bytes / 1048576)}Mb`;
  }
  if (bytes >= 1024 && Math.abs(1024 * rint(bytes / 1024) - bytes) < 16) {
    return `${rint(bytes / 1024)}Kb`;
  }
  return `${bytes}b`;
}

function rint(value: number): number {
  return Math.round(value);
}

/** Microseconds. */
function timeText(us: number): string {
  if (us >= 1_000_000) return `${threeSignificant(us / 1_000_000)}s`;
  if (us >= 1000) return `${threeSignificant(us / 1000)}ms`;
  return `${Math.trunc(us)}us`;
}

/** `%.3g` of printf. */
function threeSignificant(value: number): string {
  return String(Number(value.toPrecision(3)));
}
