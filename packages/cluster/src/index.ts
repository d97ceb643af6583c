export * from "./api/admission.ts";
export * from "./api/api-error.ts";
export { isNamespaced } from "./api/kind-scope.ts";
export * from "./cluster.ts";
export * from "./cluster-node.ts";
export { clusterConfig } from "./cluster-settings.ts";
export { AddressBook, type AddressHolder } from "./connect/address-book.ts";
export {
  type Connection,
  Connector,
  type ConnectProtocol,
  type ConnectRequest,
  type HttpCall,
  type HttpConnection,
  type Located,
  type NodeNamespaces,
  type Surroundings,
} from "./connect/connection.ts";
export { type Endpoint, type EndpointScope, parseEndpoint } from "./connect/endpoint.ts";
export { askHttp, type HttpAsk, type HttpOutcome } from "./connect/http-request.ts";
export {
  lookUp,
  type NameAnswer,
  type NameAsker,
  type NameLookup,
  query,
  whyUnresolved,
} from "./connect/name-lookup.ts";
export { slicesOf } from "./connect/service-endpoints.ts";
export { describeDrop, reasonOf, type Verdict, verdictOf } from "./connect/verdict.ts";
export type { ReplicationController } from "./controllers/replica-set.ts";
export { ContainerFiles } from "./kubelet/container-files.ts";
export {
  ContainerProcess,
  type ModelledProgram,
  type ProgramSurroundings,
} from "./kubelet/container-process.ts";
export * from "./kubelet/kubelet.ts";
export { type PodFilesContext, podFile } from "./kubelet/pod-files.ts";
export { checkManifest } from "./manifest/parse-manifests.ts";
export { storedVersion } from "./manifest/stored-version.ts";
export * from "./objects.ts";
export { enforcedKinds } from "./policy-warnings.ts";
export { type NameSource, OutsideDns } from "./underlay/outside-dns.ts";
export { type PublicName, PublicNames } from "./underlay/public-names.ts";
export * from "./underlay/underlay.ts";
