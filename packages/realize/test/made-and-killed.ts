// Makes namespaces, says so, and waits to be killed.
import { script, up } from "../src/index.ts";
import { Model } from "./fuzz/model.ts";

await up(
  script(new Model([{ do: "namespace", netns: "a" }]).network, { prefix: process.argv[2] ?? "" }),
);
console.log("up");
setInterval(() => {}, 1000);
