import {
  type Event,
  type Kind,
  type Kinds,
  type KubeObject,
  kindOf,
  type PrinterColumn,
} from "@cnilab/core";
import { textTable } from "../text-table.ts";
import { age } from "./human-duration.ts";
import {
  gatewayClassRow,
  gatewayRow,
  ingressClassRow,
  ingressRow,
  listenerSetRow,
  namedRouteRow,
  secretRow,
} from "./ingress-row.ts";
import { nodeRow } from "./node-row.ts";
import { podRow } from "./pod-row.ts";
import { labelsText, selectorText } from "./selector-text.ts";
import { endpointSliceRow, endpointsRow, serviceRow } from "./service-row.ts";
import {
  daemonSetRow,
  deploymentRow,
  jobRow,
  replicaSetRow,
  statefulSetRow,
} from "./workload-row.ts";

export interface KubectlTableOptions {
  /** Milliseconds since 1970, by which ages are told: the virtual clock's. */
  readonly now: number;
  /** `-o wide`. */
  readonly wide?: boolean;
  /** `-A`: with the namespace in front. */
  readonly allNamespaces?: boolean;
  /** `--show-labels`. */
  readonly showLabels?: boolean;
  /** `--no-headers`. */
  readonly noHeaders?: boolean;
  /** Columns of a kind that a CNI brings along. */
  readonly printerColumns?: readonly PrinterColumn[];
  /** `pod/web-0` in place of `web-0`, as where several kinds are listed. */
  readonly withKind?: boolean;
}

/** How objects of a kind are shown; wide columns are marked with an asterisk in front. */
interface KindTable<T extends KubeObject> {
  readonly columns: readonly string[];
  row(object: T, now: number, wide: boolean): string[];
}

const CONTAINERS = ["*CONTAINERS", "*IMAGES"];

/** The columns of kube-apiserver 1.35 (pkg/printers/internalversion/printers.go), and those of CustomResourceDefinitions. */
const TABLES: { readonly [K in Kind]?: KindTable<Kinds[K]> } = {
  AdminNetworkPolicy: {
    columns: ["NAME", "PRIORITY", "AGE"],
    row: ({ metadata, spec }, now) => [
      metadata.name,
      String(spec.priority),
      age(metadata.creationTimestamp, now),
    ],
  },
  ClusterNetworkPolicy: {
    columns: ["NAME", "TIER", "PRIORITY", "AGE"],
    row: ({ metadata, spec }, now) => [
      metadata.name,
      spec.tier,
      String(spec.priority),
      age(metadata.creationTimestamp, now),
    ],
  },
  DaemonSet: {
    columns: [
      "NAME",
      "DESIRED",
      "CURRENT",
      "READY",
      "UP-TO-DATE",
      "AVAILABLE",
      "NODE SELECTOR",
      "AGE",
      ...CONTAINERS,
      "*SELECTOR",
    ],
    row: daemonSetRow,
  },
  Deployment: {
    columns: ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", ...CONTAINERS, "*SELECTOR"],
    row: deploymentRow,
  },
  Endpoints: { columns: ["NAME", "ENDPOINTS", "AGE"], row: endpointsRow },
  EndpointSlice: {
    columns: ["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"],
    row: endpointSliceRow,
  },
  Event: {
    columns: [
      "LAST SEEN",
      "TYPE",
      "REASON",
      "OBJECT",
      "*SUBOBJECT",
      "*SOURCE",
      "MESSAGE",
      "*FIRST SEEN",
      "*COUNT",
      "*NAME",
    ],
    row: eventRow,
  },
  Gateway: { columns: ["NAME", "CLASS", "ADDRESS", "PROGRAMMED", "AGE"], row: gatewayRow },
  GatewayClass: {
    columns: ["NAME", "CONTROLLER", "ACCEPTED", "AGE", "*DESCRIPTION"],
    row: gatewayClassRow,
  },
  GRPCRoute: { columns: ["NAME", "HOSTNAMES", "AGE"], row: namedRouteRow },
  HTTPRoute: { columns: ["NAME", "HOSTNAMES", "AGE"], row: namedRouteRow },
  Ingress: { columns: ["NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"], row: ingressRow },
  IngressClass: { columns: ["NAME", "CONTROLLER", "PARAMETERS", "AGE"], row: ingressClassRow },
  Job: {
    columns: ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE", ...CONTAINERS, "*SELECTOR"],
    row: jobRow,
  },
  ListenerSet: { columns: ["NAME", "ACCEPTED", "PROGRAMMED", "AGE"], row: listenerSetRow },
  Namespace: {
    columns: ["NAME", "STATUS", "AGE"],
    row: ({ metadata, status }, now) => [
      metadata.name,
      status?.phase ?? "Active",
      age(metadata.creationTimestamp, now),
    ],
  },
  NetworkPolicy: {
    columns: ["NAME", "POD-SELECTOR", "AGE"],
    row: ({ metadata, spec }, now) => [
      metadata.name,
      selectorText(spec.podSelector),
      age(metadata.creationTimestamp, now),
    ],
  },
  Node: {
    columns: [
      "NAME",
      "STATUS",
      "ROLES",
      "AGE",
      "VERSION",
      "*INTERNAL-IP",
      "*EXTERNAL-IP",
      "*OS-IMAGE",
      "*KERNEL-VERSION",
      "*CONTAINER-RUNTIME",
    ],
    row: nodeRow,
  },
  Pod: {
    columns: [
      "NAME",
      "READY",
      "STATUS",
      "RESTARTS",
      "AGE",
      "*IP",
      "*NODE",
      "*NOMINATED NODE",
      "*READINESS GATES",
    ],
    row: podRow,
  },
  ReplicaSet: {
    columns: ["NAME", "DESIRED", "CURRENT", "READY", "AGE", ...CONTAINERS, "*SELECTOR"],
    row: replicaSetRow,
  },
  Secret: { columns: ["NAME", "TYPE", "DATA", "AGE"], row: secretRow },
  Service: {
    columns: ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "*SELECTOR"],
    row: serviceRow,
  },
  ServiceAccount: {
    columns: ["NAME", "SECRETS", "AGE"],
    row: ({ metadata, secrets = [] }, now) => [
      metadata.name,
      String(secrets.length),
      age(metadata.creationTimestamp, now),
    ],
  },
  StatefulSet: {
    columns: ["NAME", "READY", "AGE", ...CONTAINERS],
    row: statefulSetRow,
  },
};

