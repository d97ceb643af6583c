export type { DeviceKind, KernelFeature } from "./kernel-features.ts";
export { type RuleSet, type Script, type ScriptOptions, script, standalone } from "./script.ts";
export { UnrealizableError } from "./unrealizable-error.ts";
export { checkKernel, down, Realized, up, whyNotHere } from "./up.ts";
