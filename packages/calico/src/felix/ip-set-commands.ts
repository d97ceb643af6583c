import type { IpFamily } from "@cnilab/net";
import { memberChanges, type WantedIpSet } from "./ip-sets.ts";

/** The line that makes a set (`felix/ipsets/ipsets.go` writeUpdates). */
export function createIpSet(
  name: string,
  { kind }: WantedIpSet,
  family: IpFamily,
  maxSize: number,
): string {
  return `create ${name} ${kind} family ${family === 4 ? "inet" : "inet6"} maxelem ${maxSize}`;
}

/** Lines that make the members of a set those that are wanted. */
export function ipSetChanges(
  name: string,
  there: WantedIpSet | undefined,
  wanted: WantedIpSet,
): string[] {
  const { added, removed } = memberChanges(there, wanted);
  return [
    ...removed.map((member) => `del ${name} ${member} --exist`),
    ...added.map((member) => `add ${name} ${member}`),
  ];
}
