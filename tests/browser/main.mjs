// The pages in a real browser: every flow, in light and dark, at three widths; no console error, no report of the content security
// policy, no request elsewhere, no serious finding of axe, and no text that runs. Waits are for conditions, never for time.
//
// node tests/browser/main.mjs [--speeds] [FLOW|FLOW]: needs AIRLOCK_PROGRAM, AIRLOCK_BROWSER_MODULES (a folder with playwright-core and axe-core) and
// AIRLOCK_CHROMIUM; `cargo xtask test` sets them. Screenshots go to the folder AIRLOCK_SCREENSHOTS, if it is set.
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { flows as first, lastFlows } from "./flows.mjs";
import { inputFlows } from "./flows_input.mjs";
import { keyFlows } from "./flows_keys.mjs";
import { liveFlows, restartFlow } from "./flows_live.mjs";
import { logFlows } from "./flows_log.mjs";
import { useFlows } from "./flows_use.mjs";
import { PATIENCE_MS, Service } from "./service.mjs";
import { measure } from "./speeds.mjs";

/** Some calls of the browser have no limit of their own: one that hangs must not hang the tests. */
const FLOW_MS = 5 * PATIENCE_MS;

function within(limit, work) {
  let timer;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new Error(`the flow did not end within ${limit} ms`)), limit);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const need = (name) => {
  if (!process.env[name]) throw new Error(`${name} is not set; \`cargo xtask test\` sets it`);
  return process.env[name];
};
const load = createRequire(join(need("AIRLOCK_BROWSER_MODULES"), "package.json"));
const { chromium } = load("playwright-core");
const axe = load("axe-core").source;
const shots = process.env.AIRLOCK_SCREENSHOTS;
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const isMeasured = process.argv.includes("--speeds");
const flows = [...first, ...inputFlows, ...useFlows, ...logFlows, ...keyFlows, ...liveFlows, ...lastFlows, restartFlow];
const service = new Service(need("AIRLOCK_PROGRAM"));
const found = [];
let browser;

/** A page that writes down whatever must not happen. */
async function watched(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  // A flow may say which answers it provokes; the browser tells of each in the console.
  page.expected = [];
  page.on("console", (message) => {
    const text = message.text();
    const isExpected = page.expected.some((status) => text.includes(`status of ${status}`));
    if (["error", "warning"].includes(message.type()) && !isExpected) found.push(`console at ${page.url()}: ${text}`);
  });
  page.on("pageerror", (error) => found.push(`error at ${page.url()}: ${error}`));
  page.on("dialog", (dialog) => { found.push(`dialog at ${page.url()}: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${service.url}/`) && !url.startsWith("data:")) found.push(`request elsewhere: ${url}`);
  });
  await page.addInitScript(() => {
    window.hurt = () => { window.hurts = (window.hurts ?? 0) + 1; console.error("hostile text ran"); };
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  return page;
}

/** Findings of axe that are serious. */
async function check(page) {
  // Evaluated and not put into the page: the page's policy forbids every script but its own.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, help, nodes } of violations) {
    if (["serious", "critical"].includes(impact)) found.push(`axe at ${page.url()}: ${id}: ${help}: ${nodes.slice(0, 2).map((node) => node.html).join(" ").slice(0, 300)}`);
  }
}

try {
  await service.start();
  const token = service.run("tokens", "create", "ana", "--role", "admin");
  const viewer = service.run("tokens", "create", "vera", "--role", "viewer");
  // A new, empty profile each time: playwright makes and removes it.
  browser = await chromium.launch({ executablePath: need("AIRLOCK_CHROMIUM"), args: FLAGS });
  const context = await browser.newContext({ viewport: { width: 1280, height: 850 } });
  const plain = await browser.newContext({ javaScriptEnabled: false });
  const world = { service, token, viewer, context, plain, watched, check, shots, found };
  if (shots) mkdirSync(shots, { recursive: true });
  const wanted = process.argv.slice(2).find((word) => !word.startsWith("--"));
  let count = 0;
  if (isMeasured) await measure(world);
  for (const [name, flow] of isMeasured ? [] : flows) {
    if (wanted && !wanted.split("|").some((part) => name.includes(part)) && !name.startsWith("begin")) continue;
    const begun = Date.now();
    const before = found.length;
    try {
      await within(FLOW_MS, flow(world));
    } catch (error) {
      found.push(`${name}: ${error.stack ?? error}`);
    }
    if (name.startsWith("begin") && found.length > before) break;
    count += 1;
    console.log(`${found.length === before ? "ok  " : "BAD "} ${name} (${Date.now() - begun} ms)`);
  }
  if (!isMeasured) console.log(`${count} flows, ${found.length} findings`);
  if (count === 0 && !isMeasured) found.push("no flow was carried out");
} finally {
  await browser?.close();
  service.stop();
}
if (found.length > 0) {
  console.error(found.join("\n"));
  process.exit(1);
}
