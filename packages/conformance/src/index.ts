export * from "./check.ts";
export { CHECKS } from "./checks.ts";
export * from "./conformance.ts";
