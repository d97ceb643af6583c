import { describe, expect, test } from "vitest";
import { connect, DatapathLab, type LabOptions, outcome, ping, serve } from "./datapath-lab.ts";

const HOST_ROUTING = { config: { hostRouting: true } };
const ENDPOINT_ROUTES = { config: { endpointRoutes: true } };

/** Ways of forwarding, of both families. */
const WAYS: readonly (readonly [string, LabOptions])[] = ([4, 6] as const).flatMap((family) => [
  [`native IPv${family}`, { family }],
  [`native IPv${family} with BPF host routing`, { family, ...HOST_ROUTING }],
  [`native IPv${family} with endpoint routes`, { family, ...ENDPOINT_ROUTES }],
  [`VXLAN IPv${family}`, { family, tunnel: "vxlan" }],
  [`VXLAN IPv${family} with BPF host routing`, { family, tunnel: "vxlan", ...HOST_ROUTING }],
  [`VXLAN IPv${family} with endpoint routes`, { family, tunnel: "vxlan", ...ENDPOINT_ROUTES }],
  [`Geneve IPv${family}`, { family, tunnel: "geneve" }],
]);

describe.each(WAYS)("%s", (_name, options) => {
  function world() {
    const lab = new DatapathLab(options);
    const one = lab.node();
    const two = lab.node();
    const pods = { a: one.pod(1001), b: one.pod(1002), c: two.pod(1003) };
    for (const { netns } of Object.values(pods)) serve(netns, 80);
    return { lab, one, two, ...pods };
  }

  test("between pods of a node", () => {
    const { a, b } = world();
    expect(outcome(connect(a.netns, b.address, 80))).toBe("connected");
    expect(outcome(ping(b.netns, a.address))).toBe("connected");
  });

  test("between pods of two nodes", () => {
    const { a, c } = world();
    expect(outcome(connect(a.netns, c.address, 80))).toBe("connected");
    expect(outcome(ping(c.netns, a.address))).toBe("connected");
  });

  test("between a node and its pods", () => {
    const { a, one } = world();
    serve(one.netns, 10_250);
    expect(outcome(connect(one.netns, a.address, 80))).toBe("connected");
    expect(outcome(connect(a.netns, one.address, 10_250))).toBe("connected");
    expect(outcome(ping(a.netns, one.router))).toBe("connected");
  });

  test("between a pod and another node", () => {
    const { c, one } = world();
    serve(one.netns, 10_250);
    expect(outcome(connect(one.netns, c.address, 80))).toBe("connected");
    expect(outcome(connect(c.netns, one.address, 10_250))).toBe("connected");
  });

  test("between a pod and a machine outside", () => {
    const { lab, a } = world();
    const outside = lab.outside();
    serve(outside, 443);
    expect(outcome(connect(a.netns, lab.nodeAddress(99), 443))).toBe("connected");
    expect(outcome(connect(outside, a.address, 80))).toBe("connected");
  });
});
