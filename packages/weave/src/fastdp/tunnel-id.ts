import { SHORT_IDS, type ShortId } from "../mesh/short-ids.ts";

/** The VNI of frames from one peer to another: 12 bits each (router/fastdp.go tunnelIDFor). */
export function tunnelIdOf(src: ShortId, dst: ShortId): number {
  return src + dst * SHORT_IDS;
}

export function shortIdsOf(tunnelId: number): { readonly src: ShortId; readonly dst: ShortId } {
  return { src: tunnelId % SHORT_IDS, dst: Math.floor(tunnelId / SHORT_IDS) % SHORT_IDS };
}
