// Everything without a mouse.
import assert from "node:assert/strict";
import { go, has, onPage, tabTo } from "./hand.mjs";

export const keyFlows = [
  ["keyboard: the first stop skips to the content", onPage(async (world, page) => {
    await go(world, page, "/dags");
    assert.equal(await tabTo(page, "a.skip"), 1);
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  })],
  ["keyboard: whatever can be focused shows that it is", onPage(async (world, page) => {
    for (const path of ["/", "/dags", "/dags/hello", "/dags/hello/trigger", "/pools", "/questions"]) {
      await go(world, page, path);
      await page.keyboard.press("Tab");
      const stops = new Set();
      for (let times = 0; times < 40; times += 1) {
        const stop = await page.evaluate(() => {
          const one = document.activeElement;
          const style = getComputedStyle(one);
          return { what: one.outerHTML.slice(0, 120), isSeen: one === document.body || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1) };
        });
        assert.ok(stop.isSeen, `${path}: ${stop.what}`);
        stops.add(stop.what);
        await page.keyboard.press("Tab");
      }
      assert.ok(stops.size > 10, path);
    }
  })],
  ["keyboard: a run is triggered", onPage(async (world, page) => {
    await go(world, page, "/dags/hello/trigger");
    await tabTo(page, "main input");
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type("Grace");
    await tabTo(page, "main button.primary");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/runs\/manual__/);
    await page.locator(".headline .st-success").waitFor();
  })],
  ["keyboard: a cell of the grid leads to its task instance, and Escape closes the help", onPage(async (world, page) => {
    await go(world, page, "/dags/hello");
    await tabTo(page, "tr[data-task='numbers'] a.cell");
    await page.keyboard.press("Enter");
    await page.waitForURL(/tasks\/numbers/);
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("heading", { name: "Keys" }).waitFor({ state: "hidden" });
  })],
  ["keyboard: a large grid's rows and runs are links too", onPage(async (world, page) => {
    await go(world, page, "/dags/big");
    await tabTo(page, ".gridwrap a[href*='/runs/'], table a[href*='/runs/']", 300);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/dags\/big\/runs\//);
  })],
  ["keyboard: a task instance is cleared after a look at what that touches", onPage(async (world, page) => {
    await go(world, page, "/dags/hello/runs/latest/tasks/numbers");
    await tabTo(page, "main a.button");
    await page.keyboard.press("Enter");
    await has(page, "This touches");
    await tabTo(page, "main form[method='post'] button.primary");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/tasks\/numbers$/);
  })],
  ["keyboard: g and a letter go to places, j and k to rows", onPage(async (world, page) => {
    await go(world, page, "/dags");
    for (const [key, path] of [["h", "/"], ["e", "/experiments"], ["q", "/questions"], ["a", "/audit"], ["d", "/dags"]]) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await page.waitForURL((url) => url.pathname === path);
    }
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    const second = await page.evaluate(() => document.activeElement.textContent);
    await page.keyboard.press("k");
    assert.notEqual(await page.evaluate(() => document.activeElement.textContent), second);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/dags\/.+/);
  })],
  ["keyboard: the theme is chosen, and stays", onPage(async (world, page) => {
    await go(world, page, "/pools");
    await tabTo(page, ".themes a:nth-child(3)");
    await page.keyboard.press("Enter");
    await page.waitForURL(/theme=dark/);
    await go(world, page, "/pools");
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    await go(world, page, "/pools?theme=system");
  })],
];
