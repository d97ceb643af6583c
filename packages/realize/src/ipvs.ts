import { destLine, type NetNamespace, serviceLine } from "@cnilab/linux";

/**
 * What `ipvsadm -R` reads. Not what `ipvsadm -S` would print, which sorts: schedulers go by the order in which
 * servers were added, the last one first.
 */
export function ipvsText(netns: NetNamespace): string {
  const lines: string[] = [];
  for (const service of netns.findIpvs()?.services() ?? []) {
    lines.push(serviceLine(service), ...[...service.destinations].reverse().map(destLine));
  }
  return lines.map((line) => `${line}\n`).join("");
}
