import { fileURLToPath } from "node:url";
import { build } from "tsdown";

/**
 * Makes one file of the command and all that it imports. A test starts it some hundred times, and to look for a thousand
 * files takes longer each time than what it is asked to do.
 */
export default async function makeCommand(): Promise<void> {
  await build({
    config: false,
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    entry: ["src/main.ts"],
    outDir: "out", // beside `src`, as the command looks for its package from there
    platform: "node",
    dts: false,
    logLevel: "warn",
    deps: { alwaysBundle: /./ },
  });
}
