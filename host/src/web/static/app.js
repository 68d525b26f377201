// Keeps an open page fresh and quick: one stream of changes, fragments fetched again and put in place, keys. Everything works without it.

const body = document.body;
const wants = (body.dataset.live || "").split(" ").filter(Boolean);

// ---- fresh: what the page shows is fetched again when the stream says that it changed.

let source = null;
let cursor = body.dataset.cursor || "";
let fetching = false;
let again = false;
let failures = 0;

const live = () => document.getElementById("live");

function say(text, lost) {
  const mark = live();
  if (!mark) return;
  mark.hidden = false;
  mark.textContent = text;
  mark.classList.toggle("lost", lost);
}

function concerns(change) {
  return wants.some((want) => {
    if (want === "runs") return change.runs.length > 0;
    if (want === "dags") return change.dags.length > 0;
    if (want.startsWith("run:")) return change.runs.some((run) => want === `run:${run.dag_id}/${run.run_id}`);
    if (want.startsWith("dag:")) {
      const id = want.slice(4);
      return change.dags.includes(id) || change.runs.some((run) => run.dag_id === id);
    }
    return change.topics.includes(want);
  });
}

async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    do {
      again = false;
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
      const text = await answer.text();
      if (!answer.ok) { say(`stale: the page answers ${answer.status}`, true); break; }
      const next = new DOMParser().parseFromString(text, "text/html");
      const main = next.getElementById("main");
      if (main) morph(document.getElementById("main"), main);
      body.dataset.csrf = next.body.dataset.csrf || "";
      if (source?.readyState === EventSource.OPEN) say("live", false);
    } while (again);
  } catch {
    say("no connection: shown as it was", true);
  } finally {
    fetching = false;
  }
}

// Makes `old` like `next` with as few changes as it can: what is focused, typed or unfolded stays.
function morph(old, next) {
  if (old.isEqualNode(next) || old.hasAttribute("data-keep")) return;
  const typed = old.matches("input, textarea, select") && old === document.activeElement;
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of [...next.attributes]) if (old.getAttribute(name) !== value && !(typed && name === "value")) old.setAttribute(name, value);
  const there = [...old.childNodes];
  const coming = [...next.childNodes];
  coming.forEach((child, place) => {
    const mine = there[place];
    if (!mine) old.append(document.importNode(child, true));
    else if (mine.nodeType === 1 && child.nodeType === 1 && mine.tagName === child.tagName) morph(mine, child);
    else if (mine.nodeType === 3 && child.nodeType === 3) { if (mine.data !== child.data) mine.data = child.data; }
    else mine.replaceWith(document.importNode(child, true));
  });
  there.slice(coming.length).forEach((gone) => gone.remove());
  if (old.matches("pre.log[data-tail]")) tail(old);
}

function follow() {
  if (source || wants.length === 0 || document.hidden) return;
  source = new EventSource(`/events?since=${encodeURIComponent(cursor)}`);
  source.onopen = () => { failures = 0; say("live", false); };
  source.addEventListener("changed", (event) => {
    cursor = event.lastEventId;
    if (concerns(JSON.parse(event.data))) refresh();
  });
  source.addEventListener("reset", (event) => { cursor = event.lastEventId; refresh(); });
  source.onerror = () => {
    failures += 1;
    say("no connection: trying again", true);
    if (source.readyState === EventSource.CLOSED) {
      source = null;
      // The service answers, but not this session (it may have started anew): the page itself then leads to the log-in.
      refresh();
      setTimeout(follow, Math.min(30000, 1000 * 2 ** failures));
    }
  };
}

// A page that nobody looks at holds no connection; when it is looked at again it catches up from its cursor.
function leave() { if (source) { source.close(); source = null; } }
document.addEventListener("visibilitychange", () => (document.hidden ? leave() : follow()));
window.addEventListener("pagehide", leave);
window.addEventListener("pageshow", () => { if (!document.hidden) follow(); });
if (!document.hidden) follow();

// ---- the end of a log stays in view while it grows, as long as the reader is there.

function tail(log) { if (log.dataset.away !== "1") log.scrollTop = log.scrollHeight; }
for (const log of document.querySelectorAll("pre.log[data-tail]")) {
  log.setAttribute("data-keep-scroll", "");
  log.addEventListener("scroll", () => { log.dataset.away = log.scrollTop + log.clientHeight < log.scrollHeight - 24 ? "1" : "0"; });
  tail(log);
}

// ---- a choice that is made is sent at once.

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]") && event.target.form) event.target.form.requestSubmit();
});

// ---- large grids: the cell that is pointed at.

let tip = null;
function cellAt(event) {
  const strip = event.target.closest("svg.strip[data-pitch]");
  if (!strip) return null;
  const place = Math.floor((event.clientX - strip.getBoundingClientRect().left) / Number(strip.dataset.pitch));
  const head = strip.closest("table").querySelectorAll("thead svg.strip a")[place];
  if (!head) return null;
  const dag = strip.closest("table").dataset.dag;
  const task = strip.closest("tr").dataset.task;
  return { dag, task, run: head.dataset.run };
}
document.addEventListener("pointermove", (event) => {
  const cell = event.target.closest ? cellAt(event) : null;
  if (!cell) { if (tip) tip.hidden = true; return; }
  if (!tip) { tip = document.createElement("div"); tip.className = "tip"; tip.setAttribute("role", "tooltip"); body.append(tip); }
  tip.hidden = false;
  tip.textContent = `${cell.task} · ${cell.run}`;
  tip.style.left = `${Math.max(0, Math.min(event.clientX + 12, innerWidth - 320))}px`;
  tip.style.top = `${event.clientY + 14}px`;
});
document.addEventListener("click", (event) => {
  const cell = event.target.closest ? cellAt(event) : null;
  if (cell) location.assign(`/dags/${cell.dag}/runs/${cell.run}/tasks/${cell.task}`);
});

// ---- keys.

let prefix = "";
const places = { h: "/", d: "/dags", e: "/experiments", m: "/models", q: "/questions", a: "/audit" };

function step(by) {
  const rows = [...document.querySelectorAll("table[data-rows] tbody tr")];
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row.classList.contains("at"));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
  rows.forEach((row) => row.classList.toggle("at", row === next));
  next.querySelector("a")?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const key = event.key;
  if (prefix === "g") {
    prefix = "";
    if (places[key]) location.assign(places[key]);
    return;
  }
  if (key === "g") prefix = "g";
  else if (key === "/") { const search = document.querySelector("[data-search]"); if (search) { event.preventDefault(); search.focus(); search.select(); } }
  else if (key === "j") step(1);
  else if (key === "k") step(-1);
  else if (key === "?") document.getElementById("keys")?.showModal();
});
