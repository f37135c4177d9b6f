/* The page: a queue of files, a table of answers, and the answer that is looked at. */
"use strict";

const byId = (id) => document.getElementById(id);
const AT_ONCE = 2; // requests under way
const COMMON = ["CuKa", "CuKa1", "CoKa", "MoKa", "FeKa", "CrKa", "AgKa"];

/* One entry a file or scan: file, wavelength, and once it is done its scan, or why there is none. */
const entries = [];
let selected = null;
let running = 0;
let largest = Infinity;
let started = 0; // files of the present batch, for the rate
let startTime = 0;

function text(tag, content, className) {
  const node = document.createElement(tag);
  node.textContent = content;
  if (className) node.className = className;
  return node;
}

function percent(p) {
  if (p > 0.9995) return ">99.9\u202f%";
  if (p < 0.0005) return "<0.1\u202f%";
  return `${(100 * p).toFixed(p >= 0.1 && p <= 0.9 ? 0 : 1)}\u202f%`;
}

async function ask(entry, looked = {}) {
  const form = new FormData();
  form.append("file", entry.file, entry.file.name);
  if (entry.wavelength) form.append("wavelength", entry.wavelength);
  Object.entries(looked).forEach(([name, value]) => { if (value !== undefined && value !== "") form.append(name, value); });
  let response = await fetch("/api/determine", { method: "POST", body: form });
  while (response.status === 503) { // others are served: come again when the server says
    await new Promise((go) => setTimeout(go, 1000 * (Number(response.headers.get("Retry-After")) || 5)));
    response = await fetch("/api/determine", { method: "POST", body: form });
  }
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.reason), { needsWavelength: answer.needs_wavelength });
  return answer.scans;
}

/* Queue */

function add(files) {
  if (!files.length) return;
  if (!entries.some((entry) => entry.state === "waiting" || entry.state === "running")) {
    started = 0;
    startTime = performance.now();
  }
  const wavelength = byId("wavelength").value.trim();
  for (const file of files) {
    const entry = { file, wavelength, state: "waiting", row: null };
    if (file.size > largest) Object.assign(entry, { state: "failed", reason: `more than ${largest / 1e6} MB: larger than any powder scan` });
    if (file.size === 0) Object.assign(entry, { state: "failed", reason: "the file is empty: export the scan again" });
    entries.push(entry);
    started += 1;
    show(entry);
  }
  byId("drop").classList.add("small");
  pump();
}

function pump() {
  while (running < AT_ONCE) {
    const entry = entries.find((one) => one.state === "waiting");
    if (!entry) break;
    running += 1;
    entry.state = "running";
    work(entry).finally(() => { running -= 1; pump(); });
  }
  progress();
}

async function work(entry) {
  show(entry);
  try {
    const scans = await ask(entry);
    scans.forEach((scan, i) => {
      const own = i === 0 ? entry : { file: entry.file, wavelength: entry.wavelength, row: null, after: entry };
      Object.assign(own, { scan, state: "done", part: i });
      if (i > 0) entries.splice(entries.indexOf(entry) + i, 0, own);
      show(own);
    });
    if (!selected) select(entry);
  } catch (error) {
    entry.state = error.needsWavelength ? "asking" : "failed";
    entry.reason = error instanceof TypeError ? "the server does not answer: is syngony serve still running?" : error.message;
    show(entry);
  }
}

function progress() {
  const own = entries.filter((entry) => !entry.after);
  const left = own.filter((entry) => entry.state === "waiting" || entry.state === "running").length;
  const done = started - left;
  const bar = byId("progress");
  bar.hidden = left === 0 || started < 2;
  bar.max = started;
  bar.value = done;
  const failed = own.filter((entry) => entry.state === "failed").length;
  const seconds = (performance.now() - startTime) / 1000;
  const rate = done > 1 ? `, ${(done / seconds).toFixed(1)} files/s, ${Math.ceil(left * seconds / done)} s left` : "";
  if (left) byId("state").textContent = started > 1 ? `${done} of ${started} files${rate}` : "determining …";
  else if (own.length) byId("state").textContent = own.length > 1 || failed ? `${own.length} files${failed ? `, ${failed} not determined` : ""}` : "";
  const asking = entries.filter((entry) => entry.state === "asking");
  byId("asking").hidden = asking.length === 0;
  if (asking.length) {
    byId("asking-for").textContent = asking.length === 1
      ? `${asking[0].file.name} states no wavelength.` : `${asking.length} files state no wavelength.`;
  }
  byId("take").hidden = !entries.some((entry) => entry.scan);
  byId("list").hidden = entries.length < 2 && !entries.some((entry) => entry.state === "failed");
}

function answerWavelength(name) {
  byId("wavelength").value = name;
  entries.filter((entry) => entry.state === "asking").forEach((entry) => Object.assign(entry, { wavelength: name, state: "waiting" }));
  pump();
}

/* Table */

