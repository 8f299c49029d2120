// Tables that sort, filter and copy; keys that work everywhere. Pages say all they have to without it.
"use strict";

const number = new Intl.Collator(undefined, { numeric: true });

function value(row, column) {
  const cell = row.cells[column];
  return cell ? cell.dataset.value ?? cell.textContent.trim() : "";
}

function sort(table, column, header) {
  const down = header.getAttribute("aria-sort") === "ascending";
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const numeric = header.classList.contains("num");
  rows.sort((a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    const order = numeric ? Number(x || 0) - Number(y || 0) : number.compare(x, y);
    return down ? -order : order;
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...rows);
}

function filter(table, wanted, count) {
  let left = 0;
  for (const row of table.tBodies[0].rows) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted.toLowerCase());
    if (!row.hidden) left += 1;
  }
  // totals are of all rows
  if (table.tFoot) table.tFoot.hidden = wanted !== "";
  count.textContent = wanted ? `${left.toLocaleString("en")} of ${table.tBodies[0].rows.length.toLocaleString("en")}` : "";
}

function text(table) {
  const lines = [...table.rows].filter((row) => !row.hidden && !row.parentElement.hidden);
  // an amount goes out as a number: no grouping, and a minus a spreadsheet knows
  const plain = (cell) => {
    const shown = cell.textContent.trim();
    const figure = cell.classList.contains("num") && cell.tagName === "TD";
    return figure ? shown.replaceAll(",", "").replace("\u2212", "-").replace("\u2013", "0") : shown.replaceAll(/\s+/g, " ");
  };
  return lines.map((row) => [...row.cells].map(plain).join("\t")).join("\n");
}

function equip(table) {
  if (table.dataset.ready) return;
  table.dataset.ready = "1";
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    if (!header.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = header.textContent;
    header.replaceChildren(button);
    button.addEventListener("click", () => sort(table, column, header));
  });
  if (table.tBodies[0].rows.length < 2) return;
  const tools = document.createElement("div");
  tools.className = "tools";
  const find = document.createElement("input");
  find.type = "search";
  find.placeholder = "Filter rows";
  find.setAttribute("aria-label", "Filter the rows of this table");
  const count = document.createElement("span");
  count.className = "muted";
  count.setAttribute("aria-live", "polite");
  find.addEventListener("input", () => filter(table, find.value.trim(), count));
  const copy = document.createElement("button");
  copy.type = "button";
  copy.textContent = "Copy";
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text(table));
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  tools.append(find, count, copy);
  (table.closest(".scroll") ?? table).before(tools);
}

function equipAll() {
  document.querySelectorAll("table[data-table]").forEach(equip);
}

document.addEventListener("DOMContentLoaded", equipAll);
document.addEventListener("htmx:afterSwap", equipAll);

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = document.getElementById("keys");
  const go = { o: "overview", j: "journal", r: "reports", c: "customers", e: "exports", m: "close" }[event.key];
  if (event.key === "/") {
    document.querySelector(".find input")?.focus();
    event.preventDefault();
  } else if (event.key === "?" && keys) {
    keys.showModal();
  } else if (go) {
    document.querySelector(`[data-go="${go}"]`)?.click();
  }
});
