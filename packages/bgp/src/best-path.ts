import { compareIp } from "@cnilab/net";
import { type HostEntry, isResolvable } from "./host-entry.ts";
import type { PathAttributes } from "./path-attributes.ts";
import type { BgpSender, TableRoute } from "./route.ts";

/** BIRD's `default bgp_med` and `default bgp_local_pref`. */
const DEFAULT_MED = 0;
const DEFAULT_LOCAL_PREF = 100;

/** Whether a route is to be preferred to another one to the same prefix (nest/rt-table.c `rte_better`). */
export function isBetter(x: TableRoute, y: TableRoute): boolean {
  if (x.preference !== y.preference) return x.preference > y.preference;
  if (x.sender.source !== y.sender.source) return x.sender.source > y.sender.source;
  return x.attributes !== undefined && y.attributes !== undefined && compareBgp(x, y) > 0;
}

/** Positive where the first is better (proto/bgp/attrs.c `bgp_rte_better`; RFC 4271 §9.1.2). */
function compareBgp(x: TableRoute, y: TableRoute): number {
  const [a, b] = [x.attributes as PathAttributes, y.attributes as PathAttributes];
  const [from, other] = [x.sender as BgpSender, y.sender as BgpSender];
  return (
    compareUpToMetric(x, y) ||
    igpMetric(y) - igpMetric(x) ||
    (b.originatorId ?? other.remoteId) - (a.originatorId ?? from.remoteId) ||
    b.clusterList.length - a.clusterList.length ||
    compareIp(other.neighbor, from.neighbor)
  );
}

/** What must be equal for two routes to be used together, but for the metric. */
function compareUpToMetric(x: TableRoute, y: TableRoute): number {
  const [a, b] = [x.attributes as PathAttributes, y.attributes as PathAttributes];
  const [from, other] = [x.sender as BgpSender, y.sender as BgpSender];
  return (
    Number(isResolvable(x.hostEntry as HostEntry)) -
      Number(isResolvable(y.hostEntry as HostEntry)) ||
    (a.localPref ?? DEFAULT_LOCAL_PREF) - (b.localPref ?? DEFAULT_LOCAL_PREF) ||
    b.asPath.length - a.asPath.length ||
    b.origin - a.origin ||
    compareMed(a, b) ||
    Number(other.isInternal) - Number(from.isInternal)
  );
}

/** Only between routes of one neighbouring AS (`med metric` off); a path that begins here has none. */
function compareMed(a: PathAttributes, b: PathAttributes): number {
  if ((a.asPath[0] ?? 0) !== (b.asPath[0] ?? 0)) return 0;
  return (b.med ?? DEFAULT_MED) - (a.med ?? DEFAULT_MED);
}

/** Whether both may be used at once (`merge paths`; `bgp_rte_mergable`). */
export function isMergable(best: TableRoute, other: TableRoute): boolean {
  if (best.preference !== other.preference || best.sender.source !== other.sender.source) {
    return false;
  }
  if (best.attributes === undefined || other.attributes === undefined) return false;
  return compareUpToMetric(best, other) === 0 && igpMetric(best) === igpMetric(other);
}

function igpMetric({ hostEntry }: TableRoute): number {
  return hostEntry?.igpMetric ?? 0;
}
