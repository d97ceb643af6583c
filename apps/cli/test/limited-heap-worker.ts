import { parentPort } from "node:worker_threads";
import { type Call, cnilab } from "./cnilab.ts";

parentPort?.on("message", async ({ args, call }: { args: readonly string[]; call: Call }) => {
  parentPort?.postMessage(await cnilab(args, call));
});
