import { type CniCall, CniError, type CniResult } from "@cnilab/core";
import { failure } from "./failure.ts";

/** The plugin that `ipam.type` names; empty for a layer-2 network. */
export function ipamType(call: CniCall): string {
  return call.config.ipam?.type ?? "";
}

/** Asks the IPAM plugin for addresses, with the whole configuration. @throws CniError its own, or where it gives none */
export function ipamAdd(call: CniCall): CniResult {
  const result = call.delegate(ipamType(call), "ADD", call.config);
  if (result === undefined) throw failure("IPAM plugin returned missing IP config");
  return result;
}

export function ipamDel(call: CniCall): void {
  call.delegate(ipamType(call), "DEL", call.config);
}

export function ipamCheck(call: CniCall): void {
  call.delegate(ipamType(call), "CHECK", call.config);
}

export function ipamStatus(call: CniCall): void {
  call.delegate(ipamType(call), "STATUS", call.config);
}

/** Runs what follows an {@link ipamAdd}: where it fails the addresses are given back, whatever that says. */
export function orRelease<T>(call: CniCall, what: () => T): T {
  try {
    return what();
  } catch (error) {
    try {
      ipamDel(call);
    } catch (second) {
      if (!(second instanceof CniError)) throw second;
    }
    throw error;
  }
}
