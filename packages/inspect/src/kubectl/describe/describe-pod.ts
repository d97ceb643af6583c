import type {
  Container,
  ContainerState,
  ContainerStatus,
  Pod,
  PodSpec,
  Probe,
  Toleration,
  Volume,
} from "@cnilab/core";
import { controllerOf, type Description, rfc1123 } from "./description.ts";

/** `kubectl describe pod` (pkg/describe `describePod`). */
export function describePod(to: Description, pod: Pod): void {
  const { metadata, spec, status } = pod;
  to.head(pod);
  if (spec.serviceAccountName) to.field("Service Account", spec.serviceAccountName);
  to.field("Node", spec.nodeName ? `${spec.nodeName}/${status?.hostIP ?? ""}` : "<none>");
  if (status?.startTime) to.field("Start Time", rfc1123(status.startTime));
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  to.field("Status", status?.phase ?? "");
  if (status?.reason) to.field("Reason", status.reason);
  if (status?.message) to.field("Message", status.message);
  to.field("IP", status?.podIP ?? "");
  const ips = status?.podIPs ?? [];
  if (ips.length === 0) to.field("IPs", "<none>");
  else {
    to.line(0, "IPs:");
    for (const { ip } of ips) to.line(1, `IP:\t${ip}`);
  }
  const controller = controllerOf(pod);
  if (controller !== undefined) to.field("Controlled By", controller);
  if (spec.initContainers?.length) {
    const statuses = status?.initContainerStatuses ?? [];
    describeContainers(to, "Init Containers", spec.initContainers, "", statuses, pod);
  }
  describeContainers(to, "Containers", spec.containers, "", status?.containerStatuses ?? [], pod);
  if (status?.conditions?.length) {
    to.line(0, "Conditions:");
    to.line(0, "  Type\tStatus");
    for (const { type, status: state } of status.conditions) to.line(1, `${type} \t${state} `);
  }
  describeVolumes(to, spec.volumes ?? [], "");
  to.field("QoS Class", qosClass(pod));
  to.labels("Node-Selectors", spec.nodeSelector);
  to.list("Tolerations", tolerations(spec));
}

/** What a workload makes pods of (`DescribePodTemplate`). */
export function describePodTemplate(
  to: Description,
  { metadata, spec }: { readonly metadata?: Partial<Pod["metadata"]>; readonly spec: PodSpec },
): void {
  to.line(0, "Pod Template:");
  to.labels("  Labels", metadata?.labels);
  if (Object.keys(metadata?.annotations ?? {}).length > 0)
    to.annotations("  Annotations", metadata?.annotations);
  if (spec.serviceAccountName) to.line(1, `Service Account:\t${spec.serviceAccountName}`);
  if (spec.initContainers?.length)
    describeContainers(to, "Init Containers", spec.initContainers, "  ");
  describeContainers(to, "Containers", spec.containers, "  ");
  describeVolumes(to, spec.volumes ?? [], "  ");
  to.labels("  Node-Selectors", spec.nodeSelector);
  to.list("  Tolerations", tolerations(spec));
}

/** Fields that are shown, and that nothing else here reads. */
interface ShownContainer extends Container {
  readonly resources?: {
    readonly limits?: Readonly<Record<string, string | number>>;
    readonly requests?: Readonly<Record<string, string | number>>;
  };
}

function describeContainers(
  to: Description,
  title: string,
  containers: readonly ShownContainer[],
  space: "" | "  ",
  statuses: readonly ContainerStatus[] = [],
  pod?: Pod,
): void {
  to.line(0, `${space}${title}:${containers.length === 0 ? " <none>" : ""}`);
  for (const container of containers) {
    const status = statuses.find(({ name }) => name === container.name);
    to.line(1, `${space === "" ? "" : " "}${container.name}:`);
    describeImage(to, container, status);
    describePorts(to, container);
    describeWords(to, "Command", container.command);
    describeWords(to, "Args", container.args);
    if (status !== undefined) describeState(to, status);
    const { limits = {}, requests = {} } = container.resources ?? {};
    describeQuantities(to, "Limits", limits);
    describeQuantities(to, "Requests", requests);
    if (container.livenessProbe) to.line(2, `Liveness:\t${probeText(container.livenessProbe)}`);
    if (container.readinessProbe) to.line(2, `Readiness:\t${probeText(container.readinessProbe)}`);
    if (container.startupProbe) to.line(2, `Startup:\t${probeText(container.startupProbe)}`);
    describeEnvironment(to, container, pod);
    describeMounts(to, container);
  }
}

