// What was used: of limits and grants by an attempt, lately by a plugin, and which components a DAG's runs take.
import { go, has, onPage } from "./hand.mjs";

export const useFlows = [
  ["a task instance says what it used of its limits, and its plugin what it used lately", onPage(async (world, page) => {
    await go(world, page, "/dags/hello/runs/latest/tasks/say_hello");
    await has(page, "Limits and what was used");
    await page.getByRole("row", { name: /Memory at its peak/ }).getByText("%").first().waitFor();
    await has(page, "Nothing that needs a grant.");
    await page.getByRole("link", { name: "probe", exact: true }).first().click();
    await has(page, "What it used in the last 30 days");
    await has(page, /\d+ attempts, .* of CPU, 0 denials/);
  })],
  ["the text of a DAG comes with the components that its runs take", onPage(async (world, page) => {
    await go(world, page, "/dags/hello/code");
    await page.getByRole("cell", { name: "probe", exact: true }).waitFor();
    await has(page, "of this program");
  })],
];
