export { UnrealizableError } from "./devices.ts";
export { type RuleSet, type Script, type ScriptOptions, script } from "./script.ts";
export { checkKernel, down, Realized, up, whyNotHere } from "./up.ts";
