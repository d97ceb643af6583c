import { FlowTable } from "./flow-table.ts";
import type { VfpDirection, VfpGroup } from "./vfp-group.ts";

/** A table of a port; packets that leave the machine behind it pass the layers in order, others the other way round. */
export interface VfpLayer {
  readonly name: string;
  readonly groups: readonly VfpGroup[];
}

/** A port of the virtual switch as VFP sees it: layers of rules, and the flows that they have let through. */
export class VfpPort {
  /** GUID, as `vfpctrl /port` takes it. */
  readonly id: string;
  /** As `vfpctrl /list-vmswitch-port` calls it. */
  readonly name: string;
  /** Behind it is a vNIC of the host itself. */
  readonly isHost: boolean;
  readonly layers: readonly VfpLayer[];
  readonly flows: FlowTable;
  readonly #out: readonly VfpGroup[];
  readonly #in: readonly VfpGroup[];

  /** @param flows shared by the ports of the host's vNICs */
  constructor(
    id: string,
    name: string,
    isHost: boolean,
    layers: readonly VfpLayer[],
    flows: FlowTable = new FlowTable(),
  ) {
    this.id = id;
    this.name = name;
    this.isHost = isHost;
    this.layers = layers;
    this.flows = flows;
    this.#out = groupsOf(layers, "OUT");
    this.#in = groupsOf([...layers].reverse(), "IN");
  }

  /** The groups that a packet meets, in order. */
  groups(direction: VfpDirection): readonly VfpGroup[] {
    return direction === "OUT" ? this.#out : this.#in;
  }
}

function groupsOf(layers: readonly VfpLayer[], direction: VfpDirection): VfpGroup[] {
  return layers.flatMap(({ groups }) => groups.filter((g) => g.direction === direction));
}
