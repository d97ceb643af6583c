/** How parts of a text look. Terminals, browsers and plain files each bring their own. */
export interface TraceStyle {
  /** Node and namespace. */
  place(text: string): string;
  /** The head of a packet. */
  packet(text: string): string;
  /** The word in front of a step. */
  label(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  /** What matters less. */
  faint(text: string): string;
}

const same = (text: string): string => text;

export const PLAIN_STYLE: TraceStyle = {
  place: same,
  packet: same,
  label: same,
  good: same,
  bad: same,
  faint: same,
};

const sgr =
  (code: number) =>
  (text: string): string =>
    `\u001b[${code}m${text}\u001b[0m`;

/** Colours of a terminal (ECMA-48 SGR). */
export const ANSI_STYLE: TraceStyle = {
  place: sgr(1),
  packet: sgr(36),
  label: sgr(34),
  good: sgr(32),
  bad: sgr(31),
  faint: sgr(2),
};
