import { tryParseIp } from "@cnilab/net";
import { plural } from "../text-layout.ts";
import { type BothPair, OUTSIDE } from "./both-sides.ts";

/** Something that is not the same on both sides, in a sentence. */
export interface Difference {
  readonly kind: "docker only" | "kubernetes only" | "source" | "name" | "port";
  /** How many ways it is about. */
  readonly count: number;
  readonly text: string;
}

/** What differs, by what makes it so: what concerns most ways comes first. */
export function differences(pairs: readonly BothPair[]): Difference[] {
  const onlyDocker = pairs.filter(
    ({ docker, kubernetes }) => docker.allowed && !kubernetes.allowed,
  );
  const onlyKubernetes = pairs.filter((pair) => !pair.docker.allowed && pair.kubernetes.allowed);
  const found = [
    ...grouped(onlyKubernetes, ({ source, docker }) => `${source === OUTSIDE} ${docker.cause}`).map(
      (group) => difference("kubernetes only", group, kubernetesOnly),
    ),
    ...grouped(
      onlyDocker,
      ({ source, kubernetes }) => `${source === OUTSIDE} ${kubernetes.cause}`,
    ).map((group) => difference("docker only", group, dockerOnly)),
  ].sort((x, y) => y.count - x.count);
  const both = pairs.filter(({ docker, kubernetes }) => docker.allowed && kubernetes.allowed);
  return [...found, ...sources(both), ...names(both), ...ports(both)];
}

function difference(
  kind: Difference["kind"],
  group: readonly BothPair[],
  text: (group: readonly BothPair[]) => string,
): Difference {
  return { kind, count: group.length, text: text(group) };
}

function kubernetesOnly(group: readonly BothPair[]): string {
  const [first] = group as [BothPair];
  const { docker, kubernetes, source } = first;
  const ways = `${plural(group.length, "way")} on Kubernetes alone${example(group)}: `;
  if (source === OUTSIDE) {
    return `${ways}a Service of type LoadBalancer leads in (${kubernetes.asked}); on Docker a port has to be published for that.`;
  }
  if (docker.cause === "no network in common") {
    const ends = [...new Set(group.map(end))].join(", or ");
    return `${ways}the two are in no network of Docker's together: the name is unknown there, and ${ends}. Pods share one flat network, and no policy that is enforced keeps these apart.`;
  }
  if (docker.cause === "nobody listens") {
    return `${ways}no program listens on that port on Docker: give the service an expose with it.`;
  }
  return `${ways}on Docker they are ${docker.cause} is in the way.`;
}

/** Where packets end whose sender knows the address without the name. */
function end({ docker }: BothPair): string {
  if (docker.verdict !== "blocked") return "there is no route to the address";
  const [rule] = CHAIN.exec(docker.reason) ?? [];
  return `packets to the address are dropped${rule === undefined ? "" : ` in ${rule}`}`;
}

/** Docker's chains, of iptables and of nftables, without the bridge that some are named after. */
const CHAIN = /\b(?:DOCKER[A-Z-]*|(?:raw|filter) PREROUTING|(?:filter|raw)-[A-Za-z-]+)/;

function dockerOnly(group: readonly BothPair[]): string {
  const [first] = group as [BothPair];
  const { docker, kubernetes, source, destination } = first;
  const ways = `${plural(group.length, "way")} on Docker alone${example(group)}: `;
  if (source === OUTSIDE) {
    const there = `${ways}${destination} answers at ${docker.asked} there; on Kubernetes`;
    if (kubernetes.verdict === "blocked")
      return `${there} ${kubernetes.cause} keeps the world out.`;
    return `${there} ${opened(kubernetes.cause)}, and the world needs a LoadBalancer, an Ingress or a Gateway.`;
  }
  switch (kubernetes.cause) {
    case "nobody listens":
      return `${ways}no container of the pod listens on that port: declare it as a containerPort.`;
    case "unresolved":
    case "unreachable":
    case "stalls":
      return `${ways}on Kubernetes it is ${kubernetes.cause}: ${kubernetes.reason}.`;
    default:
      if (kubernetes.verdict === "unresolved") {
        return `${ways}on Kubernetes ${kubernetes.cause} keeps the question for the name ${kubernetes.asked.replace(/:\d+$/, "")} from DNS.`;
      }
      return `${ways}${kubernetes.cause} does not let that through; on Docker whoever is in one network with ${destination} reaches all its ports.`;
  }
}