function describeImage(
  to: Description,
  { image = "" }: Container,
  status: (ContainerStatus & { containerID?: string; imageID?: string }) | undefined,
): void {
  if (status !== undefined) to.line(2, `Container ID:\t${status.containerID ?? ""}`);
  to.line(2, `Image:\t${image}`);
  if (status !== undefined) to.line(2, `Image ID:\t${status.imageID ?? ""}`);
}

function describePorts(to: Description, { ports = [] }: Container): void {
  const own = ports.map(({ name, containerPort, protocol = "TCP" }) => {
    const port = `${containerPort}/${protocol}`;
    return name ? `${port} (${name})` : port;
  });
  const ofHost = ports.map(({ hostPort = 0, protocol = "TCP" }) => `${hostPort}/${protocol}`);
  for (const [title, texts] of [
    ["Port", own],
    ["Host Port", ofHost],
  ] as const) {
    to.line(2, `${title}${texts.length > 1 ? "s" : ""}:\t${texts.join(", ") || "<none>"}`);
  }
}

function describeWords(to: Description, title: string, words: readonly string[] = []): void {
  if (words.length === 0) return;
  to.line(2, `${title}:`);
  for (const line of words.flatMap((word) => word.split("\n"))) to.line(3, line);
}

function describeState(to: Description, status: ContainerStatus): void {
  describeOneState(to, "State", status.state ?? {});
  const { lastState } = status;
  if (lastState?.terminated !== undefined) describeOneState(to, "Last State", lastState);
  to.line(2, `Ready:\t${status.ready ? "True" : "False"}`);
  to.line(2, `Restart Count:\t${status.restartCount ?? 0}`);
}

function describeOneState(
  to: Description,
  title: string,
  { running, waiting, terminated }: ContainerState,
): void {
  if (running !== undefined) {
    to.line(2, `${title}:\tRunning`);
    to.line(3, `Started:\t${rfc1123(running.startedAt)}`);
  } else if (waiting !== undefined || terminated === undefined) {
    to.line(2, `${title}:\tWaiting`);
    if (waiting?.reason) to.line(3, `Reason:\t${waiting.reason}`);
  } else {
    const { reason, message, exitCode, startedAt, finishedAt } = terminated as Terminated;
    to.line(2, `${title}:\tTerminated`);
    if (reason) to.line(3, `Reason:\t${reason}`);
    if (message) to.line(3, `Message:\t${message}`);
    to.line(3, `Exit Code:\t${exitCode ?? 0}`);
    to.line(3, `Started:\t${rfc1123(startedAt)}`);
    to.line(3, `Finished:\t${rfc1123(finishedAt)}`);
  }
}

interface Terminated {
  readonly reason?: string;
  readonly message?: string;
  readonly exitCode?: number;
  readonly startedAt?: string;
  readonly finishedAt?: string;
}

function describeQuantities(
  to: Description,
  title: string,
  quantities: Readonly<Record<string, string | number>>,
): void {
  const names = Object.keys(quantities).sort();
  if (names.length > 0) to.line(2, `${title}:`);
  for (const name of names) to.line(3, `${name}:\t${quantities[name]}`);
}

