import type { Origin } from "@cnilab/core";
import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import type { FlowPolicy } from "../../hubble/flow.ts";
import { MESSAGE_TYPE } from "../../hubble/monitor-messages.ts";
import type { NumericIdentity } from "../../identity/numeric-identity.ts";
import type { BpfObject } from "./bpf-object.ts";
import { DROP_POLICY_DENY } from "./drop-reason.ts";
import { POLICY_MATCH_ALL, type PolicyCheck } from "./policy.ts";

/** Names of authentication types in flows. */
const AUTH_TYPES = ["DISABLED", "SPIRE", "TEST_ALWAYS_FAIL"] as const;

/** Tells what policy said of a connection (`send_policy_verdict_notify`). */
export function sendPolicyVerdictNotify(
  ctx: TcContext,
  obj: BpfObject,
  remoteLabel: NumericIdentity,
  ingress: boolean,
  check: PolicyCheck,
): void {
  const { events } = obj.maps;
  if (!events.isRead || !obj.config.policyVerdictNotify) return;
  const { verdict, matchType, proxyPort, audited, authType } = check;
  // Of the host's endpoint all is told of but what nobody has asked about.
  if (obj.source === "host" && matchType === POLICY_MATCH_ALL && verdict === TC_ACT_OK) return;
  // Of other endpoints only where policy is enforced.
  const filter = obj.policy?.verdictLogFilter ?? 0;
  if (obj.source === "lxc" && (filter & (ingress ? 1 : 2)) === 0) return;
  // Of what no rule let through there is no policy to name (pkg/policy/correlation).
  const isMatched = verdict >= TC_ACT_OK || verdict === DROP_POLICY_DENY;
  const by = isMatched ? flowPolicies(check.entry?.origin) : undefined;
  ctx.output(events, {
    type: MESSAGE_TYPE["policy-verdict"],
    node: obj.config.nodeName,
    time: ctx.now,
    frame: ctx.skb.frame(),
    l3: !ctx.hasMacHeader,
    source: obj.eventSource,
    ingress,
    remoteLabel,
    verdict: verdict === TC_ACT_OK ? proxyPort : verdict,
    matchType,
    audited,
    authType: AUTH_TYPES[authType] ?? "DISABLED",
    ...(by !== undefined && { by }),
  });
}

/** As flows name the policy that an entry comes from. */
function flowPolicies(origin: Origin | undefined): readonly FlowPolicy[] | undefined {
  if (origin === undefined) return undefined;
  const { kind, namespace, name } = origin;
  return [{ name, kind, ...(namespace !== undefined && { namespace }) }];
}
