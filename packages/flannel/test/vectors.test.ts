import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/flannel.ts";

await vectorTests("flannel", runSuite);
