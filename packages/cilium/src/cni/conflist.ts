import { CONFIG_FOLDER } from "@cnilab/cni-plugins";

/** What the agent writes when it is ready (`write-cni-conf-when-ready`). */
export const CONFLIST_FILE: string = `${CONFIG_FOLDER}/05-cilium.conflist`;

/** daemon/cmd/cni/config.go, for `cni-chaining-mode: none`. */
export const CONFLIST_TEXT: string = `${JSON.stringify(
  {
    cniVersion: "0.3.1",
    name: "cilium",
    plugins: [
      {
        type: "cilium-cni",
        "enable-debug": false,
        "log-file": "/var/run/cilium/cilium-cni.log",
      },
    ],
  },
  undefined,
  2,
)}\n`;
