import { NO_CNI } from "../load-model.ts";
import { plural } from "../text-layout.ts";
import type { Comparison } from "./comparison.ts";
import type { Finding } from "./finding.ts";

/** How much there is of what was compared. */
export function titleText({ findings }: Comparison): string {
  const [first] = findings;
  if (first === undefined) return "";
  const { nodes, pods, services } = first.size;
  const counts = [
    `${plural(pods, "pod")} on ${plural(nodes, "node")}`,
    plural(services, "Service"),
    first.policies.total === 1 ? "1 policy" : `${first.policies.total} policies`,
  ];
  const by = [...new Set(findings.map(({ size }) => size.servicesBy))];
  const proxy = by.length === 1 ? `; Services by ${by[0]}` : "";
  return `The same input on ${findings.length} CNIs: ${counts.join(", ")}${proxy}`;
}

/** Which of all pairs and Services the figures are of; empty where nothing got through. */
export function askedText(
  { sameNode, acrossNodes, nodePort }: Comparison,
  short: (text: string) => string,
): string {
  const service = acrossNodes?.found.find((walk) => walk?.service !== undefined)?.service?.name;
  const parts = [
    ...(sameNode === undefined ? [] : [`${sameNode.name} (same node)`]),
    ...(acrossNodes === undefined ? [] : [`${acrossNodes.name} (other node)`]),
    ...(service === undefined ? [] : [`Service ${service}`]),
    ...(nodePort === undefined ? [] : [`NodePort of ${nodePort.name}`]),
  ];
  return parts.length === 0 ? "" : `Measured: ${parts.map(short).join(", ")}`;
}

/** Options of those whose names do not tell them. */
export function optionTexts({ findings }: Comparison): string[] {
  return findings.flatMap(({ cni: { label, settings } }) =>
    settings.length === 0 || label.includes(":") ? [] : [`${label} has ${settings.join(", ")}`],
  );
}

/** In a sentence, where `none` would be nobody. */
export function nameOf({ cni: { label } }: Finding): string {
  return label === NO_CNI ? `--cni ${NO_CNI}` : label;
}

/** Over a column: with the release, where no options tell it apart already. */
export function headOf({ cni: { label, release } }: Finding): string {
  return release === "" || label.includes(":") ? label : `${label} ${release}`;
}
