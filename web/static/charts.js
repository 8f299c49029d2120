// Charts, drawn by Chartist from what a page says of them in data-chart. The table beside each says the same in figures.
"use strict";

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const SHORT = { format: (value) => COMPACT.format(value).toLowerCase() };

function title(node, text) {
  const said = document.createElementNS("http://www.w3.org/2000/svg", "title");
  said.textContent = text;
  node.append(said);
}

function bars(figure, asked) {
  const chart = new Chartist.BarChart(figure, { labels: asked.labels, series: asked.series }, {
    stackBars: true, height: 240, chartPadding: { top: 22, right: 4, bottom: 0, left: 4 },
    axisX: { showGrid: false }, axisY: { labelInterpolationFnc: (value) => SHORT.format(value), offset: 44, scaleMinSpace: 40 },
  });
  const width = Math.max(4, Math.min(44, (figure.clientWidth - 60) / Math.max(asked.labels.length, 1) * 0.68));
  chart.on("draw", (drawn) => {
    if (drawn.type !== "bar") return;
    const value = asked.series[drawn.seriesIndex].data[drawn.index];
    const node = drawn.element.getNode();
    node.style.strokeWidth = `${width}px`;
    if (!value) { node.remove(); return; }
    title(node, asked.titles?.[drawn.seriesIndex]?.[drawn.index] ?? `${asked.labels[drawn.index]}: ${value.toLocaleString("en")}`);
    // over bars that stand one upon the other their sum, once
    const values = asked.series.map((series) => series.data[drawn.index] ?? 0);
    if (asked.values && !values.slice(drawn.seriesIndex + 1).some(Boolean)) {
      const sum = values.reduce((before, next) => before + next, 0);
      drawn.group.elem("text", { x: drawn.x2, y: drawn.y2 - 6, "text-anchor": "middle" }, "value").text(SHORT.format(sum));
    }
  });
}

function lines(figure, asked) {
  const chart = new Chartist.LineChart(figure, { labels: asked.labels, series: asked.series }, {
    height: 200, low: 0, showArea: true, lineSmooth: false, fullWidth: true, chartPadding: { top: 10, right: 44, bottom: 0, left: 4 },
    axisX: { showGrid: false, labelInterpolationFnc: (label, index) => (index % asked.every === 0 ? label : null) },
    axisY: { labelInterpolationFnc: (value) => SHORT.format(value), offset: 44, scaleMinSpace: 36 },
  });
  chart.on("draw", (drawn) => {
    if (drawn.type === "point") title(drawn.element.getNode(), asked.titles?.[drawn.seriesIndex]?.[drawn.index] ?? "");
  });
}

document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("[data-chart]")) {
    const asked = JSON.parse(figure.dataset.chart);
    (asked.kind === "lines" ? lines : bars)(figure, asked);
  }
});
