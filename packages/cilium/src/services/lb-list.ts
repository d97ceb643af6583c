import { formatEndpoint, formatIp } from "@cnilab/net";
import { formatFrontend } from "./frontend.ts";
import type { BackendEntry, RevNatEntry, ServiceEntry, SourceRangeEntry } from "./lb-maps.ts";
import { serviceFlagsText } from "./service-flags.ts";

/** Lines of a listing by the key that they stand behind, as `-o json` has them. */
export type LbListing = Readonly<Record<string, readonly string[]>>;

/** `cilium-dbg bpf lb list`: slots, with the backends that they lead to. */
export function listServices(
  services: Iterable<ServiceEntry>,
  backends: Iterable<BackendEntry>,
): LbListing {
  const byId = new Map([...backends].map((backend) => [backend.id, backend] as const));
  return listSlots(services, (entry) => backendText(entry, byId.get(entry.backendId)));
}

function backendText(entry: ServiceEntry, backend: BackendEntry | undefined): string {
  const { slot, revNat, flags, address } = entry;
  if (slot === 0) {
    const any = typeof address === "number" ? "0.0.0.0" : "[::]";
    return `${any}:0 (${revNat}) (0) [${serviceFlagsText(flags)}] `;
  }
  if (backend === undefined) return `backend ${entry.backendId} not found`;
  const { port, protocol } = backend;
  return `${formatEndpoint(backend.address, port)}/${protocol} (${revNat}) (${slot})`;
}

/** `cilium-dbg bpf lb list --frontends`: the entries as they are. */
export function listFrontends(services: Iterable<ServiceEntry>): LbListing {
  return listSlots(services, (entry) => {
    const { slot, algorithm, affinityTimeout, count, qcount, revNat, flags } = entry;
    const id = slot === 0 ? algorithm * 2 ** 24 + affinityTimeout : entry.backendId;
    const [low, high] = [flags & 0xff, flags >>> 8].map((byte) => `0x${byte.toString(16)}`);
    return `${id} ${count}[${qcount}] (${revNat}) [${low} ${high}]`;
  });
}

/** The real one lists in the order of a hash map. */
function listSlots(
  services: Iterable<ServiceEntry>,
  text: (entry: ServiceEntry) => string,
): LbListing {
  const sorted = [...services].sort((x, y) => x.revNat - y.revNat || x.slot - y.slot);
  const line = (entry: ServiceEntry) => `${formatFrontend(entry)} (${entry.slot})`;
  return Object.fromEntries(sorted.map((entry) => [line(entry), [text(entry)]]));
}

/** `cilium-dbg bpf lb list --backends`. */
export function listBackends(backends: Iterable<BackendEntry>): LbListing {
  const all = [...backends].sort((x, y) => x.id - y.id);
  return Object.fromEntries(
    all.map(({ id, address, protocol }) => [String(id), [`${protocol}://${formatIp(address)}`]]),
  );
}

/** `cilium-dbg bpf lb list --revnat`. */
export function listRevNat(entries: Iterable<RevNatEntry>): LbListing {
  const all = [...entries].sort((x, y) => x.revNat - y.revNat);
  return Object.fromEntries(
    all.map(({ revNat, address, port }) => [String(revNat), [formatEndpoint(address, port)]]),
  );
}

/** `cilium-dbg bpf lb list --source-ranges`. */
export function listSourceRanges(entries: Iterable<SourceRangeEntry>): LbListing {
  const all = [...entries].sort((x, y) => x.revNat - y.revNat);
  return Object.fromEntries(all.map(({ revNat, prefix }) => [`${prefix} (${revNat})`, [""]]));
}

/** What stands above the columns of each listing. */
export const LB_TITLES = {
  services: ["SERVICE ADDRESS", "BACKEND ADDRESS (REVNAT_ID) (SLOT)"],
  frontends: ["SERVICE ADDRESS", "BACKEND ID"],
  backends: ["ID", "BACKEND ADDRESS (REVNAT_ID) (SLOT)"],
  revnat: ["ID", "BACKEND ADDRESS (REVNAT_ID) (SLOT)"],
  "source-ranges": ["SOURCE RANGE (REVNAT_ID)", ""],
} as const;

/** As `cilium-dbg` prints it (cilium-dbg/cmd TablePrinter): columns at least 5 wide, with 3 blanks behind the longest. */
export function lbListText([first, second]: readonly [string, string], listing: LbListing): string {
  const rows: [string, string][] = Object.entries(listing).flatMap(([key, values]) =>
    values.map((value, i): [string, string] => [i === 0 ? key : "", value]),
  );
  const width = (texts: readonly string[]) => Math.max(5, ...texts.map((text) => text.length + 3));
  const left = width([first, ...rows.map(([key]) => key)]);
  // Titles have no tab behind their second column, rows have: that one is as wide as the rows need.
  const right = width(rows.map(([, value]) => value));
  const lines = rows.map(([key, value]) => key.padEnd(left) + value.padEnd(right));
  return `${[first.padEnd(left) + second, ...lines].join("\n")}\n`;
}
