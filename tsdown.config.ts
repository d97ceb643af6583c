import { defineConfig } from "tsdown";

// Shared by every published package: `tsdown --config ../../tsdown.config.ts`.
export default defineConfig({
  entry: ["src/index.ts"],
  format: "esm",
  platform: "neutral",
  target: "es2024",
  dts: { sourcemap: true },
  sourcemap: true,
});
