// `node test/record.ts` as root writes what the real tools print of the scenario to test/fixtures/iproute2-6.1.
import { mkdirSync, writeFileSync } from "node:fs";
import { normaliseText } from "./normalise.ts";
import { askRealTools } from "./real-tools.ts";

const folder = new URL("fixtures/iproute2-6.1/", import.meta.url);
mkdirSync(folder, { recursive: true });
for (const [name, text] of askRealTools()) {
  const json = name.endsWith("-json");
  const written = json ? `${JSON.stringify(JSON.parse(text), null, 1)}\n` : normaliseText(text);
  writeFileSync(new URL(`${name}.${json ? "json" : "txt"}`, folder), written);
}
