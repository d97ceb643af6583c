import type { TcContext } from "@cnilab/linux";
import { familyOf } from "@cnilab/net";
import { packetHash } from "../../../maglev/packet-hash.ts";
import { SVC_FLAG } from "../../../services/service-flags.ts";
import type { CtTuple } from "../../maps/conntrack-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import { type FoundService, hasFlag, lbLookupBackendSlot } from "./lookup-service.ts";

/** `LB_SELECTION_*`, by annotation in {@link LbService.algorithm}. */
const LB_SELECTION_RANDOM = 1;
const LB_SELECTION_MAGLEV = 2;

/** Chooses a backend for a new connection (`lb4_select_backend_id`). @returns its id, 0 where there is none */
export function lbSelectBackendId(
  ctx: TcContext,
  obj: BpfObject,
  found: FoundService,
  tuple: CtTuple,
): number {
  return selectionOf(obj, found) === LB_SELECTION_MAGLEV
    ? selectMaglev(ctx, obj, found, tuple)
    : selectRandom(ctx, obj, found);
}

function selectionOf({ config, source }: BpfObject, { svc }: FoundService): number {
  const { lb } = config;
  // Programs of pods would find no table for cluster addresses: they choose at random (bpf_lxc.c).
  const byDefault =
    lb.algorithm === "maglev" && source !== "lxc" ? LB_SELECTION_MAGLEV : LB_SELECTION_RANDOM;
  if (!lb.algorithmAnnotation) return byDefault;
  const { algorithm } = svc;
  return algorithm === LB_SELECTION_RANDOM || algorithm === LB_SELECTION_MAGLEV
    ? algorithm
    : byDefault;
}

/** `lb4_select_backend_id_random`; slots count from 1. */
function selectRandom(ctx: TcContext, obj: BpfObject, found: FoundService): number {
  const slot = (ctx.random() % found.svc.count) + 1;
  return lbLookupBackendSlot(ctx, obj, found, slot) ?? 0;
}

/** `lb4_select_backend_id_maglev`: all nodes have the same table. */
function selectMaglev(
  ctx: TcContext,
  { maps, config }: BpfObject,
  { key, svc }: FoundService,
  tuple: CtTuple,
): number {
  const table = ctx.lookup(maps.lb(familyOf(key.address)).maglev, svc.revNat);
  if (table === undefined) return 0;
  const { maglevTableSize: tableSize, jhashSeed4, jhashSeed6 } = config.lb;
  const hash = packetHash(
    {
      client: tuple.saddr,
      // Ports stand the other way around. A client that keeps its backend keeps it for all of its ports.
      clientPort: hasFlag(svc, SVC_FLAG.affinity) ? 0 : tuple.dport,
      servicePort: tuple.sport,
      protocol: tuple.nexthdr,
    },
    { tableSize, murmurSeed: 0, jhashSeed4, jhashSeed6 },
  );
  return table[hash % tableSize] ?? 0;
}