function opened(cause: string): string {
  switch (cause) {
    case "Service of type NodePort":
      return "a Service of type NodePort opens ports of nodes, which stand behind a router";
    case "no Service":
      return "no Service leads to the pod";
    default:
      return cause.startsWith("Service") ? `a ${cause} opens nothing` : `it is ${cause}`;
  }
}

/** Who saw somebody else's address than that of who asked. */
function sources(both: readonly BothPair[]): Difference[] {
  const differing = both.filter(
    ({ docker, kubernetes }) =>
      docker.ownSource !== undefined &&
      kubernetes.ownSource !== undefined &&
      docker.ownSource !== kubernetes.ownSource,
  );
  return grouped(
    differing,
    ({ docker, source }) => `${docker.ownSource} ${source === OUTSIDE}`,
  ).map((group) => {
    const [{ docker, kubernetes, source }] = group as [BothPair];
    const [kept, lost] =
      docker.ownSource === true ? ["Docker", "Kubernetes"] : ["Kubernetes", "Docker"];
    const seen = docker.ownSource === true ? kubernetes.seenAs : docker.seenAs;
    const why =
      lost === "Docker"
        ? "what goes by the host's address is masqueraded"
        : source === OUTSIDE
          ? "nodes masquerade what comes from outside, unless externalTrafficPolicy is Local"
          : "the way there is masqueraded";
    return difference(
      "source",
      group,
      () =>
        `${plural(group.length, "way")}${example(group)} on which the server sees who asked on ${kept} alone: on ${lost} it sees ${seen}, as ${why}.`,
    );
  });
}

/** Where the name that is asked for is another. */
function names(both: readonly BothPair[]): Difference[] {
  const host = (asked: string) => asked.replace(/:\d+$/, "");
  const other = both.filter(
    ({ source, docker, kubernetes }) =>
      source !== OUTSIDE && host(docker.asked) !== host(kubernetes.asked),
  );
  const [first] = other;
  if (first === undefined) return [];
  const [here, there] = [host(first.docker.asked), host(first.kubernetes.asked)];
  const text = `${plural(other.length, "way")}${example(other)} ask for ${here} on Docker and ${there} on Kubernetes: ${whyNamed(here, there)}.`;
  return [{ kind: "name", count: other.length, text }];
}

function whyNamed(here: string, there: string): string {
  if (tryParseIp(here) !== undefined) {
    return "what has the host's network, or no network in common, has no name on Docker";
  }
  if (there.startsWith(`${here}.`)) {
    return "a name alone is of one's own namespace there, of one's own networks here";
  }
  return tryParseIp(there) === undefined
    ? "the Service has another name there"
    : "no Service leads to the port there";
}

/** Where the port that is asked for is another. */
function ports(both: readonly BothPair[]): Difference[] {
  const port = (asked: string) => asked.replace(/^.*:/, "");
  const other = both.filter(
    ({ source, docker, kubernetes }) =>
      source !== OUTSIDE && port(docker.asked) !== port(kubernetes.asked),
  );
  const [first] = other;
  if (first === undefined) return [];
  return [
    {
      kind: "port",
      count: other.length,
      text: `${plural(other.length, "way")}${example(other)} ask for port ${port(first.docker.asked)} on Docker and ${port(first.kubernetes.asked)} on Kubernetes: containers are asked on their own ports, a Service has ports of its own.`,
    },
  ];
}

/** `, as cart -> cache TCP/6379`. */
function example([first]: readonly BothPair[]): string {
  if (first === undefined) return "";
  const { source, destination, protocol, port } = first;
  return `, as ${source} -> ${destination} ${protocol}/${port}`;
}

function grouped(
  pairs: readonly BothPair[],
  keyOf: (pair: BothPair) => string,
): (readonly BothPair[])[] {
  return [...Map.groupBy(pairs, keyOf).values()];
}
