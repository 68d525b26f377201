// What a person does in the pages, one flow after another on one service: later ones find what earlier ones did.
import assert from "node:assert/strict";
import { join } from "node:path";
import { PAYLOADS } from "./payloads.mjs";

let page;
let tracked;

const go = async (world, path, status = 200) => {
  const answer = await page.goto(`${world.service.url}${path}`);
  assert.equal(answer.status(), status, path);
  assert.equal(await page.evaluate(() => window.hurts), undefined, `hostile text ran at ${path}`);
};
const press = (name, exact = true) => page.getByRole("button", { name, exact }).first().click();
const link = (name) => page.getByRole("link", { name, exact: true }).first().click();
const has = (text) => page.getByText(text).first().waitFor();
const ended = (dag) => (runs) => runs.some((run) => run.dag_id === dag && ["success", "failed"].includes(run.state));
const latest = (runs, dag) => runs.filter((run) => run.dag_id === dag).at(-1);

const trigger = (world, dag) => world.service.run("dags", "trigger", dag, "--no-wait");

/** Pages that show everything there is, by name. */
function pages() {
  const run = (dag) => `/dags/${dag}/runs/latest`;
  return Object.entries({
    home: "/", dags: "/dags", errors: "/import-errors", experiments: "/experiments", models: "/models", questions: "/questions", plugins: "/plugins", plugin: "/plugin?name=probe", pools: "/pools", variables: "/variables", connections: "/connections", audit: "/audit",
    grid: "/dags/hello", graph: "/dags/hello/graph?run=latest", folded: "/dags/hello/graph?fold=work", runs: "/dags/hello/runs", durations: "/dags/hello/durations", calendar: "/dags/hello/calendar", code: "/dags/hello/code", details: "/dags/hello/details", trigger: "/dags/hello/trigger",
    run: run("hello"), "run-graph": `${run("hello")}/graph`, timeline: `${run("hello")}/timeline`, xcoms: `${run("hello")}/xcoms`, instance: `${run("hello")}/tasks/say_hello`, mapped: `${run("hello")}/tasks/work.square?map_index=1`, log: `${run("hostile")}/tasks/logs/log`, nolog: `${run("failing")}/tasks/fails/log`, failed: run("failing"), waiting: run("waiting"),
    hostile: "/dags/hostile", "hostile-graph": "/dags/hostile/graph?run=latest", "hostile-code": "/dags/hostile/code", "hostile-details": "/dags/hostile/details", "hostile-trigger": "/dags/hostile/trigger", "hostile-run": run("hostile"), "hostile-xcoms": `${run("hostile")}/xcoms`, "hostile-push": `${run("hostile")}/tasks/push`, "hostile-wrong": `${run("hostile")}/tasks/wrong`, "hostile-search": `/dags?q=${encodeURIComponent(PAYLOADS[2])}`,
    big: "/dags/big", "big-graph": "/dags/big/graph?run=latest",
    experiment: `/experiment?id=${tracked.experiment_id}`, compare: `/compare?run=${tracked.runs.join("&run=")}`, "tracking-run": `/tracking-run?id=${tracked.runs[0]}`, model: `/model?name=${encodeURIComponent(tracked.model)}`,
  });
}

/** What makes the page wider than its window, if anything does. */
function tooWide() {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return "";
  const all = [...document.querySelectorAll("main *, header *, .top *")].filter((one) => one.getBoundingClientRect().right > width + 1 && !one.closest(".scroll, .gridwrap, .graph, nav, pre, .source"));
  return all.slice(0, 3).map((one) => one.outerHTML.slice(0, 160)).join(" | ") || "something";
}

async function logIn(world, token) {
  await page.getByLabel("Token").fill(token);
  await press("Log in");
  await page.getByRole("link", { name: "Home", exact: true }).waitFor();
}

