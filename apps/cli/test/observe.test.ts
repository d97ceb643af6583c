import { describe, expect, test } from "vitest";
import { cnilab } from "./cnilab.ts";

const PAIR = ["shop/deploy/cart", "cache.shop-data:6379"];
const DENIED = ["shop/deploy/frontend", "cache.shop-data:6379"];

async function lines(args: readonly string[]): Promise<string[]> {
  const { status, stdout } = await cnilab(["observe", ...args]);
  expect(status).toBe(0);
  return stdout.split("\n").filter((line) => line !== "");
}

/** Without times and the generated parts of names. */
function plain(line: string): string {
  return line
    .replace(/^.*?: /, "")
    .replace(/-[0-9a-z]{8,10}-[0-9a-z]{5}/g, "")
    .replace(/:\d{5}\b/g, "");
}

describe("observe", () => {
  test("shows a connection's way through a Flannel cluster, there and back", async () => {
    const shown = await lines([...PAIR, "--tcp-flags", "syn", "--all"]);
    expect(shown.map(plain)).toEqual([
      "shop/cart (unknown) -> shop-data/cache:6379 (unknown) to-overlay FORWARDED (TCP Flags: SYN)",
      "shop/cart (unknown) -> shop-data/cache:6379 (unknown) to-network FORWARDED (TCP Flags: SYN)",
      "shop/cart (unknown) -> shop-data/cache:6379 (unknown) to-endpoint FORWARDED (TCP Flags: SYN)",
      "shop/cart (unknown) <- shop-data/cache:6379 (unknown) to-overlay FORWARDED (TCP Flags: SYN, ACK)",
      "shop/cart (unknown) <- shop-data/cache:6379 (unknown) to-network FORWARDED (TCP Flags: SYN, ACK)",
      // Translated back: it comes from the Service.
      "shop/cart (unknown) <- shop-data/cache:6379 (world) to-endpoint FORWARDED (TCP Flags: SYN, ACK)",
    ]);
  });

  test.each([
    ["standalone", ["--policy", "standalone"]],
    ["Calico's", ["--cni", "calico"]],
  ])("names the policy behind a drop, %s", async (_whose, args) => {
    const [drop] = await lines([
      ...DENIED,
      ...args,
      "--verdict",
      "DROPPED",
      "-o",
      "jsonpb",
      "--last",
      "1",
    ]);
    expect(JSON.parse(drop ?? "")).toMatchObject({
      flow: {
        verdict: "DROPPED",
        drop_reason: 133,
        drop_reason_desc: "POLICY_DENIED",
        traffic_direction: "INGRESS",
        source: { namespace: "shop", workloads: [{ kind: "Deployment", name: "frontend" }] },
        destination: { namespace: "shop-data" },
        ingress_denied_by: [
          { kind: "NetworkPolicy", namespace: "shop-data", name: "cache-for-cart-only" },
        ],
        extensions: { reason: "NETFILTER_DROP" },
      },
    });
  });

  test("asks every Service where it is not told whom, and shows the last 20", async () => {
    const shown = await lines(["--to-namespace", "shop"]);
    expect(shown).toHaveLength(20);
    const first = await lines(["--first", "1", "-o", "table"]);
    expect(first).toHaveLength(2);
    expect(first[0]).toMatch(/^TIMESTAMP +SOURCE +DESTINATION +TYPE +VERDICT +SUMMARY$/);
  });

  test("tells more of a connection when asked to", async () => {
    const shown = await lines([
      ...PAIR,
      "--monitor-aggregation",
      "none",
      "--all",
      "--type",
      "trace:from-endpoint",
      "--protocol",
      "tcp",
    ]);
    expect(shown.map(plain)[0]).toBe(
      "shop/cart (unknown) -> shop-data/cache:6379 (world) from-endpoint FORWARDED (TCP Flags: SYN)",
    );
    const followed = await lines([
      ...PAIR,
      "--monitor-aggregation",
      "none",
      "--follow",
      "--type",
      "trace:from-endpoint",
      "--protocol",
      "tcp",
    ]);
    expect(followed).toEqual(shown);
  });

  test("names the pod behind a translated source", async () => {
    const shown = await lines([
      "shop/deploy/cart",
      "192.0.2.77",
      "--traffic-protocol",
      "icmp",
      "--snat-ip",
      "192.168.0.0/16",
    ]);
    expect(shown.map(plain)).toEqual([
      "shop/cart (unknown) -> 192.0.2.77 (world) to-network FORWARDED (ICMPv4 EchoRequest)",
    ]);
  });

  test("shows flows that were saved as it showed them", async () => {
    const { stdout: saved } = await cnilab(["observe", ...PAIR, "-o", "jsonpb"]);
    const input = `${saved}\n{"node_status":{"state_change":"NODE_CONNECTED"}}\n`;
    const { stdout } = await cnilab(["observe", "--input-file", "-"], { input });
    const { stdout: live } = await cnilab(["observe", ...PAIR]);
    expect(stdout).toBe(live);
  });

  test.each([
    [["web"], "needs whom it asks"],
    [["a", "b:80", "--request", "POST"], "--request: needs a URL"],
    [["--not"], "--not: has no filter after it"],
    [["--last", "1", "--all"], "cannot be combined with --all"],
    [["--follow", "-o", "table"], "is set when all flows are there"],
    [["--since", "yesterday"], "--since"],
    [["--allowlist", "{"], "--allowlist: is not JSON"],
    [["--allowlist", '{"pod":[]}'], "is no field of a filter"],
    [["--input-file", "nowhere.json"], "nowhere.json"],
  ])("%j is bad usage", async (args, message) => {
    const { status, stdout, stderr } = await cnilab(["observe", ...args]);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});
