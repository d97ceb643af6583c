import type { NetNamespace, XfrmMark, XfrmPolicy, XfrmState } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";

/** `ip xfrm …`: associations with keys, then policies, in the order in which they came. Sequence numbers begin anew at both ends. */
export function ipsecLines(netns: NetNamespace): string[] {
  const xfrm = netns.findXfrm();
  if (xfrm === undefined) return [];
  const states = xfrm.states.filter(({ isValid }) => isValid).toReversed();
  return [...states.map(stateLine), ...xfrm.policies.toReversed().map(policyLine)];
}

function stateLine({ spec }: XfrmState): string {
  const { src, dst, spi, reqid = 0, mark, replayWindow = 0, esn = false, aead } = spec;
  return [
    `xfrm state add src ${formatIp(src)} dst ${formatIp(dst)} proto esp spi ${spi}`,
    `reqid ${reqid} mode transport replay-window ${replayWindow}`,
    ...(esn ? ["flag esn"] : []),
    ...markWords(mark),
    ...(aead === undefined ? [] : [`aead ${aead.name} 0x${aead.key} ${aead.icvBits}`]),
  ].join(" ");
}

function policyLine(policy: XfrmPolicy): string {
  const { src, dst, protocol, srcPort, dstPort, mark, priority = 0, action, template } = policy;
  return [
    `xfrm policy add src ${src} dst ${dst}`,
    ...(protocol === undefined ? [] : [`proto ${protocol}`]),
    ...(srcPort === undefined ? [] : [`sport ${srcPort}`]),
    ...(dstPort === undefined ? [] : [`dport ${dstPort}`]),
    "dir out",
    ...markWords(mark),
    `action ${action} priority ${priority}`,
    ...(template === undefined ? [] : [templateWords(template)]),
  ].join(" ");
}

function templateWords({ src, dst, spi, reqid = 0 }: NonNullable<XfrmPolicy["template"]>): string {
  const named = spi === undefined ? "" : ` spi ${spi}`;
  return `tmpl src ${formatIp(src)} dst ${formatIp(dst)} proto esp${named} reqid ${reqid} mode transport`;
}

function markWords(mark: XfrmMark | undefined): string[] {
  return mark === undefined ? [] : [`mark ${mark.value} mask ${mark.mask}`];
}
