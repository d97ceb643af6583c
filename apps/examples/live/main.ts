// Watches a cluster while pods are added and a node is lost:  npm run live
import { readFileSync } from "node:fs";
import { createCluster, parseManifests } from "@cnilab/cluster";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { filter, map, merge } from "rxjs";

const file = new URL("../shop/shop.yaml", import.meta.url);
const cluster = createCluster({
  nodes: 3,
  cni: flannel,
  register: (root) => registerKubeProxy(root),
});

// Streams as any program can have them: what happens on nodes, and what changes in the API.
const onNodes = cluster.events$.pipe(
  map((event) =>
    "pod" in event
      ? `${event.kind} ${event.pod.metadata.name} on ${event.node}`
      : `${event.kind} ${event.node}`,
  ),
);
const endpoints = cluster.api.watch("EndpointSlice").pipe(
  filter(({ object }) => object.metadata.labels?.["kubernetes.io/service-name"] === "frontend"),
  map(({ object }) => {
    const ready = object.endpoints.filter((e) => e.conditions?.ready === true).length;
    return `frontend has ${ready} ready of ${object.endpoints.length} endpoints`;
  }),
);
const subscription = merge(onNodes, endpoints).subscribe((line) => {
  console.log(`${(cluster.clock.now / 1000).toFixed(3).padStart(8)} s  ${line}`);
});

console.log("The shop starts:");
cluster.apply(parseManifests(readFileSync(file, "utf8"), "shop.yaml").objects);
await cluster.settled();

console.log("\nThe frontend grows:");
cluster.scale("Deployment", "shop/frontend", 5);
await cluster.settled();

console.log("\nnode2 is lost:");
cluster.delete("Node", "node2");
await cluster.settled();
subscription.unsubscribe();

const check = cluster.connect({
  from: cluster.endpoint("shop/deploy/cart"),
  to: cluster.endpoint("frontend.shop"),
  port: 80,
});
console.log(`\nThe cart asks http://frontend.shop: ${check.verdict} (${check.reason})`);
