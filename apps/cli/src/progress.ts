import type { Cluster } from "@cnilab/cluster";
import type { ProgramIo } from "./program-io.ts";

/** Pods between two looks at the terminal, which costs more than a pod does. */
const STEP = 50;

/** Counts on a terminal's last line how far the cluster is; call what it returns when it is there. */
export function showProgress(io: ProgramIo, cluster: Cluster): () => void {
  const { stderr } = io;
  if (!stderr.isTTY) return () => {};
  let pods = 0;
  let nodes = 0;
  const subscription = cluster.events$.subscribe(({ kind }) => {
    if (kind === "node-ready") nodes++;
    else if (kind === "pod-attached") pods++;
    else return;
    if ((pods + nodes) % STEP === 1) {
      stderr.write(`\r\x1b[KBringing the cluster up: ${nodes} nodes ready, ${pods} pods joined`);
    }
  });
  return () => {
    subscription.unsubscribe();
    stderr.write("\r\x1b[K");
  };
}
