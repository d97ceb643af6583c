// Watches a cluster while pods are added and a node is lost: `npm run live` in this folder.
import { readFileSync } from "node:fs";
import { type ClusterEvent, createCluster, parseManifests } from "@cnilab/cluster";
import { registerCoreDns } from "@cnilab/dns";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { distinctUntilChanged, filter, map, merge } from "rxjs";

const shop = new URL("../shop/shop.yaml", import.meta.url);
const cluster = createCluster({
  nodes: 3,
  cni: flannel,
  register: (root) => {
    registerKubeProxy(root);
    registerCoreDns(root);
  },
});

// Two streams, as any program can have them: what happens on the nodes, and what changes in the API.
const happenings = cluster.events$.pipe(map(inWords));
const endpoints = cluster.api.watch("EndpointSlice").pipe(
  filter(({ object }) => object.metadata.labels?.["kubernetes.io/service-name"] === "frontend"),
  map(({ object }) => object.endpoints.filter((e) => e.conditions?.ready === true).length),
  distinctUntilChanged(),
  map((ready) => `Service frontend has ${ready} ready endpoints`),
);
merge(happenings, endpoints).subscribe((line) => {
  const seconds = (cluster.clock.now / 1000).toFixed(1).padStart(6);
  console.log(`${seconds} s  ${line}`);
});

console.log("The shop starts");
cluster.apply(parseManifests(readFileSync(shop, "utf8"), "shop.yaml").objects);
await cluster.settled();
ask();

console.log("\nThe frontend grows to five pods");
cluster.scale("Deployment", "shop/frontend", 5);
await cluster.settled();
ask();

console.log("\nSomebody pulls the plug of node2");
cluster.stopNode("node2");
ask();
await cluster.settled();
ask();

function inWords(event: ClusterEvent): string {
  const what = "pod" in event ? `${event.pod.metadata.name} on ` : "";
  return `${event.kind} ${what}${event.node}`;
}

/** A connection from the cart to the frontend's Service, by way of real packets. */
function ask(): void {
  const from = cluster.endpoint("shop/deploy/cart");
  const to = cluster.endpoint("frontend.shop:80");
  const answers = Array.from({ length: 10 }, () => cluster.connect({ from, to }).verdict);
  const good = answers.filter((verdict) => verdict === "allowed").length;
  console.log(`          the cart asks http://frontend.shop ten times: ${good} answers`);
}
