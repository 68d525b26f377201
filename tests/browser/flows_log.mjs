// Logs: of any size, searched as a whole, read part by part without losing a line.
import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { go, has, onPage, press } from "./hand.mjs";

const MIB = 1 << 20;
const SIZE = 100 * MIB;
const LOG = "/dags/big/runs/latest/tasks/t000/log";

/** The newest log file below a folder. */
function newest(folder) {
  const files = readdirSync(folder, { recursive: true }).map((name) => join(folder, name)).filter((name) => name.endsWith(".log"));
  return files.sort((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs)[0];
}

/** Makes the log of a run's only task 100 MB long, as a talkative operator would. */
function fill(path) {
  const open = openSync(path, "a");
  let line = 0;
  let written = 0;
  while (written < SIZE) {
    let text = "";
    while (text.length < MIB) {
      line += 1;
      const level = line % 1000 === 0 ? "WARN" : "INFO";
      text += `2026-01-05T02:00:00.000Z ${level} [guest] line ${line} ${line === 600_000 ? "the needle" : "hay"} ${"x".repeat(60)}\n`;
    }
    written += writeSync(open, text);
  }
  closeSync(open);
  return line;
}

export const logFlows = [
  ["a log of 100 MB opens at its end", onPage(async (world, page) => {
    const { service } = world;
    world.service.run("dags", "trigger", "talks", "--no-wait");
    await service.until(["runs", "list"], (runs) => runs.some((run) => run.dag_id === "talks" && ["success", "failed"].includes(run.state)));
    const folder = join(service.folder, "data", "logs");
    assert.ok(existsSync(folder), "logs are below data/logs");
    world.lines = fill(newest(folder));
    world.log = "/dags/talks/runs/latest/tasks/say/log";
    await go(world, page, world.log);
    await has(page, `line ${world.lines} hay`);
    const bytes = (await page.content()).length;
    assert.ok(bytes < MIB, `the page has ${bytes} bytes`);
  })],
  ["a search goes through all of a log, and leads to the place", onPage(async (world, page) => {
    await go(world, page, world.log);
    await page.getByRole("searchbox").fill("the needle");
    await press(page, "Search");
    await has(page, "1 line found");
    await page.getByRole("link", { name: /Show the log from byte/ }).click();
    await has(page, "line 600000 the needle");
    const first = await page.locator(".l").first().innerText();
    assert.ok(first.includes("line 600000 the needle"), first);
  })],
  ["warnings alone are counted over the whole log, and shown up to a limit", onPage(async (world, page) => {
    await go(world, page, world.log);
    await page.getByLabel("Level").selectOption("WARN");
    await page.waitForURL(/level=WARN/);
    await has(page, `${Math.floor(world.lines / 1000)} lines found`);
    await page.getByRole("link", { name: "Without the search" }).click();
    await has(page, `line ${world.lines} hay`);
  })],
  ["a log is read part by part, and no line is lost between two", onPage(async (world, page) => {
    await go(world, page, `${world.log}?from=0`);
    const number = (text) => Number(text.match(/line (\d+)/)?.[1]);
    for (let part = 0; part < 3; part += 1) {
      const last = number(await page.locator("pre.log .l").last().textContent());
      await page.getByRole("link", { name: "Later", exact: true }).click();
      await page.waitForFunction((wanted) => document.querySelector("pre.log .l")?.textContent.includes(`line ${wanted} `), last + 1);
    }
    const first = number(await page.locator("pre.log .l").first().textContent());
    await page.getByRole("link", { name: "Earlier", exact: true }).click();
    await page.waitForFunction((wanted) => [...document.querySelectorAll("pre.log .l")].at(-1).textContent.includes(`line ${wanted} `), first - 1);
  })],
];
