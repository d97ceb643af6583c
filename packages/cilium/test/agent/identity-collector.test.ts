import { type KubeObject, VirtualClock } from "@cnilab/core";
import { expect, test } from "vitest";
import { identityObject } from "../../src/identity/global-identities.ts";
import { parseLabels } from "../../src/labels/label-set.ts";
import { IdentityCollector } from "../../src/operator/identity-collector.ts";
import { FakeApi } from "./fake-api.ts";

const KIND = "CiliumIdentity.cilium.io";
const MINUTE = 60_000;

test("identities that no endpoint has are marked after half an hour, and go half an hour later", () => {
  const clock = new VirtualClock();
  const api = new FakeApi(clock);
  const collector = new IdentityCollector(api.client, clock);
  collector.start();
  for (const number of [300, 301, 302]) {
    api.create(identityObject(number, parseLabels([`k8s:app=a${number}`])));
  }
  const endpoint = (id: number) =>
    ({
      apiVersion: "cilium.io/v2",
      kind: "CiliumEndpoint",
      metadata: { name: "web", namespace: "default" },
      status: { identity: { id } },
    }) as KubeObject;
  api.put(endpoint(300));
  const states = () =>
    api
      .list(KIND)
      .map(
        ({ metadata }) => `${metadata.name}${metadata.annotations === undefined ? "" : " marked"}`,
      );
  clock.advance(29 * MINUTE);
  expect(states()).toEqual(["300", "301", "302"]);
  clock.advance(2 * MINUTE);
  expect(states()).toEqual(["300", "301 marked", "302 marked"]);
  // Somebody takes it again.
  api.put(endpoint(302));
  clock.advance(28 * MINUTE);
  expect(states()).toEqual(["300", "301 marked", "302 marked"]);
  clock.advance(2 * MINUTE);
  expect(states()).toEqual(["300 marked", "302 marked"]);
  collector.stop();
  clock.advance(600 * MINUTE);
  expect(states()).toHaveLength(2);
});
