// What happens meanwhile: lost connections, many tabs, a service that starts anew; and what must hold for every answer.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { go, has, onPage, press } from "./hand.mjs";

const TABS = 200;
const FIRST_PAGE_BYTES_MAX = 120 << 10;
const SCRIPT_BYTES_MAX = 60 << 10;

/** An open stream of changes, as a tab holds one. */
async function tab(url, cookie) {
  const stop = new AbortController();
  const answer = await fetch(`${url}/events`, { headers: { Cookie: cookie }, signal: stop.signal });
  assert.equal(answer.status, 200);
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let told = "";
  const until = async (wanted) => {
    while (!told.includes(wanted)) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the stream ended");
      told += decoder.decode(value, { stream: true });
    }
  };
  return { until, close: () => stop.abort() };
}

export const liveFlows = [
  ["what happened while the connection was lost is there when it is back", onPage(async (world, page) => {
    await go(world, page, "/dags/failing/runs");
    await page.getByText("live", { exact: true }).waitFor();
    const before = await page.locator("tbody tr").count();
    page.expected.push(0);
    const noise = world.found.length;
    await world.context.setOffline(true);
    await page.evaluate(() => window.dispatchEvent(new Event("pagehide")));
    world.service.run("dags", "trigger", "failing", "--no-wait");
    await world.context.setOffline(false);
    await page.evaluate(() => window.dispatchEvent(new Event("pageshow")));
    await page.waitForFunction((count) => document.querySelectorAll("tbody tr").length > count, before);
    world.found.splice(noise, world.found.length, ...world.found.slice(noise).filter((text) => !text.includes("ERR_INTERNET_DISCONNECTED")));
  })],
  ["two hundred tabs are open at once: each hears of a change, and pages stay quick", onPage(async (world, page) => {
    await go(world, page, "/");
    const session = (await world.context.cookies()).find((one) => one.name === "airlock_session");
    const cookie = `${session.name}=${session.value}`;
    const opened = await Promise.allSettled(Array.from({ length: TABS }, () => tab(world.service.url, cookie)));
    const tabs = opened.filter((one) => one.status === "fulfilled").map((one) => one.value);
    try {
      assert.equal(tabs.length, TABS, String(opened.find((one) => one.reason)?.reason));
      await go(world, page, "/dags/waiting/runs");
      world.service.run("dags", "trigger", "waiting", "--no-wait");
      await Promise.all(tabs.map((one) => one.until("\"waiting\"")));
      await go(world, page, "/dags");
    } finally {
      for (const one of tabs) one.close();
    }
  })],
  ["twenty pages of one browser are open at once, and the last of them is fresh", onPage(async (world, page) => {
    const pages = [];
    for (let place = 0; place < 20; place += 1) {
      const one = await world.watched(world.context);
      await go(world, one, "/dags/asking");
      // A browser hides a tab behind another; without a window it has to be told.
      await one.evaluate(() => window.dispatchEvent(new Event("pagehide")));
      pages.push(one);
    }
    await go(world, page, "/dags/hello");
    await page.getByText("live", { exact: true }).waitFor();
    for (const one of pages) await one.close();
  })],
  ["a view is its address: filters, folds, ranges and comparisons come back with it", onPage(async (world, page) => {
    for (const path of ["/dags?q=hel&state=active&tag=example", "/dags/hello?fold=work&runs=5", "/dags/hello/graph?run=latest&fold=work", "/dags/hello/runs?state=success", "/dags/hello/runs/latest?state=success", "/dags/hostile/runs/latest/tasks/logs/log?q=going"]) {
      await go(world, page, path);
      const seen = await page.locator("main").innerText();
      await page.goto("about:blank");
      await page.goBack();
      assert.equal((await page.locator("main").innerText()).slice(0, 80), seen.slice(0, 80), path);
    }
  })],
  ["back and forward go through views", onPage(async (world, page) => {
    await go(world, page, "/dags/hello");
    await page.getByRole("link", { name: "Code", exact: true }).click();
    await page.waitForURL(/\/code/);
    await page.getByRole("link", { name: "Calendar", exact: true }).click();
    await page.waitForURL(/\/calendar/);
    await page.goBack();
    await page.waitForURL(/\/code/);
    await page.goForward();
    await page.waitForURL(/\/calendar/);
  })],
  ["two versions of a DAG are compared line by line", onPage(async (world, page) => {
    const path = join(world.service.folder, "dags", "failing.yaml");
    const dag = JSON.parse(readFileSync(path, "utf8"));
    await go(world, page, "/dags/failing/code");
    writeFileSync(path, JSON.stringify({ ...dag, description: "changed by the test" }));
    await has(page, "changed by the test");
    world.service.run("dags", "trigger", "failing", "--no-wait");
    await page.getByRole("link", { name: "what changed since" }).first().click();
    await page.locator(".source .new").first().waitFor();
    await page.locator(".source .gone").first().waitFor();
  })],
  ["every answer has the strict policy, and the first page is small", onPage(async (world, page) => {
    let bytes = 0;
    const parts = [];
    page.on("response", (answer) => parts.push(answer.body().then((body) => { bytes += body.length; if (answer.url().endsWith(".js")) assert.ok(body.length < SCRIPT_BYTES_MAX); }).catch(() => {})));
    const answer = await page.goto(`${world.service.url}/`);
    await page.waitForLoadState("load");
    await Promise.all(parts);
    assert.ok(bytes > 0 && bytes < FIRST_PAGE_BYTES_MAX, `${bytes} bytes`);
    const headers = answer.headers();
    const policy = headers["content-security-policy"];
    for (const word of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'"]) assert.ok(policy.includes(word), policy);
    assert.ok(!policy.includes("unsafe"), policy);
    assert.equal(headers["x-content-type-options"], "nosniff");
    const html = await answer.text();
    assert.ok(!/<script(?![^>]*src=)|\son[a-z]+=|style="/.test(html), "inline script or style");
  })],
  ["pages fit a window of 320 points, as at four times the size", onPage(async (world, page) => {
    await page.setViewportSize({ width: 320, height: 640 });
    for (const path of ["/", "/dags", "/dags/hello", "/dags/hello/runs/latest", "/dags/hello/runs/latest/tasks/numbers", "/dags/hello/trigger", "/experiments", "/models", "/plugins", "/pools", "/audit"]) {
      await go(world, page, path);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${path} is ${over} points too wide`);
    }
  })],
];

/** The service ends and starts anew: at the very end, because its sessions end with it. */
export const restartFlow = ["a service that starts anew leads an open page to the log-in and back to where it was", onPage(async (world, page) => {
  for (const other of page.context().pages()) if (other !== page) await other.close();
  await go(world, page, "/dags/hello/runs");
  await page.getByText("live", { exact: true }).waitFor();
  page.expected.push(0, 401);
  const noise = world.found.length;
  await world.service.restart();
  await has(page, "Log in to Airlock");
  world.found.splice(noise, world.found.length, ...world.found.slice(noise).filter((text) => !/ERR_(CONNECTION|INCOMPLETE|EMPTY|NETWORK|ABORTED)/.test(text)));
  await page.getByLabel("Token").fill(world.token);
  await press(page, "Log in");
  await page.waitForURL(/\/dags\/hello\/runs/);
  await page.locator("tbody tr").first().waitFor();
  await page.getByText("live", { exact: true }).waitFor();
})];
