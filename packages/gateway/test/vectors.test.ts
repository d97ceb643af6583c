import { vectorTests } from "../../../tools/vector-tests.ts";
import { runSuite } from "./vectors/ingress.ts";

await vectorTests("ingress", runSuite);
