import type { CtTuple } from "../maps/conntrack-map.ts";
import { type TraceCtx, unknownTrace } from "./trace.ts";

/** What is known of a connection (`struct ct_state`). */
export class CtState {
  revNatIndex = 0;
  loopback = false;
  nodePort = false;
  dsrInternal = false;
  syn = false;
  proxyRedirect = false;
  fromL7lb = false;
  fromTunnel = false;
  closing = false;
  srcSecId = 0;
  backendId = 0;
}

/** What one function found in connection tracking, for the next (`struct ct_buffer4`). */
export class CtBuffer {
  readonly tuple: CtTuple;
  readonly state: CtState = new CtState();
  readonly trace: TraceCtx = unknownTrace();
  /** A `CT_*`, or a reason to drop. */
  ret = 0;

  constructor(tuple: CtTuple) {
    this.tuple = tuple;
  }
}
