#!/usr/bin/env node
import process from "node:process";
import { report, runProgram } from "./run-program.ts";

// A reader that has seen enough, as `head`, closes the pipe: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
  throw error;
});
// What an agent throws inside a stream comes this way. An interrupt is left to the kernel: the walk of
// packets never waits for an event, and whoever dies of SIGINT exits with 130 in every shell.
process.on("uncaughtException", (error) => process.exit(report(process, error)));

await runProgram(process);
