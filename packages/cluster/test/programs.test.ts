import {
  CONTAINER_PROGRAMS,
  type ContainerProgram,
  imageName,
  type Pod,
  type ProgramContext,
  ProgramExit,
} from "@cnilab/core";
import { type NetNamespace, startEchoServer } from "@cnilab/linux";
import { IPPROTO_TCP } from "@cnilab/net";
import { expect, test } from "vitest";
import { createCluster } from "../src/index.ts";
import { yaml } from "./manifests.ts";
import { routed } from "./routed-cni.ts";

const CONFIG = `
{apiVersion: v1, kind: ConfigMap, metadata: {name: conf}, data: {main: "port 8000", other: unused}}
---
`;

function server(image: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: {name: server}
spec:
  containers:
  - name: main
    image: ${image}
    ports: [{containerPort: 80}]
    volumeMounts: [{name: conf, mountPath: /etc/server}]
  volumes: [{name: conf, configMap: {name: conf, items: [{key: main, path: server.conf}]}}]
---
{apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {containers: [{name: c}]}}
`;
}

/** Listens on the port that its file names, and ends where there is none. */
function configured(contexts: ProgramContext<NetNamespace>[]): ContainerProgram<NetNamespace> {
  return {
    name: "configured",
    runs: ({ image }) => imageName(image) === "configured",
    start: (context) => {
      const file = context.readFile("/etc/server/server.conf");
      if (file === undefined) throw new ProgramExit("no configuration");
      contexts.push(context);
      context.log(`started with ${file}`);
      const socket = startEchoServer(context.netns, {
        protocol: IPPROTO_TCP,
        port: Number(file.split(" ")[1]),
        owner: context.owner,
      });
      return { stop: () => socket.close() };
    },
  };
}

function clusterWith(contexts: ProgramContext<NetNamespace>[], text: string) {
  const cluster = createCluster({
    cni: routed,
    register: (root) => root.register(CONTAINER_PROGRAMS, { useValue: configured(contexts) }),
  });
  cluster.apply(yaml(text));
  cluster.settle();
  const ask = (port: number) =>
    cluster.connect({
      from: cluster.endpoint("client"),
      to: cluster.endpoint(`default/server:${port}`),
    });
  const pod = () => cluster.api.get("Pod", "default/server") as Pod;
  return { cluster, ask, pod };
}

test("a container runs the program that its image names, with its files", () => {
  const contexts: ProgramContext<NetNamespace>[] = [];
  const { cluster, ask, pod } = clusterWith(
    contexts,
    CONFIG + server("registry.example:5000/a/configured:v1@sha256:00"),
  );
  expect(ask(8000)).toMatchObject({ verdict: "allowed", backend: "default/server" });
  expect(ask(80).verdict).toBe("refused");
  expect(contexts).toHaveLength(1);
  expect(contexts[0]?.owner).toBe("default/server/main");
  expect(contexts[0]?.readFile("/etc/server/other")).toBeUndefined();
  expect(contexts[0]?.readFile("/etc/elsewhere")).toBeUndefined();
  const { kubelet } = cluster.nodes.get(pod().spec.nodeName as string) as NonNullable<
    ReturnType<typeof cluster.nodes.get>
  >;
  expect(kubelet.logOf(pod().metadata.uid as string, "main")).toEqual(["started with port 8000"]);
});

test("any other image listens on what is declared", () => {
  const { ask } = clusterWith([], CONFIG + server("configured-not:v1"));
  expect(ask(80)).toMatchObject({ verdict: "allowed", backend: "default/server" });
  expect(ask(8000).verdict).toBe("refused");
});

test("what ends as it starts is started again, and finds what has come meanwhile", () => {
  const { cluster, ask, pod } = clusterWith([], server("configured"));
  expect(pod().status?.containerStatuses?.[0]).toMatchObject({
    ready: false,
    state: { waiting: { reason: "CrashLoopBackOff" } },
  });
  expect(ask(8000).verdict).toBe("refused");
  cluster.apply(yaml(CONFIG.replace("---", "")));
  cluster.clock.advance(60_000);
  expect(ask(8000).verdict).toBe("allowed");
  expect(pod().status?.containerStatuses?.[0]?.ready).toBe(true);
});

test("what ends later is started again, too", () => {
  const contexts: ProgramContext<NetNamespace>[] = [];
  const { cluster, pod } = clusterWith(contexts, CONFIG + server("configured"));
  contexts[0]?.netns.sockets.closeAll("default/server/main");
  contexts[0]?.exit("a loop was found");
  expect(pod().status?.containerStatuses?.[0]).toMatchObject({ ready: false, restartCount: 0 });
  const events = cluster.api.list("Event").map(({ message }) => message);
  expect(events.join()).toContain("a loop was found");
  cluster.clock.advance(60_000);
  expect(contexts).toHaveLength(2);
  expect(pod().status?.containerStatuses?.[0]).toMatchObject({ ready: true, restartCount: 1 });
});
