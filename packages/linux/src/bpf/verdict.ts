/** What a program on a device's way in or out says (include/uapi/linux/pkt_cls.h). */
export const TC_ACT_UNSPEC = -1;
export const TC_ACT_OK = 0;
export const TC_ACT_RECLASSIFY = 1;
export const TC_ACT_SHOT = 2;
export const TC_ACT_PIPE = 3;
export const TC_ACT_STOLEN = 4;
export const TC_ACT_QUEUED = 5;
export const TC_ACT_REPEAT = 6;
export const TC_ACT_REDIRECT = 7;
export const TC_ACT_TRAP = 8;

/** The same for programs of tcx (include/uapi/linux/bpf.h `enum tcx_action_base`). */
export const TCX_NEXT = -1;
export const TCX_PASS = 0;
export const TCX_DROP = 2;
export const TCX_REDIRECT = 7;

/** What an XDP program says (`enum xdp_action`). */
export const XDP_ABORTED = 0;
export const XDP_DROP = 1;
export const XDP_PASS = 2;
export const XDP_TX = 3;
export const XDP_REDIRECT = 4;

/** What a program of a cgroup says. */
export const SK_DROP = 0;
export const SK_PASS = 1;

/** Flags of `bpf_redirect`: into the device's way in, not out. */
export const BPF_F_INGRESS = 1;

const TC_NAMES: Readonly<Record<number, string>> = {
  [TC_ACT_UNSPEC]: "UNSPEC",
  [TC_ACT_OK]: "OK",
  [TC_ACT_RECLASSIFY]: "RECLASSIFY",
  [TC_ACT_SHOT]: "SHOT",
  [TC_ACT_PIPE]: "PIPE",
  [TC_ACT_STOLEN]: "STOLEN",
  [TC_ACT_QUEUED]: "QUEUED",
  [TC_ACT_REPEAT]: "REPEAT",
  [TC_ACT_REDIRECT]: "REDIRECT",
  [TC_ACT_TRAP]: "TRAP",
};

const XDP_NAMES = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"] as const;

export function tcVerdictName(verdict: number): string {
  const name = TC_NAMES[verdict];
  return name === undefined ? `action ${verdict}` : `TC_ACT_${name}`;
}

export function xdpVerdictName(verdict: number): string {
  return XDP_NAMES[verdict] ?? `action ${verdict}`;
}
