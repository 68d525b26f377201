/** What the component exports. `airlock plugins build` calls it. */

import { Plugin, run } from "./operator.ts";
import type { WitContext } from "./task.ts";

/** The contract's interface `guest` for a plugin. */
export function guestOf(plugin: unknown, name: string, version: string) {
  if (!(plugin instanceof Plugin)) throw new TypeError("the default export is no plugin: end the file with `export default plugin([...])`");
  return {
    describe: () => ({
      name,
      version,
      operators: plugin.operators.map((one) => ({
        name: one.name,
        summary: one.summary,
        kind: one.isSensor ? "sensor" : "operator",
        configSchema: JSON.stringify(one.schema),
      })),
      dags: plugin.dags.map((dag) => JSON.stringify(dag.document(name))),
    }),
    run: (context: WitContext) => run(plugin.operators, context),
  };
}