/** Kinds that have no columns of their own, as custom resources. */
const ANY_KIND: KindTable<KubeObject> = {
  columns: ["NAME", "AGE"],
  row: ({ metadata }, now) => [metadata.name, age(metadata.creationTimestamp, now)],
};

/** As apiextensions-apiserver makes a table of a CustomResourceDefinition's columns (pkg/registry/customresource/tableconvertor). */
function customTable(columns: readonly PrinterColumn[] | undefined): KindTable<KubeObject> {
  if (columns === undefined) return ANY_KIND;
  return {
    columns: [
      "NAME",
      ...columns.map(({ name, wide }) => `${wide ? "*" : ""}${name.toUpperCase()}`),
    ],
    row: (object, now) => [
      object.metadata.name,
      ...columns.map((column) => customCell(column, object, now)),
    ],
  };
}

function customCell({ type, value }: PrinterColumn, object: KubeObject, now: number): string {
  const found = value(object);
  if (found === undefined || found === null) return "";
  if (type === "date") return age(String(found), now);
  return typeof found === "object" ? JSON.stringify(found) : String(found);
}

function eventRow(event: Event, now: number): string[] {
  const { involvedObject: object, lastTimestamp, firstTimestamp } = event;
  return [
    age(lastTimestamp ?? firstTimestamp, now),
    event.type,
    event.reason,
    object.name === "" ? object.kind.toLowerCase() : `${object.kind.toLowerCase()}/${object.name}`,
    "",
    event.source?.component ?? "",
    event.message.trim(),
    age(firstTimestamp, now),
    String(event.count ?? 1),
    event.metadata.name,
  ];
}

/** Head and rows of the table that `kubectl get` prints; objects are of one kind. */
export function kubectlRows(
  objects: readonly KubeObject[],
  options: KubectlTableOptions,
): { readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] } {
  const [first] = objects;
  const known = first === undefined ? undefined : TABLES[kindOf(first)];
  const table = (known ?? customTable(options.printerColumns)) as KindTable<KubeObject>;
  const wide = options.wide === true;
  const shown = (cells: readonly string[]): string[] =>
    cells.filter((_, i) => wide || !table.columns[i]?.startsWith("*"));
  const head = shown(table.columns).map((name) => name.replace("*", ""));
  const rows = objects.map((object) => {
    const cells = shown(table.row(object, options.now, wide));
    if (options.withKind) cells[0] = `${resourceName(object)}/${cells[0]}`;
    if (options.allNamespaces) cells.unshift(object.metadata.namespace ?? "");
    if (options.showLabels) cells.push(labelsText(object.metadata.labels));
    return cells;
  });
  if (options.allNamespaces) head.unshift("NAMESPACE");
  if (options.showLabels) head.push("LABELS");
  return { head, rows };
}

/** `kubectl get KIND` of objects of one kind; empty for none, which kubectl tells on stderr. */
export function kubectlTable(objects: readonly KubeObject[], options: KubectlTableOptions): string {
  if (objects.length === 0) return "";
  const { head, rows } = kubectlRows(objects, options);
  // minwidth and padding of kubectl's tabwriter (cli-runtime pkg/printers/tabwriter.go)
  return textTable(options.noHeaders ? rows : [head, ...rows], { gap: 3, minWidth: 6 });
}

/** `kubectl get -o name`: `pod/web-0`, `deployment.apps/web`. */
export function kubectlNames(objects: readonly KubeObject[]): string {
  return objects.map((o) => `${resourceName(o)}/${o.metadata.name}\n`).join("");
}

/** The kind in lower case with its API group, as `deployment.apps`. */
function resourceName({ apiVersion, kind }: KubeObject): string {
  const slash = apiVersion.indexOf("/");
  const name = kind.toLowerCase();
  return slash < 0 ? name : `${name}.${apiVersion.slice(0, slash)}`;
}