/** `DescribeProbe`. */
function probeText(probe: Probe): string {
  const { initialDelaySeconds = 0, timeoutSeconds = 1, periodSeconds = 10 } = probe;
  const { successThreshold = 1, failureThreshold = 3, httpGet, tcpSocket, grpc } = probe;
  const how = `delay=${initialDelaySeconds}s timeout=${timeoutSeconds}s period=${periodSeconds}s successThreshold=${successThreshold} failureThreshold=${failureThreshold}`;
  const { command } = (probe.exec ?? {}) as { readonly command?: readonly string[] };
  if (probe.exec !== undefined) return `exec [${(command ?? []).join(" ")}] ${how}`;
  if (httpGet !== undefined) {
    const { scheme = "HTTP" } = httpGet as { readonly scheme?: string };
    const host = `${httpGet.host ?? ""}:${httpGet.port}`;
    return `http-get ${scheme.toLowerCase()}://${host}${httpGet.path ?? ""} ${how}`;
  }
  if (tcpSocket !== undefined) return `tcp-socket ${tcpSocket.host ?? ""}:${tcpSocket.port} ${how}`;
  if (grpc !== undefined) return `grpc <pod>:${grpc.port}  ${how}`;
  return `unknown ${how}`;
}

interface ValueFrom {
  readonly fieldRef?: { readonly apiVersion?: string; readonly fieldPath: string };
  readonly resourceFieldRef?: { readonly resource: string };
  readonly secretKeyRef?: KeyReference;
  readonly configMapKeyRef?: KeyReference;
}

interface KeyReference {
  readonly name?: string;
  readonly key: string;
  readonly optional?: boolean;
}

function describeEnvironment(to: Description, { env = [] }: Container, pod: Pod | undefined): void {
  to.line(2, `Environment:${env.length === 0 ? "\t<none>" : ""}`);
  for (const { name, value = "", valueFrom } of env) {
    const from = valueFrom as ValueFrom | undefined;
    if (from === undefined) {
      const [first, ...more] = value.split("\n");
      to.line(3, `${name}:\t${first}`);
      for (const line of more) to.line(3, `\t${line}`);
    } else if (from.fieldRef !== undefined) {
      const { apiVersion = "v1", fieldPath } = from.fieldRef;
      to.line(3, `${name}:\t${podField(pod, fieldPath)} (${apiVersion}:${fieldPath})`);
    } else if (from.resourceFieldRef !== undefined) {
      to.line(3, `${name}:\t (${from.resourceFieldRef.resource})`);
    } else if (from.secretKeyRef !== undefined) {
      const { key, name: secret = "", optional = false } = from.secretKeyRef;
      const text = `<set to the key '${key}' in secret '${secret}'>`;
      to.line(3, `${name}:\t${text}\tOptional: ${optional}`);
    } else if (from.configMapKeyRef !== undefined) {
      const { key, name: map = "", optional = false } = from.configMapKeyRef;
      const text = `<set to the key '${key}' of config map '${map}'>`;
      to.line(3, `${name}:\t${text}\tOptional: ${optional}`);
    }
  }
}

/** What the downward API hands out. */
function podField(pod: Pod | undefined, path: string): string {
  if (pod === undefined) return "";
  const key = /^metadata\.(labels|annotations)\['([^']*)'\]$/.exec(path);
  if (key !== null)
    return pod.metadata[key[1] as "labels" | "annotations"]?.[key[2] as string] ?? "";
  let value: unknown = pod;
  for (const step of path.split("."))
    value = (value as Record<string, unknown> | undefined)?.[step];
  if (Array.isArray(value)) return value.map(({ ip }) => ip).join(",");
  return typeof value === "string" ? value : "";
}

interface ShownMount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
  readonly subPath?: string;
}

function describeMounts(to: Description, { volumeMounts = [] }: Container): void {
  const mounts = [...(volumeMounts as readonly ShownMount[])];
  to.line(2, `Mounts:${mounts.length === 0 ? "\t<none>" : ""}`);
  mounts.sort((x, y) => (x.mountPath < y.mountPath ? -1 : 1));
  for (const { name, mountPath, readOnly, subPath } of mounts) {
    const flags = [readOnly ? "ro" : "rw", ...(subPath ? [`path="${subPath}"`] : [])];
    to.line(3, `${mountPath} from ${name} (${flags.join(",")})`);
  }
}

