import { formatIp } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { protocolName } from "../netfilter/protocol-names.ts";
import type { XfrmPolicy } from "./xfrm-policy.ts";
import type { XfrmMark, XfrmState } from "./xfrm-state.ts";

// As iproute2's ip/ipxfrm.c prints it, spaces at ends of lines included.

const ANY = { 4: "0.0.0.0/0", 6: "::/0" } as const;
const BITS_OF_WORD = 32;
const WORDS_A_LINE = 8;

/** `ip xfrm state` */
export function xfrmStateText(netns: NetNamespace): string {
  return (netns.findXfrm()?.states ?? []).map(stateText).join("");
}

/** `ip xfrm policy` */
export function xfrmPolicyText(netns: NetNamespace): string {
  return (netns.findXfrm()?.policies ?? []).map(policyText).join("");
}

function stateText(state: XfrmState): string {
  const { src, dst, spi, reqid = 0, mark, aead, esn = false, replayWindow = 0 } = state.spec;
  const any = ANY[typeof src === "number" ? 4 : 6];
  const full = typeof src === "number" ? "32" : "128";
  const lines = [
    `src ${formatIp(src)} dst ${formatIp(dst)}`,
    `\tproto esp spi ${spiText(spi)} reqid ${reqid} mode transport`,
    esn ? "\treplay-window 0 flag esn" : `\treplay-window ${Math.min(replayWindow, 32)} `,
    ...markLines(mark),
    ...(aead === undefined ? [] : [`\taead ${aead.name} 0x${aead.key} ${aead.icvBits}`]),
    ...(esn
      ? esnLines(state, replayWindow)
      : [
          `\tanti-replay context: seq ${hex(state.received)}, oseq ${hex(state.sent)}, bitmap 0x00000000`,
        ]),
    aead === undefined
      ? `\tsel src ${formatIp(src)}/${full} dst ${formatIp(dst)}/${full} `
      : `\tsel src ${any} dst ${any} `,
  ];
  return `${lines.join("\n")}\n`;
}

function esnLines({ received, sent }: XfrmState, replayWindow: number): string[] {
  const words = Math.ceil(replayWindow / BITS_OF_WORD);
  const lines = [
    "\tanti-replay esn context:",
    `\t seq-hi ${hex(high(received))}, seq ${hex(received >>> 0)}, oseq-hi ${hex(high(sent))}, oseq ${hex(sent >>> 0)}`,
    `\t replay_window ${replayWindow}, bitmap-length ${words}`,
  ];
  const bitmap = bitmapWords(received, replayWindow, words).reverse();
  for (let at = 0; at < words; at += WORDS_A_LINE) {
    const some = bitmap.slice(at, at + WORDS_A_LINE);
    lines.push(`\t ${some.map((word) => `${word.toString(16).padStart(8, "0")} `).join("")}`);
  }
  return lines;
}

/** One bit for each number of the window that came; here all do, in order (`xfrm_replay_advance_esn`). */
function bitmapWords(received: number, replayWindow: number, words: number): number[] {
  const bitmap: number[] = new Array(words).fill(0);
  for (let n = Math.max(1, received - replayWindow + 1); n <= received; n++) {
    const bit = (n - 1) % replayWindow;
    const word = Math.floor(bit / BITS_OF_WORD);
    bitmap[word] = ((bitmap[word] as number) | (1 << (bit % BITS_OF_WORD))) >>> 0;
  }
  return bitmap;
}

function policyText(policy: XfrmPolicy): string {
  const { src, dst, protocol, srcPort, dstPort, mark, priority = 0, action, template } = policy;
  const selector = [
    `src ${src} dst ${dst} `,
    protocol === undefined ? "" : `proto ${protocolName(protocol)} `,
    srcPort === undefined ? "" : `sport ${srcPort} `,
    dstPort === undefined ? "" : `dport ${dstPort} `,
  ].join("");
  const blocks = action === "block" ? "action block " : "";
  const lines = [
    selector,
    `\tdir out ${blocks}priority ${priority} ptype main `,
    ...markLines(mark),
  ];
  if (template !== undefined) {
    const { src: from, dst: to, spi, reqid = 0 } = template;
    const named = spi === undefined ? "" : `spi ${spiText(spi)} `;
    lines.push(
      `\ttmpl src ${formatIp(from)} dst ${formatIp(to)}`,
      `\t\tproto esp ${named}reqid ${reqid} mode transport`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function markLines(mark: XfrmMark | undefined): string[] {
  return mark === undefined ? [] : [`\tmark ${hex(mark.value)}/${hex(mark.mask)} `];
}

function spiText(spi: number): string {
  return `0x${spi.toString(16).padStart(8, "0")}`;
}

function high(sequence: number): number {
  return Math.floor(sequence / 2 ** BITS_OF_WORD);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
