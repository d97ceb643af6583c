export { type BpfCommandOptions, bpfOutput } from "./bpf-command.ts";
export { identityLabels } from "./identity-labels.ts";
export type { DbgOutput } from "./listing.ts";
export type { IdentityLabels } from "./policy.ts";