interface ShownVolume extends Omit<Volume, "hostPath"> {
  readonly hostPath?: { readonly path: string; readonly type?: string };
  readonly emptyDir?: { readonly medium?: string; readonly sizeLimit?: string };
  readonly secret?: { readonly secretName?: string; readonly optional?: boolean };
  readonly persistentVolumeClaim?: { readonly claimName?: string; readonly readOnly?: boolean };
}

function describeVolumes(to: Description, volumes: readonly Volume[], space: "" | "  "): void {
  if (volumes.length === 0) {
    to.line(0, `${space}Volumes:\t<none>`);
    return;
  }
  to.line(0, `${space}Volumes:`);
  for (const volume of volumes as readonly ShownVolume[]) {
    to.line(1, `${space === "" ? "" : " "}${volume.name}:`);
    const fields = volumeFields(volume);
    if (fields === undefined) to.line(1, "<unknown>");
    for (const field of fields ?? []) to.line(2, field);
  }
}

function volumeFields(volume: ShownVolume): string[] | undefined {
  const { hostPath, emptyDir, secret, configMap, persistentVolumeClaim } = volume;
  if (hostPath !== undefined) {
    const { path, type } = hostPath;
    return [
      "Type:\tHostPath (bare host directory volume)",
      `Path:\t${path}`,
      `HostPathType:\t${type ?? ""}`,
    ];
  }
  if (emptyDir !== undefined) {
    return [
      "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)",
      `Medium:\t${emptyDir.medium ?? ""}`,
      `SizeLimit:\t${emptyDir.sizeLimit ?? "<unset>"}`,
    ];
  }
  if (secret !== undefined) {
    return [
      "Type:\tSecret (a volume populated by a Secret)",
      `SecretName:\t${secret.secretName ?? ""}`,
      `Optional:\t${secret.optional ?? false}`,
    ];
  }
  if (configMap !== undefined) {
    return [
      "Type:\tConfigMap (a volume populated by a ConfigMap)",
      `Name:\t${configMap.name ?? ""}`,
      `Optional:\t${configMap.optional ?? false}`,
    ];
  }
  if (persistentVolumeClaim !== undefined) {
    const { claimName = "", readOnly = false } = persistentVolumeClaim;
    return [
      "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
      `ClaimName:\t${claimName}`,
      `ReadOnly:\t${readOnly}`,
    ];
  }
  return undefined;
}

/** How the kubelet ranks the pod when memory runs short (`qos.GetPodQOS`). */
function qosClass({ spec }: Pod): string {
  const containers = [...(spec.initContainers ?? []), ...spec.containers] as ShownContainer[];
  const all = containers.map(({ resources = {} }) => {
    const { limits = {}, requests = {} } = resources;
    return { limits, requests: { ...limits, ...requests } };
  });
  const names = ["cpu", "memory"];
  if (all.every(({ requests }) => names.every((name) => requests[name] === undefined)))
    return "BestEffort";
  const isGuaranteed = all.every(({ limits, requests }) =>
    names.every((name) => limits[name] !== undefined && limits[name] === requests[name]),
  );
  return isGuaranteed ? "Guaranteed" : "Burstable";
}

function tolerations({ tolerations: all = [] }: PodSpec): string[] {
  const byKey = [...all].sort((x, y) => ((x.key ?? "") < (y.key ?? "") ? -1 : 1));
  return byKey.map(
    ({ key = "", value = "", effect = "", operator, tolerationSeconds }: Toleration) => {
      const what = `${key}${value && `=${value}`}${effect && `:${effect}`}`;
      const exists = operator === "Exists" && value === "" ? `${what && " "}op=Exists` : "";
      return `${what}${exists}${tolerationSeconds === undefined ? "" : ` for ${tolerationSeconds}s`}`;
    },
  );
}
