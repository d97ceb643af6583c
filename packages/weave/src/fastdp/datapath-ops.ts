import type { Datapath, FlowMatch, OvsAction, Skb } from "@cnilab/linux";
import type { FlowOp } from "../router/flow-op.ts";

/** What the datapath can do itself, for this frame and for those after it (router/fastdp.go odpActionsFlowOp). */
export class DatapathActions implements FlowOp {
  readonly discards = false;
  readonly actions: readonly OvsAction[];
  readonly #datapath: Datapath;

  constructor(datapath: Datapath, ...actions: readonly OvsAction[]) {
    this.#datapath = datapath;
    this.actions = actions;
  }

  process(frame: Skb): void {
    this.#datapath.execute(frame.clone(), this.actions);
  }
}

/** What the flow has to ask for, so that the same may be done with all that fit it (odpFlowKeyFlowOp). */
export class DatapathKey implements FlowOp {
  readonly discards = true;
  readonly match: FlowMatch;

  constructor(match: FlowMatch) {
    this.match = match;
  }

  process(): void {}
}

/** There must be no flow: the next frame may want something else (vetoFlowCreationFlowOp). */
export const VETO_FLOW: FlowOp = { discards: true, process() {} };
