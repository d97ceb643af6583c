// What an API server checks of an object's fields, and how it tells; for kinds of one's own.
export * from "./validation/field-check.ts";
export * from "./validation/field-error.ts";
export { selector } from "./validation/label-selector-check.ts";
export { networkPolicyFields } from "./validation/network-policy-check.ts";