function show(entry) {
  if (!entry.row) {
    entry.row = document.createElement("tr");
    const body = byId("table").tBodies[0];
    if (entry.after) entry.after.row.after(entry.row);
    else body.append(entry.row);
    entry.row.addEventListener("click", () => { if (entry.scan) select(entry, true); });
  }
  const row = entry.row;
  row.replaceChildren();
  const head = document.createElement("th");
  head.scope = "row";
  const summary = entry.scan?.summary;
  if (entry.scan) {
    const button = text("button", summary.file);
    button.type = "button";
    head.append(button);
  } else head.textContent = entry.file.name;
  row.append(head);
  const cell = (content, className) => { const node = text("td", content, className); row.append(node); return node; };
  const picture = cell("", "thumb");
  if (!entry.scan || summary.error) {
    const states = { waiting: "waiting", running: "determining …", asking: "needs a wavelength" };
    cell(states[entry.state] ?? entry.reason ?? summary.error, entry.state === "waiting" || entry.state === "running" ? "text" : "text why").colSpan = 5;
  } else {
    picture.innerHTML = entry.scan.thumbnail; // drawn by the server, of numbers alone
    row.className = summary.abstained ? "refused" : "";
    cell(`${summary.abstained ? "not sure: " : ""}${summary.system}`, "text");
    cell(percent(summary.probability)).dataset.value = summary.probability;
    [summary.rests_on, summary.space_group, summary.phase].forEach((content) => cell(content, "text"));
  }
  row.setAttribute("aria-selected", String(entry === selected));
  progress();
}

/* The answer that is looked at */

function select(entry, focus) {
  const before = selected;
  selected = entry;
  if (before && before !== entry) before.row?.setAttribute("aria-selected", "false");
  entry.row.setAttribute("aria-selected", "true");
  const place = byId("answer");
  const old = place.querySelector(".plot");
  if (old?.dataset.drawn) Plotly.purge(old);
  place.innerHTML = entry.scan.html; // from the server's templates, which escape every text
  const answer = place.querySelector(".answer");
  if (answer && entry.scan.drawing) syngonyDraw(answer, entry.scan.drawing);
  const drawing = entry.scan.drawing;
  const { low, high, background } = entry.looked ?? {};
  byId("range").hidden = !(drawing || low || high || background);
  if (drawing) {
    entry.span ??= [drawing.two_theta[0], drawing.two_theta[drawing.two_theta.length - 1]];
    byId("low").value = low ?? entry.span[0];
    byId("high").value = high ?? entry.span[1];
    byId("background").value = background ?? "";
  }
  if (focus) place.focus({ preventScroll: false });
}

let pending = 0;
async function look(low, high) {
  const entry = selected;
  if (!entry) return;
  const turn = ++pending;
  byId("answer").classList.add("waiting");
  byId("busy").textContent = "determining …";
  try {
    const looked = { low, high, background: byId("background").value };
    const scans = await ask(entry, looked);
    if (turn !== pending) return;
    Object.assign(entry, { scan: scans[entry.part ?? 0], looked });
    show(entry);
    if (selected === entry) select(entry);
    byId("busy").textContent = "";
  } catch (error) {
    if (turn === pending) byId("busy").textContent = error.message;
  } finally {
    if (turn === pending) byId("answer").classList.remove("waiting");
  }
}

let timer = 0;
function rangeTyped() {
  clearTimeout(timer);
  const typed = (id, end) => (selected?.span && Number(byId(id).value) === selected.span[end] ? "" : byId(id).value);
  timer = setTimeout(() => look(typed("low", 0), typed("high", 1)), 700);
}

async function download(kind) {
  const ids = entries.filter((entry) => entry.scan).map((entry) => entry.scan.id);
  const response = await fetch(`/api/export/${kind}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ids }),
  });
  if (!response.ok) {
    byId("state").textContent = (await response.json()).reason;
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `syngony.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function clear() {
  entries.length = 0;
  selected = null;
  byId("table").tBodies[0].replaceChildren();
  byId("answer").replaceChildren();
  byId("range").hidden = true;
  byId("drop").classList.remove("small");
  byId("state").textContent = "";
  progress();
  byId("files").focus();
}

/* What is known of the server */

async function status() {
  try {
    const known = await (await fetch("/api/status")).json();
    largest = known.largest_upload;
    byId("made").textContent = known.made;
    if (!byId("lines").children.length) {
      Object.entries(known.wavelengths).forEach(([name, value]) => {
        const option = document.createElement("option");
        option.value = name;
        option.label = `${name}, ${value} Å`;
        byId("lines").append(option);
      });
      COMMON.forEach((name) => {
        const button = text("button", `${name} ${known.wavelengths[name]} Å`);
        button.type = "button";
        button.addEventListener("click", () => answerWavelength(name));
        byId("choices").append(button);
      });
    }
    if (!known.ready && !entries.length) {
      byId("state").textContent = "getting ready …";
      setTimeout(status, 700);
    } else if (!entries.length) byId("state").textContent = "";
  } catch {
    byId("state").textContent = "the server does not answer";
  }
}

const drop = byId("drop");
byId("files").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
["dragover", "dragenter"].forEach((kind) => document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); }));
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); add([...event.dataTransfer.files]); });
byId("wavelength").addEventListener("change", (event) => { if (event.target.value.trim()) answerWavelength(event.target.value.trim()); });
byId("low").addEventListener("change", rangeTyped);
byId("high").addEventListener("change", rangeTyped);
byId("background").addEventListener("change", rangeTyped);
byId("range").addEventListener("submit", (event) => { event.preventDefault(); rangeTyped(); });
byId("whole").addEventListener("click", () => look());
byId("shown").addEventListener("click", () => {
  const range = byId("answer").querySelector(".plot")?.layout?.xaxis?.range;
  if (range) {
    const [low, high] = range.map((value) => Math.min(180, Math.max(0, Math.round(value * 1000) / 1000)));
    look(low, high);
  }
});
byId("take").querySelectorAll("[data-kind]").forEach((button) => button.addEventListener("click", () => download(button.dataset.kind)));
byId("clear").addEventListener("click", clear);
syngonySortable(byId("table"));
status();
