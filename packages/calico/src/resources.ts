// What an API server knows of Calico's kinds, without anything that runs.
export { GROUP, VERSION_CURRENT } from "./api/kinds.ts";
export { CALICO_RESOURCES } from "./api/resources.ts";
