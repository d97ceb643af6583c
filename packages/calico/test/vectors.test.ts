import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/calico.ts";

await vectorTests("calico", runSuite);
