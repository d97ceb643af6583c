// What an API server knows of Cilium's kinds, without anything that runs.
export { ALPHA_VERSION, GROUP, VERSION } from "./api/kinds.ts";
export { CILIUM_RESOURCES } from "./api/resources.ts";
