import { CONFIG_FOLDER } from "@cnilab/cni-plugins";

export const CONFLIST_FILE: string = `${CONFIG_FOLDER}/10-weave.conflist`;

/** What the init container writes where there is none yet (`weave setup-cni`). */
export const CONFLIST_TEXT: string = `${JSON.stringify(
  {
    cniVersion: "0.3.0",
    name: "weave",
    plugins: [
      { name: "weave", type: "weave-net", hairpinMode: true },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  },
  undefined,
  4,
)}\n`;
