import { execFileSync } from "node:child_process";

/** Prints something for each rule of a namespace with a name, or of this one, that sets nftrace. */
const SEARCH =
  "{ nft list ruleset; for n in $(ip netns list | cut -d' ' -f1); do ip netns exec $n nft list ruleset; done; } | grep 'nftrace set' || true";

let here: boolean | undefined;

/**
 * Whether anybody's rule on this machine turns on what the kernel has once for all namespaces, nft's tracing: a namespace
 * that somebody left behind changes the ports of everybody's tunnels. Looked up once.
 */
export function nftTracingHere(): boolean {
  if (here === undefined) {
    try {
      const stdio = ["ignore", "pipe", "ignore"] as const;
      here = execFileSync("sh", ["-c", SEARCH], { stdio: [...stdio], encoding: "utf8" }) !== "";
    } catch {
      here = false; // without these tools nothing is compared
    }
  }
  return here;
}
