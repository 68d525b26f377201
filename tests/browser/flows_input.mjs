// Bad input: files with mistakes, forms that do not fit, pages that are out of date, hostile text in every field and every address.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { broken } from "./dags.mjs";
import { go, has, onPage, press, unhurt } from "./hand.mjs";
import { NAMES, PAYLOADS } from "./payloads.mjs";

const file = (world, name, text) => writeFileSync(join(world.service.folder, "dags", name), text);

/** Pages with what they read from the address. */
const ADDRESSES = ["/dags?q=@&tag=@&state=@&order=@", "/experiments?q=@", "/experiment?id=@", "/model?name=@", "/plugin?name=@", "/compare?run=@&run=@", "/tracking-run?id=@", "/dags/hello?fold=@&state=@", "/dags/hello/graph?run=@&fold=@", "/dags/hello/code?version=@&against=@", "/dags/hello/runs?state=@&type=@", "/dags/hello/runs/latest?task=@&state=@", "/dags/hello/runs/latest/change?action=clear&task=@", "/dags/hostile/runs/latest/tasks/logs/log?q=@", "/audit?q=@&action=@&actor=@", "/@", "/dags/@", "/dags/hello/runs/@", "/dags/hello/runs/latest/tasks/@"];

export const inputFlows = [
  ["a DAG file with mistakes is shown with all of them, and is a DAG once they are mended", onPage(async (world, page) => {
    await go(world, page, "/import-errors");
    await has(page, "broken.yaml:3:1");
    const text = await page.locator("main").innerText();
    assert.ok(text.includes("shedule") && text.includes("schedule") && text.includes(PAYLOADS[1]), text);
    await page.getByText("live", { exact: true }).waitFor();
    file(world, "broken.yaml", JSON.stringify({ dag_id: "mended", tasks: [{ task_id: "one", operator: "probe" }] }));
    await has(page, "Every DAG file could be read.");
    await go(world, page, "/dags/mended");
    await has(page, "This DAG has not run yet.");
    file(world, "broken.yaml", broken());
    await go(world, page, "/import-errors");
    await has(page, "shedule");
  })],
  ["a trigger that does not fit is refused in words, and what was filled in stays", onPage(async (world, page) => {
    page.expected.push(400);
    for (const [label, text, said] of [["Further conf, a JSON object", "{\"rows\": ", "no JSON object"], ["Logical date (UTC)", "next Tuesday", "no point in time"], ["Run id", "../../etc/passwd", "run"]]) {
      await go(world, page, "/dags/hello/trigger");
      await page.getByText("More", { exact: true }).click();
      await page.getByLabel(label).fill(text);
      await press(page, "Trigger");
      await page.getByRole("alert").getByText(said).first().waitFor();
      assert.equal(await page.getByLabel(label).inputValue(), text);
    }
    assert.ok(!JSON.stringify(JSON.parse(world.service.run("runs", "list", "--json"))).includes("passwd"));
  })],
  ["a hostile conf and a hostile note stay text wherever a run shows them", onPage(async (world, page) => {
    await go(world, page, "/dags/hello/trigger");
    await page.getByText("More", { exact: true }).click();
    await page.getByLabel("name").fill(PAYLOADS[0]);
    await page.getByLabel("Note").fill(PAYLOADS.slice(0, 12).join(" ").slice(0, 900));
    await page.getByLabel("Further conf, a JSON object").fill(JSON.stringify(Object.fromEntries(PAYLOADS.map((text) => [text, { [text]: text }]))));
    await press(page, "Trigger");
    await page.waitForURL(/\/runs\/manual__/);
    await unhurt(page);
    const run = new URL(page.url()).pathname;
    for (const path of [run, `${run}/xcoms`, `${run}/tasks/say_hello`, `${run}/tasks/say_hello/log`, "/dags/hello/runs", "/audit", "/"]) await go(world, page, path);
    await go(world, page, "/dags/hello/runs");
    assert.ok((await page.locator("main").innerText()).includes(PAYLOADS[0]));
  })],
  ["what is gone meanwhile is said, not done twice", onPage(async (world, page) => {
    world.service.run("pools", "set", "shortlived", "3", "gone soon");
    await go(world, page, "/pools");
    world.service.run("pools", "delete", "shortlived");
    page.expected.push(404);
    const row = page.locator("tr", { hasText: "shortlived" });
    // The page hears of it, unless the press is quicker; either way the pool is not there afterwards.
    if (await row.count()) await row.getByRole("button", { name: "Delete" }).click({ timeout: 2_000 }).catch(() => {});
    await row.waitFor({ state: "detached" }).catch(() => {});
    await go(world, page, "/pools");
    assert.equal(await page.locator("tr", { hasText: "shortlived" }).count(), 0);
  })],
  ["a question that another person answered cannot be answered again", onPage(async (world, page) => {
    world.service.run("dags", "trigger", "asking", "--no-wait");
    await world.service.until(["tasks", "pending-inputs"], (asked) => asked.length === 1);
    await go(world, page, "/questions");
    const form = await page.locator("form[action='/questions']").first().evaluate((one) => Object.fromEntries(new FormData(one)));
    await page.getByLabel("Approve").check();
    await press(page, "Answer");
    await has(page, "Nobody asks anything");
    const again = await page.request.post(`${world.service.url}/questions`, { form: { ...form, option: "Reject" }, maxRedirects: 0 });
    assert.ok(again.status() >= 400, String(again.status()));
    assert.ok((await again.text()).includes("role=\"alert\""));
  })],
  ["a form over the limit is refused", onPage(async (world, page) => {
    await go(world, page, "/variables");
    const csrf = await page.evaluate(() => document.body.dataset.csrf);
    const answer = await page.request.post(`${world.service.url}/variables`, { form: { csrf, key: "huge", value: "x".repeat(8 << 20) }, maxRedirects: 0 }).catch((error) => error);
    // The service may hang up before everything was sent.
    if (!(answer instanceof Error)) assert.equal(answer.status(), 413);
    await go(world, page, "/variables");
    assert.equal(await page.getByRole("cell", { name: "huge" }).count(), 0);
  })],
  ["hostile text in the settings' fields is kept as text or refused in words", onPage(async (world, page) => {
    page.expected.push(400);
    const csrf = async () => page.evaluate(() => document.body.dataset.csrf);
    await go(world, page, "/variables");
    // Every fourth refusal is looked at as a page: each holds the whole text once more.
    const send = async (path, fields, isShown) => {
      const answer = await page.request.post(`${world.service.url}${path}`, { form: { csrf: await csrf(), ...fields }, maxRedirects: 0 });
      assert.ok([303, 400].includes(answer.status()), `${path}: ${answer.status()}`);
      // What is refused is shown again, beside what was wrong: that page is looked at as one.
      if (answer.status() === 400 && isShown) await shown.setContent(await answer.text(), { waitUntil: "commit" });
      await unhurt(shown);
    };
    const shown = await world.watched(world.context);
    await go(world, shown, "/pools");
    for (const [place, text] of PAYLOADS.entries()) {
      await send("/variables", { key: place % 2 ? text : `v${place}`, value: text, description: text }, place % 4 === 3);
      if (place % 4 === 0) await send("/pools", { name: place % 8 ? text : `p${place}`, slots: "1", description: text });
      if (place % 4 === 1) await send("/connections", { conn_id: `c${place}`, id: `c${place}`, conn_type: text, type: text, host: text, login: text, schema: text, description: text, extra: text });
    }
    await shown.close();
    for (const path of ["/variables", "/pools", "/connections", "/audit"]) await go(world, page, path);
  })],
  ["hostile text in an address is text", onPage(async (world, page) => {
    page.expected.push(400, 404);
    // Twelve at a time: an address holds them, and whichever of them ran would be seen.
    const dozens = Array.from({ length: Math.ceil(PAYLOADS.length / 12) }, (_, place) => PAYLOADS.slice(12 * place, 12 * place + 12).join(" "));
    for (const path of ADDRESSES) {
      for (const text of dozens) {
        const address = path.replaceAll("@", encodeURIComponent(text.replaceAll("/", path.includes("=@") ? "/" : "-")));
        const answer = await page.goto(`${world.service.url}${address}`);
        assert.ok([200, 400, 404].includes(answer.status()), `${answer.status()} at ${address}`);
        await unhurt(page);
      }
    }
  })],
  ["models with hostile names, tags and descriptions are text", onPage(async (world, page) => {
    for (const name of NAMES.slice(0, 30)) {
      await go(world, page, `/model?name=${encodeURIComponent(name)}`);
      assert.ok((await page.locator("h1").innerText()).length > 0);
    }
    await go(world, page, "/models");
  })],
  ["names of tokens and of the people behind them are text", onPage(async (world, page) => {
    for (const text of PAYLOADS.slice(0, 8)) {
      try {
        world.service.run("tokens", "create", text, "--role", "viewer");
      } catch (error) {
        assert.ok(String(error).includes("error"), String(error));
      }
    }
    await go(world, page, "/audit");
  })],
];
