import { timestamp } from "@cnilab/core";

/** A moment of the virtual clock as protobuf writes it, with as many digits as it needs. */
export function flowTime(ms: number): string {
  const nanos = Math.round((ms - Math.floor(ms / 1000) * 1000) * 1e6);
  const seconds = timestamp(ms);
  if (nanos === 0) return seconds;
  const digits = String(nanos).padStart(9, "0");
  const kept = nanos % 1e6 === 0 ? 3 : nanos % 1000 === 0 ? 6 : 9;
  return `${seconds.slice(0, -1)}.${digits.slice(0, kept)}Z`;
}
