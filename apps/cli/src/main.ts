#!/usr/bin/env node
import { readFileSync } from "node:fs";

const { version } = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
) as { version: string };

const [command = ""] = process.argv.slice(2);
if (command === "--version") {
  console.log(version);
} else if (command === "run") {
  console.log("cnilab cannot run a cluster yet: the command line is being written.");
} else {
  console.error(`cnilab: there is no command "${command}" yet, only --version.`);
  process.exitCode = 2;
}
