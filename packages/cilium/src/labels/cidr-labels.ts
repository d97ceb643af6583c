import {
  familyOf,
  formatIp,
  type InterfaceAddress,
  type Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import { LABEL_SOURCE, type Label, label } from "./label.ts";
import { type LabelSet, labelSet } from "./label-set.ts";
import { worldLabel } from "./reserved-labels.ts";

// Labels of ranges of addresses (pkg/labels/cidr.go).

/** `cidr:10.0.0.0/8`. Colons of IPv6 become hyphens, since keys of selectors have none: `cidr:2001-db8--0/32`. */
export function cidrLabel({ address, length }: Prefix | InterfaceAddress): Label {
  return label(LABEL_SOURCE.cidr, cidrKey(formatIp(address), length));
}

/** Of a range, whose host bits are cleared, or of one address. `undefined` where it is neither. */
export function parseCidrLabel(text: string): Label | undefined {
  if (text.includes("/")) {
    const prefix = tryParsePrefix(text);
    return prefix && cidrLabel(prefix);
  }
  const address = tryParseIp(text);
  if (address === undefined) return undefined;
  return label(LABEL_SOURCE.cidr, cidrKey(text, familyOf(address) === 4 ? 32 : 128));
}

/** A key of Kubernetes neither starts nor ends with a hyphen. */
function cidrKey(address: string, length: number): string {
  const key = address.replaceAll(":", "-");
  return `${key.startsWith("-") ? "0" : ""}${key}${key.endsWith("-") ? "0" : ""}/${length}`;
}

/** What an address of the range has, unless more is known of it. All addresses are the world, and nothing more. */
export function cidrLabels(prefix: Prefix | InterfaceAddress, dualStack: boolean): LabelSet {
  const world = worldLabel(familyOf(prefix.address), dualStack);
  return prefix.length === 0 ? [world] : labelSet([cidrLabel(prefix), world]);
}

/** The same for a text. `undefined` where it is no range. */
export function parseCidrLabels(text: string, dualStack: boolean): LabelSet | undefined {
  const given = tryParseInterfaceAddress(text);
  return given && cidrLabels(given, dualStack);
}
