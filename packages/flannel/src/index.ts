export type {
  AllocConf,
  BackendConf,
  BackendType,
  HostGwConf,
  IpipConf,
  UdpConf,
  VxlanConf,
  WireguardConf,
} from "./conf/backend-conf.ts";
export {
  DEFAULT_OPTIONS,
  type FlanneldOptions,
  parseFlanneldArgs,
} from "./conf/flanneld-options.ts";
export {
  type CheckedSubnetRange,
  checkSubnets,
  type NetConf,
  parseNetConf,
  type SubnetRange,
} from "./conf/net-conf.ts";
export { CONFLIST, flannel, flannel as default, RELEASE } from "./flannel.ts";
export { Flanneld, type FlanneldEnvironment } from "./flanneld.ts";
export {
  type AnnotationNames,
  annotationNames,
  type Families,
} from "./lease/annotations.ts";
export { KubeSubnetManager, type KubeSubnetManagerOptions } from "./lease/kube-subnet-manager.ts";
export type { Lease, LeaseAttributes } from "./lease/lease.ts";
export {
  LEASE_TTL_MS,
  LeaseStore,
  type LeaseValue,
  leaseValue,
  parseStoredLease,
  storeKey,
} from "./lease/lease-store.ts";
export { type LeaseEvents, type LeaseStep, LeaseTable } from "./lease/lease-table.ts";
export {
  LocalSubnetManager,
  type LocalSubnetManagerOptions,
} from "./lease/local-subnet-manager.ts";
export { type NextView, NodeLeases, NodeView } from "./lease/node-leases.ts";
export {
  FlanneldError,
  type LeaseUpdate,
  type SubnetManager,
} from "./lease/subnet-manager.ts";
export {
  leasesOfNodes,
  type RenderInput,
  readRenderInput,
  renderFlannel,
} from "./render-flannel.ts";
