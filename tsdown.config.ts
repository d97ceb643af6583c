import { defineConfig } from "tsdown";

// Shared by every published package: `tsdown --config ../../tsdown.config.ts`.
export default defineConfig({
  cwd: process.cwd(), // tsdown's default is this file's folder
  entry: ["src/index.ts"],
  format: "esm",
  platform: "neutral",
  target: "es2024",
  dts: { sourcemap: true },
  sourcemap: true,
});
