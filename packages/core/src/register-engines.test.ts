import { expect, test } from "vitest";
import type { ClusterConfig } from "./cluster-config.ts";
import type { CniModel } from "./cni-model.ts";
import { registerEngines } from "./register-engines.ts";
import { BRIDGE, type DependencyContainer, type InjectionToken, IPAM, OVERLAY } from "./tokens.ts";

/** Knows what was registered, and under what. */
function container() {
  const registered = new Map<InjectionToken, unknown>();
  const root = {
    register(token: InjectionToken, provider: { readonly useValue: unknown }) {
      registered.set(token, provider.useValue);
      return root;
    },
    isRegistered: (token: InjectionToken) => registered.has(token),
  } as unknown as DependencyContainer;
  return { root, registered };
}

function model(name: string, seen: unknown[] = []): CniModel {
  return {
    name,
    release: "-",
    description: "",
    options: [],
    register(part, options) {
      seen.push(options, part.isRegistered(OVERLAY));
      const value = { useValue: name } as never;
      part.register(BRIDGE, value).register(OVERLAY, value).register(IPAM, value);
    },
  };
}

test("of each model come the engines that are asked for", () => {
  const { root, registered } = container();
  const config = {} as ClusterConfig;
  const seen: unknown[] = [];
  registerEngines(model("one"), [OVERLAY], root, {}, config);
  registerEngines(model("other", seen), [BRIDGE, IPAM], root, { key: "value" }, config);
  expect(registered).toEqual(
    new Map<InjectionToken, string>([
      [OVERLAY, "one"],
      [BRIDGE, "other"],
      [IPAM, "other"],
    ]),
  );
  // The rest of the container is as it was.
  expect(seen).toEqual([{ key: "value" }, true]);
});
