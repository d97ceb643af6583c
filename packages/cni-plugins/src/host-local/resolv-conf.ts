import type { CniDns, HostFiles } from "@cnilab/core";
import { failure } from "../failure.ts";

/** A `resolv.conf` of the host as a result's `dns` (host-local dns.go). @throws CniError where there is no such file */
export function parseResolvConf(files: HostFiles, path: string): CniDns {
  const text = files.read(path);
  if (text === undefined) throw failure(`open ${path}: no such file or directory`);
  const nameservers: string[] = [];
  const search: string[] = [];
  const options: string[] = [];
  let domain: string | undefined;
  for (const line of text.split("\n")) {
    const [key = "", ...values] = line.trim().split(/\s+/);
    const [first] = values;
    if (key.startsWith("#") || key.startsWith(";") || first === undefined) continue;
    if (key === "nameserver") nameservers.push(first);
    else if (key === "domain") domain = first;
    else if (key === "search") search.push(...values);
    else if (key === "options") options.push(...values);
  }
  return {
    ...(nameservers.length > 0 && { nameservers }),
    ...(domain !== undefined && { domain }),
    ...(search.length > 0 && { search }),
    ...(options.length > 0 && { options }),
  };
}
