import { type Ingress, type IngressClass, SeededRandom, VirtualClock } from "@cnilab/core";
import { expect, test } from "vitest";
import { ApiStore } from "./api-store.ts";
import { GATEWAY_ADMISSION } from "./gateway-admission.ts";
import { IngressAdmission } from "./ingress-admission.ts";

test("a new Ingress gets the default class; one that was there before keeps none", () => {
  const api = new ApiStore(new VirtualClock(), new SeededRandom(1));
  api.admit(new IngressAdmission(api));
  const ingress = (name: string): Ingress => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name },
    spec: { defaultBackend: { service: { name: "web", port: { number: 80 } } } },
  });
  api.create(ingress("early"));
  api.create<"IngressClass">({
    apiVersion: "networking.k8s.io/v1",
    kind: "IngressClass",
    metadata: {
      name: "nginx",
      annotations: { "ingressclass.kubernetes.io/is-default-class": "true" },
    },
    spec: { controller: "k8s.io/ingress-nginx" },
  } satisfies IngressClass);
  api.create(ingress("late"));
  expect(api.list("Ingress").map(({ spec }) => spec.ingressClassName)).toEqual([
    undefined,
    "nginx",
  ]);
});

test("a new Gateway waits for a controller, and says so", () => {
  const api = new ApiStore(new VirtualClock(), new SeededRandom(1));
  api.admit(GATEWAY_ADMISSION);
  const { status } = api.create<"Gateway">({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name: "web" },
    spec: { gatewayClassName: "none", listeners: [] },
  });
  expect(status?.conditions?.map(({ type, status: is, reason }) => [type, is, reason])).toEqual([
    ["Accepted", "Unknown", "Pending"],
    ["Programmed", "Unknown", "Pending"],
  ]);
});
