import type { NetNamespace } from "@cnilab/linux";
import { formatEndpoint, formatIp } from "@cnilab/net";
import {
  actionText,
  conditionTexts,
  type FlowTuple,
  type VfpAction,
  type VfpFlow,
  type VfpGroup,
  type VfpLayer,
  type VfpPort,
  type VfpRule,
  type VmNic,
  WindowsMachine,
} from "@cnilab/windows";

// The layout follows what Microsoft's troubleshooting guides show of `vfpctrl`; no output of a real one was at hand to compare with.

/**
 * `vfpctrl /list-rule` for every layer and group of the ports behind a compartment; of a host, of all its ports. Groups
 * without rules are left out.
 */
export function vfpRulesText(netns: NetNamespace): string {
  return nicsOf(netns).map(portText).join("\n");
}

/** `vfpctrl /list-unified-flow`: the flows that ports know. */
export function vfpFlowsText(netns: NetNamespace): string {
  const { now } = netns.network.clock;
  const seen = new Set<VfpPort["flows"]>();
  return nicsOf(netns)
    .filter(({ port }) => !seen.has(port.flows) && seen.add(port.flows))
    .map(({ port }) => {
      const flows = [...port.flows.flows(now)].map((flow) => `${flowText(flow, now)}\n`);
      return `${portHead(port)}${flows.join("")}`;
    })
    .join("\n");
}

/** vNICs of a container's compartment, or all of the machine. */
function nicsOf(netns: NetNamespace): VmNic[] {
  const { kernel } = netns;
  if (!(kernel instanceof WindowsMachine)) return [];
  const nics = [...(kernel.hns.vswitch?.nics ?? [])];
  return netns === kernel.initNs ? nics : nics.filter((nic) => nic.netns === netns);
}

function portHead({ id, name }: VfpPort): string {
  return `Port name            : ${id.toUpperCase()}\nPort Friendly name   : ${name}\n`;
}

function portText({ port, mac }: VmNic): string {
  const address = mac.toString(16).padStart(12, "0").match(/../g)?.join("-") ?? "";
  const layers = port.layers.map(layerText).join("");
  return `${portHead(port)}MAC address          : ${address.toUpperCase()}\n${layers}`;
}

function layerText({ name, groups }: VfpLayer): string {
  const texts = groups.filter(({ rules }) => rules.length > 0).map(groupText);
  return texts.length === 0 ? "" : `  LAYER : ${name}\n${texts.join("")}`;
}

function groupText({ name, direction, rules }: VfpGroup): string {
  return `    GROUP : ${name}\n      Direction : ${direction}\n${rules.map(ruleText).join("")}`;
}

function ruleText({ name, priority, condition, action }: VfpRule): string {
  const conditions = conditionTexts(condition);
  const lines = [
    "      RULE :",
    `        Friendly name : ${name}`,
    `        Priority : ${priority}`,
    `        Type : ${action.type}`,
    "        Conditions:",
    ...(conditions.length === 0
      ? ["          <none>"]
      : conditions.map(([what, value]) => `          ${what} : ${value}`)),
    ...ruleData(action).map((line) => `        ${line}`),
  ];
  return `${lines.join("\n")}\n`;
}

function ruleData(action: VfpAction): string[] {
  switch (action.type) {
    case "allow":
    case "block":
      return [];
    case "lbnat": {
      const { dips, dsr, distribution, sourceVip } = action.policy;
      return [
        `Number of DIP Ranges : ${dips.length}`,
        ...dips.map((d) => `DIP Range : { ${formatIp(d.address)} : ${d.port} }`),
        `Distribution : ${distribution}${dsr ? ", DSR" : ""}`,
        ...(sourceVip === undefined ? [] : [`Source VIP : ${formatIp(sourceVip)}`]),
      ];
    }
    default:
      return [`Rule Data : ${actionText(action)}`];
  }
}

function flowText(
  { original, translated, isTranslated, packets, lastUsed }: VfpFlow,
  now: number,
): string {
  const becomes = isTranslated ? ` becomes ${tupleText(translated)}` : "";
  const idle = Math.round((now - lastUsed) / 1000);
  return `  protocol ${original.protocol} ${tupleText(original)}${becomes}, packets ${packets}, idle ${idle} s`;
}

function tupleText({ src, srcPort, dst, dstPort }: FlowTuple): string {
  return `${formatEndpoint(src, srcPort)} > ${formatEndpoint(dst, dstPort)}`;
}
