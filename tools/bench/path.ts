// Prints what packets on one path cost, as JSON: `node path.ts vxlan`.
import { PATHS, packetResults } from "./packets.ts";

const path = PATHS.find((name) => name === process.argv[2]);
if (path === undefined) throw new Error(`the path is one of ${PATHS.join(", ")}`);
console.log(JSON.stringify(packetResults(path)));