export const flows = [
  ["begin: what the flows look at", async (world) => {
    const { service } = world;
    service.run("pools", "set", "narrow", "1", PAYLOADS[3]);
    trigger(world, "holding");
    await service.until(["tasks", "states-for-dag-run", "holding", "latest"], (rows) => rows.some((row) => row.state === "running"));
    for (const dag of ["hello", "hostile", "failing", "waiting", "asking", "big", "hello"]) trigger(world, dag);
    for (let run = 0; run < 9; run += 1) trigger(world, "big");
    tracked = await service.track(world.token);
    for (const dag of ["hello", "hostile", "failing"]) await service.until(["runs", "list"], ended(dag));
    await service.until(["runs", "list"], (runs) => runs.filter((run) => run.dag_id === "big" && run.state === "success").length >= 10);
    await service.until(["tasks", "pending-inputs"], (asked) => asked.length === 1);
  }],
  ["begin: a page without a session leads to the log-in and back", async (world) => {
    page = await world.watched(world.context);
    await page.goto(`${world.service.url}/dags?state=active`);
    await has("Log in to Airlock");
    await world.check(page);
    await logIn(world, world.token);
    assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, "/dags?state=active");
    const cookies = await world.context.cookies();
    const session = cookies.find((cookie) => cookie.name === "airlock_session");
    assert.ok(session.httpOnly && session.sameSite === "Strict" && session.value.length === 43);
  }],
  ["home says what runs, failed, and cannot be read", async (world) => {
    await go(world, "/");
    await page.locator("#card-failed").getByText("failing", { exact: true }).waitFor();
    await page.locator("#card-running").getByText("waiting", { exact: true }).waitFor();
    await page.getByRole("link", { name: /import errors/ }).first().click();
    await has("shedule");
  }],
  ["the list of DAGs is searched and filtered, and the address says how", async (world) => {
    await go(world, "/dags");
    await page.getByRole("searchbox").fill("hel");
    await press("Filter");
    await has("1 DAG of");
    assert.equal(new URL(page.url()).searchParams.get("q"), "hel");
    await go(world, "/dags?tag=example&state=failed");
    await page.getByRole("link", { name: "failing", exact: true }).waitFor();
    assert.equal(await page.locator("tbody tr").count(), 1);
    await page.getByLabel("Every state").selectOption("active");
    await page.waitForURL(/state=active/);
  }],
  ["a DAG is paused and unpaused", async (world) => {
    await go(world, "/dags/hello");
    await page.getByRole("button", { name: /^Pause/ }).click();
    await page.getByRole("button", { name: /^Unpause/ }).click();
    await page.getByRole("button", { name: /^Pause/ }).waitFor();
  }],
  ["a run is triggered by a form made from the params, which says what does not fit", async (world) => {
    await go(world, "/dags/hello/trigger");
    await page.getByLabel("name").fill("Ada");
    await page.getByLabel("times").fill("9");
    page.expected.push(400);
    await press("Trigger");
    await page.getByRole("alert").waitFor();
    assert.equal(await page.getByLabel("name").inputValue(), "Ada");
    await page.getByLabel("times").fill("2");
    await page.getByLabel("loud").check();
    await page.getByLabel("tone").selectOption("curt");
    await press("Trigger");
    await page.waitForURL(/\/runs\/manual__/);
    await has("Ada");
    await page.locator(".headline .st-success").waitFor();
    await link("Graph");
    await page.locator(".n-success").first().waitFor();
    await link("Timeline");
    await page.getByLabel("Timeline of attempts").waitFor();
  }],
  ["the grid folds groups, and its cells lead to task instances", async (world) => {
    await go(world, "/dags/hello");
    await page.locator("tr[data-task='work.sum']").waitFor();
    await page.getByRole("link", { name: /work/ }).first().click();
    await page.waitForURL(/fold=work/);
    assert.equal(await page.locator("tr[data-task='work.sum']").count(), 0);
    await page.locator("tr[data-task='say_hello'] a.cell").last().click();
    await has("Rendered templates");
    await has("hello Ada");
  }],
  ["a large grid is a picture whose cells lead to task instances", async (world) => {
    await go(world, "/dags/big");
    assert.ok((await page.locator("tr[data-task]").count()) >= 200);
    const strip = page.locator("tr[data-task='t005'] svg.strip");
    await strip.hover({ position: { x: 20, y: 8 } });
    await page.locator(".tip").getByText("t005").waitFor();
    await strip.click({ position: { x: 20, y: 8 } });
    await page.waitForURL(/tasks\/t005/);
  }],
  ["a page hears of changes: what waits for a slot starts when the pool is made larger", async (world) => {
    await go(world, "/dags/waiting/runs/latest");
    await has("What waits, and why");
    await has("narrow");
    await page.getByText("live", { exact: true }).waitFor();
    const other = await world.watched(world.context);
    await other.goto(`${world.service.url}/pools`);
    await other.getByLabel("Pool", { exact: true }).fill("narrow");
    await other.getByLabel("Slots", { exact: true }).fill("2");
    await other.getByRole("button", { name: "Set" }).click();
    await other.close();
    await page.bringToFront();
    await page.locator(".headline .st-success").waitFor();
  }],
  ["what failed is run again, after a look at what that touches", async (world) => {
    await go(world, "/dags/failing/runs/latest");
    await link("Rerun failed");
    await has("This touches 2 task instances");
    await page.getByRole("button", { name: "Rerun what failed" }).click();
    await page.waitForURL(/runs\//);
    await page.locator(".headline .st-failed").waitFor();
    await page.getByRole("link", { name: "fails", exact: true }).first().click();
    await page.getByRole("link", { name: "Mark success" }).click();
    await has("This touches 1 task instance");
    await page.getByRole("button", { name: "Mark as success" }).click();
    await page.locator(".headline .st-success").waitFor();
  }],
  ["a log is searched, and its end is shown first", async (world) => {
    await go(world, "/dags/hostile/runs/latest/tasks/logs/log");
    const text = await page.getByRole("log").innerText();
    assert.ok(text.includes(PAYLOADS[0]) && text.includes("red") && !text.includes("\u001b") && !text.includes("\u202e"), text);
    await page.getByRole("searchbox").fill("going on");
    await press("Search");
    await page.waitForURL(/q=going/);
    await has("1 line found");
    // A text has no icon of its own, so the browser may ask for one.
    page.expected.push(404);
    await page.goto(`${world.service.url}/dags/hostile/runs/latest/tasks/logs/log.txt`);
    assert.ok((await page.evaluate(() => document.contentType)) === "text/plain");
  }],
  ["a question is answered", async (world) => {
    await go(world, "/questions");
    await has("Deploy?");
    await page.getByLabel("Approve").check();
    await press("Answer");
    await has("Nobody asks anything");
  }],
  ["code shows versions", async (world) => {
    await go(world, "/dags/hello/code");
    await has("dag_id");
    await has("current");
  }],
  ["experiments: runs are filtered, ordered and compared", async (world) => {
    await go(world, "/experiments");
    await page.getByRole("link", { name: /churn/ }).first().click();
    await page.getByLabel("Filter of runs").fill("params.depth = '6'");
    await press("Search");
    await has("1 run");
    await page.getByLabel("Filter of runs").fill("nonsense ===");
    page.expected.push(400);
    await press("Search");
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Filter of runs").fill("");
    await press("Search");
    for (const box of await page.getByRole("checkbox").all()) await box.check();
    await press("Compare the chosen runs");
    await page.locator("figure.plot polyline").nth(1).waitFor();
  }],
  ["a model version is promoted, another one after it, and that is rolled back", async (world) => {
    await go(world, `/model?name=${encodeURIComponent(tracked.model)}`);
    for (const version of ["1", "2"]) {
      await page.getByLabel(`why version ${version} moves`).fill("better");
      await page.locator("tr", { has: page.getByLabel(`why version ${version} moves`) }).getByRole("button", { name: "Move" }).click();
      await page.locator("tr", { has: page.getByLabel(`why version ${version} moves`) }).locator(".stage-production").waitFor();
    }
    await page.getByLabel("why it is rolled back").fill("worse");
    await press("Roll back");
    await page.locator("tr", { has: page.getByLabel("why version 1 moves") }).locator(".stage-production").waitFor();
    await has("worse");
  }],
  ["settings: a variable and a connection are set, a password is never shown", async (world) => {
    await go(world, "/variables");
    await page.getByLabel("Key", { exact: true }).fill("bucket");
    await page.getByLabel("Value", { exact: true }).fill(PAYLOADS.join("\n"));
    await press("Set");
    await page.getByRole("cell", { name: "bucket" }).waitFor();
    await go(world, "/connections");
    await page.getByLabel("Connection id").fill("slack");
    await page.getByLabel("Type").fill("http");
    await page.getByLabel("Host").fill(PAYLOADS[3]);
    await page.getByLabel("Password").fill("canary-of-the-test");
    await press("Set");
    await has("set, hidden");
    assert.ok(!(await page.content()).includes("canary-of-the-test"));
    await go(world, "/pools");
    await page.getByLabel("Pool", { exact: true }).fill("no good name");
    await page.getByLabel("Slots", { exact: true }).fill("1");
    page.expected.push(400);
    await press("Set");
    await page.getByRole("alert").waitFor();
  }],
  ["the audit log says who did what", async (world) => {
    await go(world, "/audit");
    for (const action of ["dag.pause", "dag_run.trigger", "pool.set", "connection.set"]) await page.getByRole("cell", { name: action, exact: true }).first().waitFor();
    assert.ok(!(await page.content()).includes("canary-of-the-test"));
  }],
  ["what is not there is said in words", async (world) => {
    page.expected.push(404, 400);
    for (const path of ["/dags/none", "/dags/hello/runs/none", "/dags/hello/runs/latest/tasks/none", "/model?name=none", "/nothing"]) {
      await go(world, path, 404);
      await has("Not found");
    }
    await go(world, "/dags/hello?runs=many", 400);
    await has("which is no number that fits");
  }],
  ["a form of another session changes nothing", async (world) => {
    await go(world, "/dags/hello");
    page.expected.push(403);
    await page.locator("form input[name=csrf]").evaluateAll((fields) => fields.forEach((field) => { field.value = "forged"; }));
    await page.getByRole("button", { name: /^Pause/ }).click();
    await has("nothing was done");
    await go(world, "/dags/hello");
    await page.getByRole("button", { name: /^Pause/ }).waitFor();
  }],
  ["keys: search, rows, places, help", async (world) => {
    await go(world, "/dags");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.name), "q");
    await page.keyboard.press("Escape");
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("j");
    await page.locator("tr.at").waitFor();
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.waitForURL(/\/models/);
  }],
];

