// What an API server keeps, without the machines: whoever only reads objects does not load a kernel.
export * from "./api/api-store.ts";
export { CustomResources } from "./api/custom-resources.ts";
export {
  type ParsedManifests,
  type ParseOptions,
  parseManifests,
} from "./manifest/parse-manifests.ts";
