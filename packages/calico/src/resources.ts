// What an API server knows of Calico's kinds, without anything that runs.
import type {} from "./api/kinds.ts";

export { CALICO_RESOURCES } from "./api/resources.ts";
