import { KernelError } from "../kernel-error.ts";
import {
  FLOW_FIELDS,
  type FlowField,
  type FlowKey,
  type FlowMatch,
  maskBits,
  maskedField,
} from "./flow-key.ts";
import type { OvsAction } from "./ovs-action.ts";

/** An entry of a datapath's table: packets that fit it, and what is done with them (`struct sw_flow`, a "megaflow"). */
export class DatapathFlow {
  readonly match: FlowMatch;
  actions: readonly OvsAction[];
  packets = 0;
  bytes = 0;
  /** Virtual milliseconds of the last packet; `undefined` since it was made or cleared. */
  used: number | undefined = undefined;

  constructor(match: FlowMatch, actions: readonly OvsAction[]) {
    this.match = match;
    this.actions = actions;
  }

  /** `OVS_FLOW_ATTR_CLEAR`. */
  clear(): void {
    this.packets = 0;
    this.bytes = 0;
    this.used = undefined;
  }
}

/** Flows that look at the same bits: one look-up answers for all of them (`struct sw_flow_mask`). */
interface FlowMask {
  /** Names it among the table's masks. */
  readonly id: string;
  readonly fields: readonly FlowField[];
  readonly masks: readonly number[];
  readonly flows: Map<string, DatapathFlow>;
}

/** All flows of a datapath, by masks in the order in which they came (net/openvswitch/flow_table.c). */
export class FlowTable {
  #masks: FlowMask[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get maskCount(): number {
    return this.#masks.length;
  }

  *flows(): Iterable<DatapathFlow> {
    for (const { flows } of this.#masks) yield* flows.values();
  }

  /** The flow that a packet fits, and how many masks were tried. */
  lookup(key: FlowKey): { readonly flow: DatapathFlow | undefined; readonly tried: number } {
    let tried = 0;
    for (const { fields, masks, flows } of this.#masks) {
      tried++;
      const flow = flows.get(maskedKey(fields, masks, key));
      if (flow !== undefined) return { flow, tried };
    }
    return { flow: undefined, tried };
  }

  /** The flow with exactly this match (`ovs_flow_tbl_lookup_exact`). */
  find(match: FlowMatch): DatapathFlow | undefined {
    const { id, key } = shapeOf(match);
    return this.#masks.find((mask) => mask.id === id)?.flows.get(key);
  }

  /**
   * A new flow, or other actions for one that is there (`ovs_flow_cmd_new`).
   * @throws KernelError ENOENT where another flow takes what this one names
   */
  put(match: FlowMatch, actions: readonly OvsAction[]): DatapathFlow {
    const { id, key, fields, masks, values } = shapeOf(match);
    const { flow: there } = this.lookup(values);
    if (there !== undefined) {
      const same = this.find(match);
      if (same === undefined) throw new KernelError("ENOENT", "another flow takes these packets");
      same.actions = actions;
      return same;
    }
    let mask = this.#masks.find((known) => known.id === id);
    if (mask === undefined) {
      mask = { id, fields, masks, flows: new Map() };
      this.#masks.push(mask);
    }
    const flow = new DatapathFlow(match, actions);
    mask.flows.set(key, flow);
    this.#size++;
    return flow;
  }

  /** @throws KernelError ENOENT */
  delete(match: FlowMatch): void {
    const { id, key } = shapeOf(match);
    const at = this.#masks.findIndex((mask) => mask.id === id);
    const mask = this.#masks[at];
    if (mask === undefined || !mask.flows.delete(key))
      throw new KernelError("ENOENT", "no such flow");
    this.#size--;
    if (mask.flows.size === 0) this.#masks.splice(at, 1);
  }

  clear(): void {
    this.#masks = [];
    this.#size = 0;
  }
}

function shapeOf(match: FlowMatch): {
  readonly id: string;
  readonly key: string;
  readonly fields: readonly FlowField[];
  readonly masks: readonly number[];
  readonly values: FlowKey;
} {
  const fields: FlowField[] = [];
  const masks: number[] = [];
  const values = {} as Record<FlowField, number>;
  let id = "";
  for (const field of FLOW_FIELDS) {
    const { value, mask } = maskedField(match, field);
    values[field] = value;
    if (mask === 0) continue;
    fields.push(field);
    masks.push(mask);
    id += `${field}/${mask.toString(16)} `;
  }
  return { id, key: maskedKey(fields, masks, values), fields, masks, values };
}

function maskedKey(fields: readonly FlowField[], masks: readonly number[], key: FlowKey): string {
  let text = "";
  for (let i = 0; i < fields.length; i++) {
    text += `${maskBits(key[fields[i] as FlowField], masks[i] as number).toString(36)} `;
  }
  return text;
}
