import type { Kernel } from "@cnilab/linux";
import { compareIp, formatEndpoint, formatIp } from "@cnilab/net";
import {
  type LbBackend,
  type LbReverseNat,
  type LbService,
  type LbServiceKey,
  type LbSourceRangeKey,
  lbServiceKeyText,
  lbServiceText,
  type MaglevInner,
  type ReverseSkEntry,
  type ReverseSkKey,
} from "../datapath/maps/lb-maps.ts";
import { protocolText } from "../datapath/maps/map-key.ts";
import { SVC_FLAG, serviceFlagsText } from "../services/service-flags.ts";
import { entriesOf, networkOrder } from "./bpf-maps.ts";
import { type DbgOutput, type Listing, tableOutput } from "./listing.ts";

/** `cilium-dbg bpf lb list`, and what its flags list in place of services with their backends. */
export const LB_LISTINGS = [
  "services",
  "frontends",
  "backends",
  "revnat",
  "source-ranges",
] as const;
export type LbListing = (typeof LB_LISTINGS)[number];

/** (cilium-dbg/cmd/bpf_lb_list.go) */
export function lbList(kernel: Kernel, what: LbListing = "services"): DbgOutput {
  const backendTitle = "BACKEND ADDRESS (REVNAT_ID) (SLOT)";
  switch (what) {
    case "services":
      return tableOutput(["SERVICE ADDRESS", backendTitle], services(kernel));
    case "frontends":
      return tableOutput(["SERVICE ADDRESS", "BACKEND ID"], frontends(kernel));
    case "backends":
      return tableOutput(["ID", backendTitle], backends(kernel));
    case "revnat":
      return tableOutput(["ID", backendTitle], reverseNat(kernel));
    case "source-ranges":
      return tableOutput(["SOURCE RANGE (REVNAT_ID)", ""], sourceRanges(kernel));
  }
}

function both(name: string): [string, string] {
  return [`cilium_lb4_${name}`, `cilium_lb6_${name}`];
}

function sortedServices(kernel: Kernel): (readonly [LbServiceKey, LbService])[] {
  return entriesOf<LbServiceKey, LbService>(kernel, ...both("services_v2")).sort(
    ([x, v], [y, w]) => v.revNat - w.revNat || x.slot - y.slot,
  );
}

function services(kernel: Kernel): Listing {
  const known = new Map(entriesOf<number, LbBackend>(kernel, ...both("backends_v3")));
  return new Map(
    sortedServices(kernel).map(([key, value]) => {
      const text = slotText(key, value, known.get(value.backendId));
      return [lbServiceKeyText(key), [text]] as const;
    }),
  );
}

function slotText(
  { address, slot }: LbServiceKey,
  { backendId, revNat, flags, l7LbProxyPort = 0 }: LbService,
  backend: LbBackend | undefined,
): string {
  if (slot === 0) {
    const any = typeof address === "number" ? "0.0.0.0" : "[::]";
    const isL7 = (flags & SVC_FLAG.l7LoadBalancer) !== 0;
    const extra = isL7 ? `(L7LB Proxy Port: ${l7LbProxyPort})` : "";
    return `${any}:0 (${revNat}) (0) [${serviceFlagsText(flags)}] ${extra}`;
  }
  if (backend === undefined) return `backend ${backendId} not found`;
  const { port, proto } = backend;
  return `${formatEndpoint(backend.address, port)}/${protocolText(proto)} (${revNat}) (${slot})`;
}

function frontends(kernel: Kernel): Listing {
  return new Map(
    sortedServices(kernel).map(
      ([key, value]) => [lbServiceKeyText(key), [lbServiceText(value, key)]] as const,
    ),
  );
}

function byNumber<V>(kernel: Kernel, name: string): (readonly [number, V])[] {
  return entriesOf<number, V>(kernel, ...both(name)).sort(([x], [y]) => x - y);
}

function backends(kernel: Kernel): Listing {
  return new Map(
    byNumber<LbBackend>(kernel, "backends_v3").map(([id, { address, proto }]) => [
      String(id),
      [`${protocolText(proto)}://${formatIp(address)}`],
    ]),
  );
}

function reverseNat(kernel: Kernel): Listing {
  return new Map(
    byNumber<LbReverseNat>(kernel, "reverse_nat").map(([id, { address, port }]) => [
      String(id),
      [formatEndpoint(address, port)],
    ]),
  );
}

function sourceRanges(kernel: Kernel): Listing {
  const ranges = entriesOf<LbSourceRangeKey, true>(kernel, ...both("source_range")).sort(
    ([x], [y]) => x.revNat - y.revNat || compareIp(x.address, y.address),
  );
  return new Map(
    ranges.map(([{ address, prefixLength, revNat }]) => [
      `${formatIp(address)}/${prefixLength} (${revNat})`,
      [""],
    ]),
  );
}

/** `cilium-dbg bpf lb maglev list` (bpf_lb_maglev_list.go). */
export function maglevList(kernel: Kernel): DbgOutput {
  const listing = new Map<string, string[]>();
  for (const family of [4, 6]) {
    const tables = entriesOf<number, MaglevInner>(kernel, `cilium_lb${family}_maglev`);
    for (const [revNat, table] of tables.sort(([x], [y]) => x - y)) {
      listing.set(`[${revNat}]/v${family}`, [`[${table.join(" ")}]`]);
    }
  }
  return tableOutput(["SVC ID", "LOOKUP TABLE"], listing);
}

/** `cilium-dbg bpf socknat list` (bpf_socknat.go): numbers as they stand in memory, ports with a sign (`SockRevNat4Key`). */
export function socketNatList(kernel: Kernel): DbgOutput {
  const entries = entriesOf<ReverseSkKey, ReverseSkEntry>(kernel, ...both("reverse_sk"));
  const listing = new Map<string, string[]>();
  for (const [key, value] of entries.sort(([x], [y]) => x.cookie - y.cookie)) {
    const [from, to] = [key, value].map(({ address, port }) => {
      const host = typeof address === "number" ? formatIp(address) : `[${formatIp(address)}]`;
      return `${host}:${(networkOrder(port) << 16) >> 16}`;
    });
    const line = `${from} -> ${to} (revnat=${networkOrder(value.revNat)})`;
    listing.set(String(key.cookie), [...(listing.get(String(key.cookie)) ?? []), line]);
  }
  return tableOutput(["Socket Cookie", "Backend -> Frontend"], listing);
}
