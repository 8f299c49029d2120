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

// An amount goes out as a number, without grouping and with a minus a spreadsheet knows; a day as it sorts.
function plain(cell) {
  const shown = cell.textContent.trim().replaceAll(/\s+/g, " ");
  if (cell.tagName !== "TD") return shown;
  if (cell.classList.contains("num")) return shown.replaceAll(",", "").replace("\u2212", "-").replace("\u2013", "0");
  return /^\d{4}-\d\d-\d\d/.test(cell.dataset.value ?? "") ? cell.dataset.value : shown;
}

// The rows as they are shown: filtered, in their order.
function rows(table) {
  const lines = [...table.rows].filter((row) => !row.hidden && !row.parentElement.hidden);
  return lines.map((row) => [...row.cells].map(plain));
}

function csv(table) {
  // a spreadsheet would run what starts so
  const inert = (cell) => (/^[=+\-@\t\r]/.test(cell) && !/^-?[\d.]+$/.test(cell) ? `'${cell}` : cell);
  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return rows(table).map((row) => row.map((cell) => quoted(inert(cell))).join(",")).join("\r\n") + "\r\n";
}

function save(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function send(to, token, values) {
  const form = document.createElement("form");
  form.method = "post";
  form.enctype = "multipart/form-data";
  form.action = to;
  for (const [name, content] of Object.entries({ csrf_token: token, ...values })) {
    const field = document.createElement("input");
    field.type = "hidden";
    field.name = name;
    field.value = content;
    form.append(field);
  }
  document.body.append(form);
  form.submit();
  form.remove();
}

function tool(label, run) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.addEventListener("click", () => run(button));
  return button;
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
  if (!table.tBodies[0].rows.length) return;
  const name = table.dataset.table || "table";
  const tools = document.createElement("div");
  tools.className = "tools";
  if (table.tBodies[0].rows.length > 1) {
    const find = document.createElement("input");
    find.type = "search";
    find.placeholder = "Filter rows";
    find.setAttribute("aria-label", `Filter the rows of ${name}`);
    const count = document.createElement("span");
    count.className = "muted";
    count.setAttribute("aria-live", "polite");
    find.addEventListener("input", () => filter(table, find.value.trim(), count));
    tools.append(find, count);
  }
  tools.append(tool("Copy", async (button) => {
    await navigator.clipboard.writeText(rows(table).map((row) => row.join("\t")).join("\n"));
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }));
  tools.append(tool("CSV", () => save(`${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.csv`, csv(table))));
  const meta = document.querySelector("meta[name=csrf]");
  if (meta) tools.append(tool("xlsx", () => send(meta.dataset.xlsx, meta.content, { name, rows: JSON.stringify(rows(table)) })));
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
