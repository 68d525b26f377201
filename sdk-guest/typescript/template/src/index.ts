/** The plugin {{name}}. */

import { InvalidInput, log, operator, plugin, text } from "airlock-sdk";

export const hello = operator({
  name: "hello",
  summary: "Greets.",
  config: { name: text("A name.") },
  run({ name }, task) {
    if (name === "") throw new InvalidInput("name", "nobody is there to greet");
    log.info(`try ${task.tryNumber} of ${task.maxTries}`);
    return `Hello, ${name}!`;
  },
});

export default plugin([hello]);
