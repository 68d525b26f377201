// How quick the pages are, in this browser on this machine: printed beside what is aimed at, never asserted. It refuses nothing.
//
// `cargo xtask browser --speeds`; AIRLOCK_PROGRAM names an optimised program for numbers that mean something.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PATIENCE_MS } from "./service.mjs";

const TASKS = 500;
const RUNS = 50;
const GRAPH_TASKS = 1_000;
const TIMES = 15;

/** Layers of `width` tasks, each downstream of two of the layer above. */
function layered(dag_id, count, width) {
  const id = (place) => `t${String(place).padStart(4, "0")}`;
  const tasks = Array.from({ length: count }, (_, place) => ({
    task_id: id(place), operator: "probe",
    depends_on: place < width ? [] : [...new Set([id(place - width), id(place - width - (place % width === 0 ? 0 : 1))])].filter((one) => one !== id(place)),
  }));
  return JSON.stringify({ dag_id, max_active_tasks: 64, max_active_runs: 64, tasks });
}

export function speedDags() {
  return { wide: layered("wide", TASKS, 20), graph1000: layered("graph1000", GRAPH_TASKS, 25) };
}

const quantile = (values, part) => values.toSorted((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * part))];

function tell(what, values, aim, unit = "ms") {
  const shown = (value) => (unit === "ms" ? value.toFixed(1) : value.toFixed(0));
  const list = Array.isArray(values) ? values : [values];
  const text = list.length > 1 ? `p50 ${shown(quantile(list, 0.5))} p95 ${shown(quantile(list, 0.95))}` : shown(list[0]);
  console.log(`${what}: ${text} ${unit}, aim ${aim} ${unit}`);
}

const timing = (page) => page.evaluate(() => {
  const [load] = performance.getEntriesByType("navigation");
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return { answer: load.responseStart - load.requestStart, paint: paint?.startTime ?? NaN, loaded: load.loadEventEnd };
});

/** Navigates again and again; yields every first paint and every time to the first byte. */
async function paints(page, url) {
  const found = { paint: [], answer: [] };
  for (let time = 0; time < TIMES; time += 1) {
    await page.goto(url);
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
    const { paint, answer } = await timing(page);
    found.paint.push(paint);
    found.answer.push(answer);
  }
  return found;
}

/** From the pointer's move to the frame that shows the cell. */
async function hovers(page) {
  return page.evaluate(async () => {
    const strips = [...document.querySelectorAll("tbody svg.strip")].slice(0, 40);
    const frame = () => new Promise((go) => requestAnimationFrame(go));
    const took = [];
    for (const strip of strips) {
      await frame();
      const box = strip.getBoundingClientRect();
      const begun = performance.now();
      strip.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: box.left + 20, clientY: box.top + 5 }));
      document.querySelector(".tip").getBoundingClientRect();
      took.push(performance.now() - begun);
    }
    return took;
  });
}

async function clicks(page, url) {
  const took = [];
  for (let time = 0; time < TIMES; time += 1) {
    await page.goto(url);
    const strip = page.locator("tr[data-task='t0005'] svg.strip");
    await strip.waitFor();
    await strip.scrollIntoViewIfNeeded();
    const box = await strip.boundingBox();
    const begun = Date.now();
    await page.mouse.click(box.x + 8, box.y + 6);
    await page.waitForURL(/tasks\/t0005/);
    await page.locator("h1").waitFor();
    took.push(Date.now() - begun);
  }
  return took;
}

/** From the answer that a run was made to its row on an open page. */
async function events(world, page) {
  await page.goto(`${world.service.url}/dags/hello/runs`);
  await page.getByText("live", { exact: true }).waitFor();
  const took = [];
  for (let time = 0; time < TIMES; time += 1) {
    const run_id = `speed_${time}`;
    await world.service.api(world.token, "POST", "/api/v2/dags/hello/dagRuns", { dag_run_id: run_id, logical_date: null });
    const begun = Date.now();
    await page.waitForFunction((wanted) => document.body.textContent.includes(wanted), run_id, { polling: "raf" });
    took.push(Date.now() - begun);
  }
  return took;
}

async function firstPage(world, page) {
  const sizes = [];
  const listen = (answer) => sizes.push(answer.body().then((body) => body.length, () => 0));
  page.on("response", listen);
  await page.goto(`${world.service.url}/`);
  await page.waitForLoadState("load");
  page.off("response", listen);
  return (await Promise.all(sizes)).reduce((sum, one) => sum + one, 0);
}

/** `airlock dev` in an empty folder: to its link, and to the first run of its example that is green. */
async function dev(service) {
  const folder = mkdtempSync(join(tmpdir(), "airlock-dev-"));
  const begun = Date.now();
  const child = spawn(service.program, ["dev", "dags", "--listen", "127.0.0.1:0", "--data", "data"], { cwd: folder, env: service.environment, stdio: ["ignore", "pipe", "pipe"] });
  try {
    const link = await new Promise((found, failed) => {
      createInterface({ input: child.stdout }).on("line", (line) => line.includes("once=") && found(line.trim()));
      child.once("exit", () => failed(new Error("airlock dev ended")));
    });
    const listening = Date.now() - begun;
    const other = Object.assign(Object.create(Object.getPrototypeOf(service)), { program: service.program, folder, environment: service.environment });
    await other.until(["dags", "list"], (dags) => dags.length > 0);
    const [{ dag_id }] = JSON.parse(other.run("dags", "list", "--json"));
    other.run("dags", "trigger", dag_id, "--no-wait");
    await other.until(["runs", "list"], (runs) => runs.some((run) => run.state === "success"));
    return { listening, green: Date.now() - begun, link };
  } finally {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function measure(world) {
  const { service } = world;
  for (const [name, text] of Object.entries(speedDags())) writeFileSync(join(service.folder, "dags", `${name}.yaml`), text);
  await service.until(["dags", "list"], (dags) => ["wide", "graph1000"].every((id) => dags.some((dag) => dag.dag_id === id)));
  for (let run = 0; run < RUNS; run += 1) service.run("dags", "trigger", "wide", "--no-wait");
  service.run("dags", "trigger", "graph1000", "--no-wait");
  await service.until(["runs", "list", "wide"], (runs) => runs.filter((run) => run.dag_id === "wide" && run.state === "success").length >= RUNS, 20 * PATIENCE_MS);
  const page = await world.watched(world.context);
  await page.goto(`${service.url}/`);
  await page.getByLabel("Token").fill(world.token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("link", { name: "Home", exact: true }).waitFor();
  const grid = `${service.url}/dags/wide?runs=${RUNS}`;
  const painted = await paints(page, grid);
  tell(`grid of ${TASKS} tasks x ${RUNS} runs, first paint`, painted.paint, 800);
  tell("  of that to the first byte", painted.answer, 800);
  tell("grid, hover", await hovers(page), 16);
  tell("grid, click to detail", await clicks(page, grid), 150);
  const graph = await paints(page, `${service.url}/dags/graph1000/graph`);
  tell(`graph of ${GRAPH_TASKS} tasks, first paint`, graph.paint, 300);
  tell("  of that to the first byte, with the layout", graph.answer, 50);
  tell("event to pixel", await events(world, page), 300);
  tell("first page, everything in it", await firstPage(world, page), 120 << 10, "bytes");
  const started = await dev(service);
  tell("airlock dev to its link", started.listening, 1_000);
  tell("airlock dev to the first green run", started.green, 10_000);
}
