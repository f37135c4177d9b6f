/* Draws determinations and sorts tables, for the report's file and for the page alike. */
"use strict";

const SYNGONY = {
  ink: "#1d2429", soft: "#57636b", rule: "#dfe4e7", background: "#56b4e9", explained: "#0072b2", unexplained: "#d55e00",
  phases: ["#009e73", "#cc79a7", "#e69f00", "#7b5ea7"],
};

function syngonyHkl(hkl) {
  return hkl ? hkl.join(" ") : "not explained";
}

/* One trace of vertical sticks from base to top. */
function syngonySticks(x, base, top, texts, more) {
  const xs = [], ys = [], labels = [];
  x.forEach((at, i) => {
    xs.push(at, at, null);
    ys.push(base[i], top[i], null);
    labels.push(texts[i], texts[i], "");
  });
  return Object.assign({ x: xs, y: ys, text: labels, mode: "lines", type: "scatter", hoverinfo: "text" }, more);
}

/* Plotly traces and layout of a drawing; `root` true for square roots of intensities, which show weak lines. */
function syngonyFigure(drawing, root, narrow) {
  const scaled = root ? (value) => Math.sign(value) * Math.sqrt(Math.abs(value)) : (value) => value;
  const traces = [
    { x: drawing.two_theta, y: drawing.intensity.map(scaled), name: "scan", type: "scatter", mode: "lines",
      line: { color: SYNGONY.ink, width: 1 }, hovertemplate: "%{x:.3f}°<extra></extra>" },
    { x: drawing.two_theta, y: drawing.background.map(scaled), name: "background", type: "scatter", mode: "lines",
      line: { color: SYNGONY.background, width: 2 }, hoverinfo: "skip" },
  ];
  drawing.phases.forEach((phase, i) => {
    const texts = phase.two_theta.map((at, k) => `${phase.label}<br>${at.toFixed(3)}°  ${syngonyHkl(phase.hkl[k])}`);
    const top = phase.height.map((height, k) => scaled(phase.base[k] + height));
    traces.push(syngonySticks(phase.two_theta, phase.base.map(scaled), top, texts, {
      name: phase.label, visible: phase.shown ? true : "legendonly",
      line: { color: SYNGONY.phases[i % SYNGONY.phases.length], width: 2 }, opacity: 0.85,
    }));
  });
  const rows = drawing.cells.length + 1;
  const ticks = (x, texts, row, more) => traces.push(syngonySticks(
    x, x.map(() => rows - row + 0.12), x.map(() => rows - row + 0.88), texts, Object.assign({ yaxis: "y2" }, more)));
  [[true, "lines explained", SYNGONY.explained], [false, "lines not explained", SYNGONY.unexplained]].forEach(
    ([explained, name, color]) => {
      const some = drawing.lines.filter((line) => line.explained === explained);
      if (some.length) {
        ticks(some.map((line) => line.two_theta),
          some.map((line) => `${line.two_theta.toFixed(3)}°  I ${line.intensity.toFixed(1)}<br>${syngonyHkl(line.hkl)}`),
          1, { name, line: { color, width: explained ? 1.5 : 3 } });
      }
    });
  drawing.cells.forEach((cell, i) => ticks(cell.two_theta,
    cell.two_theta.map((at, k) => `${cell.label}<br>${at.toFixed(3)}°  ${syngonyHkl(cell.hkl[k])}`), i + 2,
    { name: cell.label, showlegend: false, line: { color: i === 0 ? SYNGONY.soft : "#a9b3b9", width: 1 } }));
  const split = Math.min(0.3, 0.06 + 0.045 * rows);
  const axis = { linecolor: SYNGONY.rule, gridcolor: SYNGONY.rule, zeroline: false, ticks: "outside", tickcolor: SYNGONY.rule };
  const layout = {
    font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: SYNGONY.ink },
    margin: { l: narrow ? 44 : 92, r: 10, t: narrow ? 44 : 34, b: 44 }, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    hovermode: "closest", dragmode: narrow ? false : "zoom",
    legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom", font: { size: narrow ? 10 : 12 } },
    xaxis: Object.assign({}, axis, { title: { text: "2θ / °", standoff: 6 }, anchor: "y2", showgrid: false,
      range: [drawing.two_theta[0], drawing.two_theta[drawing.two_theta.length - 1]] }),
    yaxis: Object.assign({}, axis, { domain: [split + 0.02, 1], title: { text: root ? "√ intensity" : "intensity" },
      showticklabels: !narrow, nticks: 6, exponentformat: "SI" }),
    yaxis2: { domain: [0, split], range: [0, rows], fixedrange: true, zeroline: false, showgrid: false,
      tickvals: [...Array(rows).keys()].map((k) => k + 0.5), ticklen: 0,
      ticktext: ["found", ...drawing.cells.map((_, i) => `cell ${i + 1}`)].reverse(),
      tickfont: { size: narrow ? 9 : 11, color: SYNGONY.soft } },
  };
  return { traces, layout };
}

/* Draw into the .plot of an answer, with a switch for the scale of intensities. */
function syngonyDraw(answer, drawing) {
  const place = answer.querySelector(".plot");
  if (!place || place.dataset.drawn) return;
  place.dataset.drawn = "yes";
  const config = { responsive: true, displaylogo: false, displayModeBar: place.clientWidth < 560 ? false : "hover",
    showSendToCloud: false, showEditInChartStudio: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    toImageButtonOptions: { filename: "syngony", format: "svg" } };
  const draw = (root) => {
    const { traces, layout } = syngonyFigure(drawing, root, place.clientWidth < 560);
    Plotly.react(place, traces, layout, config);
  };
  const controls = document.createElement("div");
  controls.className = "controls";
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.addEventListener("change", () => draw(box.checked));
  label.append(box, " square root of intensities (weak lines)");
  controls.append(label);
  place.before(controls);
  draw(false);
}

/* Tables of class sortable: a click on a head sorts, a second one the other way round. */
function syngonySortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const cell = row.cells[column];
        if (column && row.querySelector("td[colspan]")) return ""; // no answer
        return cell ? (cell.dataset.value ?? cell.textContent.trim()) : "";
      };
      const order = (a, b) => {
        const [left, right] = [value(a), value(b)];
        if (!left || !right) return Number(!left) - Number(!right); // rows without an answer stay last
        return (down ? -1 : 1) * left.localeCompare(right, "en", { numeric: true });
      };
      const body = table.tBodies[0];
      [...body.rows].sort(order).forEach((row) => body.append(row));
    });
  });
}

/* Bring a whole report to life: one drawing at once, those in folds when they are opened. */
function syngonyReport(page) {
  page.querySelectorAll("table.sortable").forEach(syngonySortable);
  page.querySelectorAll(".answer").forEach((answer) => {
    const data = page.getElementById(`drawing-${answer.dataset.drawing}`);
    if (!data) return;
    const draw = () => syngonyDraw(answer, JSON.parse(data.textContent));
    const fold = answer.closest("details.whole");
    if (!fold || fold.open) draw();
    else fold.addEventListener("toggle", draw, { once: true });
  });
  const unfold = () => {
    const target = page.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  page.defaultView.addEventListener("hashchange", unfold);
  unfold();
}