/** After all the others: they look at what those left, and end sessions. */
export const lastFlows = [
  ["every page, light and dark, wide and narrow, has no serious finding of axe and runs no text", async (world) => {
    for (const [name, path] of pages()) {
      for (const [theme, width] of [["light", 1280], ["dark", 820], ["dark", 390]]) {
        await page.setViewportSize({ width, height: 850 });
        await go(world, `${path}${path.includes("?") ? "&" : "?"}theme=${theme}`);
        assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), theme);
        const wide = await page.evaluate(tooWide);
        if (wide) world.found.push(`${name} is too wide at ${width}: ${wide}`);
        if (width !== 820) await world.check(page);
        if (world.shots) await page.screenshot({ path: join(world.shots, `${name}-${theme}-${width}.png`), fullPage: false });
      }
    }
    await page.setViewportSize({ width: 1280, height: 850 });
  }],
  ["a viewer sees no buttons, and is refused what needs more", async (world) => {
    await go(world, "/");
    await press("Log out");
    await has("Log in to Airlock");
    page.expected.push(401, 403);
    await page.getByLabel("Token").fill("alk_0123456789abcdef_00");
    await press("Log in");
    await has("unknown or was revoked");
    await logIn(world, world.viewer);
    await go(world, "/dags/hello");
    assert.equal(await page.getByRole("link", { name: "Trigger" }).count(), 0);
    const csrf = await page.evaluate(() => document.body.dataset.csrf);
    const answer = await page.request.post(`${world.service.url}/dags/hello/pause`, { form: { csrf, is_paused: "true" }, maxRedirects: 0 });
    assert.equal(answer.status(), 403);
  }],
  ["a token that is revoked ends its sessions with the next request", async (world) => {
    await go(world, "/");
    world.service.run("tokens", "revoke", "vera");
    await page.goto(`${world.service.url}/dags`);
    await has("Log in to Airlock");
  }],
  ["everything is there without JavaScript", async (world) => {
    await logIn(world, world.token);
    const bare = await world.plain.newPage();
    await bare.goto(`${world.service.url}/dags`);
    await bare.getByLabel("Token").fill(world.token);
    await bare.getByRole("button", { name: "Log in" }).click();
    for (const [name, path] of pages()) {
      const answer = await bare.goto(`${world.service.url}${path}`);
      assert.equal(answer.status(), 200, name);
      assert.ok((await bare.locator("main").innerText()).length > 10, name);
    }
    await bare.goto(`${world.service.url}/dags/hello/trigger`);
    await bare.getByRole("button", { name: "Trigger" }).click();
    await bare.waitForURL(/\/runs\/manual__/);
    await bare.close();
  }],
  ["a lost connection is said, and the page goes on when it is back", async (world) => {
    await go(world, "/dags/hello");
    await page.getByText("live", { exact: true }).waitFor();
    page.expected.push(0);
    const noise = world.found.length;
    await world.context.setOffline(true);
    await page.evaluate(() => window.dispatchEvent(new Event("pagehide")));
    await page.evaluate(() => window.dispatchEvent(new Event("pageshow")));
    await has("no connection");
    await world.context.setOffline(false);
    await page.getByText("live", { exact: true }).waitFor();
    // The browser itself tells that it was offline.
    world.found.splice(noise, world.found.length, ...world.found.slice(noise).filter((text) => !text.includes("ERR_INTERNET_DISCONNECTED")));
  }],
];
